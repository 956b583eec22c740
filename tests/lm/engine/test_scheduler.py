"""Many requests side by side: each gets what it gets alone, everything is given back, errors stay where they belong."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from educe.core.errors import BackendError, UsageError
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine import BusyError, Engine, Policies, batch, reader, requests
from educe.lm.engine.blocks import BLOCK
from educe.lm.engine.policies import LeastRecentlyUsed, NoDraft

WORDS = ["the ", "cat ", "sat ", "on ", "mat ", "hat ", "bat ", "and ", "é", "🦊", "x"]


async def drawn(engine: Engine, prompt: object, seeds: Sequence[int], sampling: Sampling) -> list[Completion]:
    rows: list[list[Chunk]] = [[] for _ in seeds]
    async for chunk in engine.stream(prompt, seeds, sampling):  # type: ignore[arg-type]
        rows[chunk.row].append(chunk)
    return [Completion.of_chunks(chunks) for chunks in rows]


async def told(engine: Engine, prompt: object, **options: object) -> tuple[int, int, Completion]:
    """Tokens of the prompt, how many were cached, and the row."""
    chunks = [chunk async for chunk in engine.stream(prompt, [1], Sampling(**options))]  # type: ignore[arg-type]
    sums = [sum(getattr(chunk, name) for chunk in chunks) for name in ("prompt_tokens", "cached_tokens")]
    return sums[0], sums[1], Completion.of_chunks(chunks)


def nothing_is_held(engine: Engine) -> bool:
    tree = engine.scheduler.cache.tree
    return (
        tree.available == engine.scheduler.cache.pool.capacity
        and not any(node.pins for node in tree.nodes())
        and not engine.scheduler._requests
        and not engine.scheduler._batch.rows
        and not engine.scheduler._reader.waiting
    )


async def settled(engine: Engine) -> bool:
    """Give the thread a moment to end what was cancelled."""
    for _ in range(500):
        if nothing_is_held(engine):
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.fixture
def fresh(tiny_folder: Path):
    engines: list[Engine] = []

    def make(**options: object) -> Engine:
        engines.append(Engine(tiny_folder, **options))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


# --- the cache ---


async def test_a_prompt_is_computed_once(fresh) -> None:
    engine = fresh()
    prompt = "".join(random.Random(1).choices(WORDS, k=60))
    length, cached, first = await told(engine, prompt, max_tokens=30)
    assert cached == 0
    again, cached, second = await told(engine, prompt, max_tokens=30)
    assert (again, cached) == (length, length - 1)
    assert first == second


async def test_who_goes_on_from_a_row_computes_nothing_again(fresh) -> None:
    """As a particle filter does: prompt, then prompt and first step, then prompt and both steps."""
    engine = fresh()
    prompt, seen = "the cat sat on the mat and", 0
    for step in range(8):
        length, cached, row = await told(engine, prompt, max_tokens=12, temperature=0.7)
        if step and engine.tokenizer.encode(prompt) == seen:
            assert cached == length - 1
        seen = [*engine.tokenizer.encode(prompt), *row.tokens]
        prompt += row.text
    assert length > BLOCK


async def test_a_fork_shares_down_to_the_token(fresh) -> None:
    engine = fresh()
    common = "the cat sat on the mat and the hat that"
    await told(engine, common + " bat sat on the cat", max_tokens=1)
    shared = len(engine.tokenizer.encode(common))
    _, cached, _ = await told(engine, common + " x y z", max_tokens=1)
    assert cached == shared


async def test_cached_tokens_of_scored_texts_are_told(fresh) -> None:
    session = fresh().session()
    prompt = "the cat sat on the mat and"
    for cached in (0, len(session.lm.tokenizer.encode(prompt))):  # type: ignore[attr-defined]
        before = session.ledger.cached_tokens
        rows = await session.score(prompt, [" the hat", " x"])
        assert session.ledger.cached_tokens - before == sum(row.cached_tokens for row in rows) == cached


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [8, 20])
async def test_the_byte_budget_holds(fresh, blocks: int) -> None:
    block = 2 * 2 * 2 * BLOCK * 16 * 4
    engine = fresh(cache_bytes=blocks * block, max_rows=4)
    cold = fresh()
    generator = random.Random(3)
    for number in range(12):
        prompt = "".join(generator.choices(WORDS, k=60))
        rows = await drawn(engine, prompt, [number, number + 1], Sampling(max_tokens=40))
        assert engine.scheduler.cache.pool.bytes <= blocks * block
        assert rows == await drawn(cold, prompt, [number, number + 1], Sampling(max_tokens=40))
        cold.scheduler.cache.tree.clear()
    assert await settled(engine)


async def test_a_text_that_does_not_fit_is_refused_and_others_go_on(fresh) -> None:
    engine = fresh(cache_bytes=3 * 2 * 2 * 2 * BLOCK * 16 * 4)
    with pytest.raises(BackendError, match="cache_bytes"):
        await engine.sample("x" * 400)
    assert len(await engine.sample("the cat", max_tokens=3)) == 1
    both = await asyncio.gather(engine.sample("x" * 150, max_tokens=5), engine.sample("y" * 150, max_tokens=5))
    assert [len(rows) for rows in both] == [1, 1]
    assert await settled(engine)
    with pytest.raises(UsageError, match="cache_bytes"):
        fresh(cache_bytes=100)


# --- equal results whatever the company ---


@pytest.mark.parametrize("at_once", [64, 128])
async def test_a_text_read_in_pieces_is_the_same(fresh, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    prompt = "".join(random.Random(5).choices(WORDS, k=210))
    whole = fresh()
    assert 300 < len(whole.tokenizer.encode(prompt)) < 480
    rows, scores = await drawn(whole, prompt, [1, 2, 3], Sampling(max_tokens=20)), await whole.score("a", [prompt])
    vectors = await whole.embed([prompt])
    monkeypatch.setattr(reader, "READ_ALONE", at_once)
    monkeypatch.setattr(reader, "READ_AT_ONCE", at_once)
    monkeypatch.setattr(requests, "READ_AT_ONCE", at_once)
    pieces = fresh()
    assert await drawn(pieces, prompt, [1, 2, 3], Sampling(max_tokens=20)) == rows
    assert await pieces.score("a", [prompt]) == scores
    assert torch.equal(await pieces.embed([prompt]), vectors)
    assert await settled(pieces)


@pytest.mark.slow
async def test_rows_with_long_texts_of_their_own_are_the_same(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long enough to move into the tree more than once, and never in the other engine."""
    engine, sampling = fresh(), Sampling(max_tokens=480)
    monkeypatch.setattr(batch, "OWN_MOST", 2)
    together = await drawn(engine, "the cat", range(6), sampling)
    assert max(len(row.tokens) for row in together) > 5 * BLOCK
    monkeypatch.setattr(batch, "OWN_MOST", 20)
    alone = fresh(max_rows=1)
    assert await drawn(alone, "the cat", range(6), sampling) == together
    assert await settled(engine)


async def test_more_scores_at_once_than_the_cache_holds_prompts(fresh) -> None:
    """Each holds its prompt while its texts wait behind the prompts of others, which then find no room."""
    engine, generator = fresh(cache_bytes=1 << 20), random.Random(0)
    prompts = ["".join(generator.choices(WORDS, k=60)) for _ in range(80)]
    together = await asyncio.gather(*(engine.score(prompt, ["cat", "mat"]) for prompt in prompts))
    for prompt, scores in list(zip(prompts, together, strict=True))[::20]:
        assert await engine.score(prompt, ["cat", "mat"]) == scores
    assert await settled(engine)


@pytest.mark.slow
def test_a_process_ends_well_whatever_its_engine_does() -> None:
    """At the end of the script rows are under way that nobody waits for."""
    script = (
        "import asyncio, threading, educe; lm = educe.load('abacus')\n"
        "async def ask():\n"
        "    rows = lm.stream('Question: 1', list(range(64)), educe.lm.Sampling(max_tokens=400))\n"
        "    async for chunk in rows: begun.set()\n"
        "begun = threading.Event()\n"
        "threading.Thread(target=asyncio.run, args=(ask(),), daemon=True).start()\n"
        "begun.wait(60); print('begun')"
    )
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stdout) == (0, "begun\n"), done.stderr


async def soak(engine: Engine, alone: Engine, count: int, seed: int) -> None:
    """Random requests, some cancelled: whatever is not cancelled equals what another engine gives, one at a time."""
    generator = random.Random(seed)
    prompts = ["".join(generator.choices(WORDS, k=generator.randint(1, 110))) for _ in range(count // 4)]
    jobs = []
    for number in range(count):
        prompt = generator.choice(prompts)
        sampling = Sampling(
            max_tokens=generator.randint(1, 60),
            temperature=generator.choice([0.0, 0.7, 1.0]),
            top_p=generator.choice([1.0, 0.9]),
            stop=generator.choice([(), ("cat",), ("t", "zz")]),
        )
        kind = generator.choice(["draw", "draw", "draw", "score", "embed"])
        jobs.append((kind, prompt, [number + row for row in range(generator.randint(1, 5))], sampling))
    gone = set(generator.sample(range(count), count // 5))

    def ask(model: Engine, job: tuple[str, str, list[int], Sampling]) -> object:
        kind, prompt, seeds, sampling = job
        if kind == "score":
            return model.score(prompt, [text[:30] for text in prompts[: len(seeds)]])
        return model.embed([prompt]) if kind == "embed" else drawn(model, prompt, seeds, sampling)

    async def one(number: int) -> object:
        await asyncio.sleep(generator.random() * 0.5)
        task = asyncio.ensure_future(ask(engine, jobs[number]))  # type: ignore[arg-type]
        if number in gone:
            await asyncio.sleep(generator.random() * 0.2)
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0]
        return await task

    results = await asyncio.gather(*(one(number) for number in range(count)))
    for number, (job, result) in enumerate(zip(jobs, results, strict=True)):
        if number in gone:
            assert isinstance(result, (asyncio.CancelledError, list, torch.Tensor))
            continue
        expected = await ask(alone, job)  # type: ignore[misc]
        alone.scheduler.cache.tree.clear()
        assert torch.equal(result, expected) if isinstance(result, torch.Tensor) else result == expected, job
    assert await settled(engine)
    engine.scheduler.cache.tree.clear()
    assert engine.scheduler.cache.pool.bytes == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [200, 2000])
async def test_soak(fresh, count: int) -> None:
    await soak(fresh(max_rows=16, cache_bytes=1 << 22), fresh(max_rows=8), count, seed=0)


@pytest.mark.slow
async def test_resident_memory_stays_within_five_percent(fresh) -> None:
    import psutil

    engine, alone = fresh(max_rows=16, cache_bytes=1 << 22), fresh(max_rows=8)
    await soak(engine, alone, 40, seed=2)  # what the library allocates once is not a leak
    before = psutil.Process().memory_info().rss
    await soak(engine, alone, 200, seed=0)
    assert psutil.Process().memory_info().rss < 1.05 * before


@pytest.mark.slow
async def test_a_short_soak(fresh) -> None:
    await soak(fresh(max_rows=5, cache_bytes=1 << 21), fresh(), 24, seed=1)


# --- limits, turns, cancellation ---


async def test_a_full_engine_says_busy(fresh) -> None:
    engine = fresh(max_requests=2)
    running = [engine.stream("a", [1], Sampling(max_tokens=400, temperature=3.0)) for _ in range(2)]
    for stream in running:
        await anext(stream)
    with pytest.raises(BusyError, match="busy with 2 requests"):
        await engine.sample("b")
    for stream in running:
        await stream.aclose()  # type: ignore[attr-defined]
    assert await settled(engine)
    assert len(await engine.sample("b", max_tokens=2)) == 1
    with pytest.raises(UsageError, match="max_requests"):
        fresh(max_requests=0)


async def test_a_large_request_does_not_keep_others_out(fresh) -> None:
    engine = fresh(max_rows=4)
    order: list[str] = []

    async def ask(name: str, n: int) -> None:
        await engine.sample("the cat", n=n, max_tokens=20, temperature=3.0, seed=1)
        order.append(name)

    await asyncio.gather(ask("large", 60), ask("small", 1))
    assert order == ["small", "large"]


async def test_rows_join_and_leave_while_others_run(fresh) -> None:
    engine = fresh()
    long = engine.stream("the cat", [1], Sampling(max_tokens=300, temperature=3.0))
    await anext(long)
    await engine.sample("the hat", max_tokens=2)  # ends although the other has not
    rest = [chunk async for chunk in long]
    assert rest[-1].finish is not None


async def test_cancelled_requests_leave_nothing_behind(fresh) -> None:
    engine = fresh(max_rows=3)
    tasks = [
        asyncio.create_task(engine.sample("x" * (30 * n + 1), n=3, max_tokens=300, temperature=3.0)) for n in range(8)
    ]
    tasks += [asyncio.create_task(engine.score("the", ["x" * 100] * 9)), asyncio.create_task(engine.embed(["y" * 99]))]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert await settled(engine)


def test_clients_in_several_threads_and_loops(fresh) -> None:
    engine = fresh()
    expected = engine.sample_sync("the cat", n=2, max_tokens=20)

    async def many() -> list[list[Completion]]:
        jobs = (asyncio.to_thread(engine.sample_sync, "the cat", n=2, max_tokens=20) for _ in range(6))
        return await asyncio.gather(*jobs)

    assert all(rows == expected for rows in asyncio.run(many()))


# --- errors ---


class BrokenDraft(NoDraft):
    def propose(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        if len(tokens) > 12:
            raise ZeroDivisionError("a draft went wrong")
        return ()


class BrokenCache(LeastRecentlyUsed):
    def keeps(self, tokens: Sequence[int]) -> bool:
        raise ValueError("no opinion")


class BrokenAttention:
    def kind(self, layer: int) -> str:
        return "broken"

    def visible(self, kind: object, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        if int(queries.max()) > 12:
            raise ArithmeticError("too far")
        return keys >= 0


class BrokenExit:
    def leaves(self, layer: int, states: torch.Tensor) -> None:
        if len(states) > 10:
            raise RuntimeError("no way out")


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (Policies(draft=BrokenDraft()), "a draft went wrong"),
        (Policies(cache=BrokenCache()), "no opinion"),
        (Policies(attention=BrokenAttention()), "too far"),
        (Policies(exit=BrokenExit()), "no way out"),
    ],
    ids=["draft", "cache", "attention", "exit"],
)
async def test_an_error_in_a_policy_fails_the_request_alone(fresh, policies: Policies, message: str) -> None:
    engine = fresh(policies=policies)
    for _ in range(2):
        with pytest.raises(BackendError, match=message):
            await engine.sample("the cat sat on the mat and x y z", max_tokens=20, temperature=0)
    assert await settled(engine)
    if policies.cache.__class__ is LeastRecentlyUsed:
        assert len((await engine.sample("the", max_tokens=2))[0].tokens) > 0


async def test_an_engine_that_nobody_holds_ends_its_thread(tiny_folder: Path) -> None:
    engine = Engine(tiny_folder)
    await engine.sample("a", max_tokens=1)
    thread = engine.scheduler._thread
    assert thread is not None
    del engine
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
