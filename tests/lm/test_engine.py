"""The engine against `transformers`, against plain full passes, and against itself at other batch sizes."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from educe.core.errors import BackendError, DataError, UsageError
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine import Engine
from educe.lm.engine.rows import Row
from educe.lm.engine.sampling import draw, uniform

PROMPT = "the cat sat on"
CHAT = [{"role": "user", "content": "Why is the sky blue?"}]


def full_logprobs(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    """Log-probabilities of each token after the first, from one plain pass over the whole text."""
    with torch.inference_mode():
        logits = model(torch.tensor([tokens])).logits[0].float()
    return logits[:-1].log_softmax(-1).gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0]


def row_difference(engine: Engine, model: torch.nn.Module, prompt: str, row: Completion) -> float:
    before = engine.tokenizer.encode(prompt)
    expected = full_logprobs(model, [*before, *row.tokens])[len(before) - 1 :]
    return float((torch.tensor(row.logprobs) - expected).abs().max())


# --- the tiny model: every check of correctness, fast ---


@pytest.mark.slow
def test_greedy_rows_equal_those_of_transformers(tiny: Engine, tiny_reference: SimpleNamespace) -> None:
    row = tiny.sample_sync(PROMPT, max_tokens=100, temperature=0)[0]
    before = tiny.tokenizer.encode(PROMPT)
    with torch.inference_mode():
        logits = tiny_reference.model(torch.tensor([[*before, *row.tokens]])).logits[0]
    # If each token is the best after those before it, the row is the greedy one, by induction.
    assert logits[len(before) - 1 : -1].argmax(-1).tolist() == list(row.tokens)
    assert row.sampling_logprobs == (0.0,) * len(row.tokens)


@pytest.mark.slow
def test_logprobs_of_sampled_rows_equal_those_of_transformers(tiny: Engine, tiny_reference: SimpleNamespace) -> None:
    for row in tiny.sample_sync(PROMPT, n=9, max_tokens=150, seed=5):
        assert row_difference(tiny, tiny_reference.model, PROMPT, row) < 1e-4
        assert row.sampling_logprobs == row.logprobs


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.01}])
def test_rows_do_not_depend_on_their_neighbours(tiny: Engine, tiny_folder: Path, options: dict[str, float]) -> None:
    """Bit for bit: alone, among 32, and where rows have to wait for a place and begin late."""
    seeds = list(range(100, 132))
    sampling = Sampling(max_tokens=90, **options)  # type: ignore[arg-type]
    together = gathered(tiny, PROMPT, seeds, sampling)
    assert len({row.text for row in together}) > 25
    alone = [gathered(tiny, PROMPT, [seed], sampling)[0] for seed in seeds]
    narrow = Engine(tiny_folder, max_rows=5)
    few = gathered(narrow, PROMPT, seeds, sampling)
    narrow.close()
    assert together == alone == few
    assert gathered(tiny, PROMPT, seeds[::-1], sampling) == together[::-1]


def test_a_row_is_the_same_alone_and_among_others(tiny: Engine) -> None:
    """The short form of the test above; 70 tokens reach into a second block of the row's own part."""
    seeds, sampling = list(range(13)), Sampling(max_tokens=70)
    together = gathered(tiny, PROMPT, seeds, sampling)
    for seed in (0, 12):
        assert gathered(tiny, PROMPT, [seed], sampling)[0] == together[seed]


def gathered(engine: Engine, prompt: object, seeds: list[int], sampling: Sampling) -> list[Completion]:
    async def collect() -> list[Completion]:
        rows: list[list[Chunk]] = [[] for _ in seeds]
        async for chunk in engine.stream(prompt, seeds, sampling):  # type: ignore[arg-type]
            rows[chunk.row].append(chunk)
        return [Completion.of_chunks(chunks) for chunks in rows]

    return asyncio.run(collect())


def test_scores_equal_a_plain_pass(tiny: Engine, tiny_reference: SimpleNamespace) -> None:
    continuations = [" the mat", " a", "t the bat sat on the hat" * 9, "é🦊", "x"]
    for text, scored in zip(continuations, tiny.score_sync(PROMPT, continuations), strict=True):
        tokens = tiny.tokenizer.encode(PROMPT + text)
        expected = full_logprobs(tiny_reference.model, tokens)[-len(scored.tokens) :]
        assert scored.tokens == tuple(tokens[-len(scored.tokens) :])
        assert float((torch.tensor(scored.logprobs) - expected).abs().max()) < 1e-4
        assert (scored.text, scored.finish, scored.sampling_logprobs) == (text, "given", None)


def test_a_score_does_not_depend_on_its_neighbours(tiny: Engine) -> None:
    continuations = [" the mat" * n for n in range(1, 40)] + ["t", " a b c"]
    together = tiny.score_sync(PROMPT, continuations)
    assert together == [tiny.score_sync(PROMPT, [text])[0] for text in continuations]
    assert tiny.score_sync(PROMPT, continuations[::-1]) == together[::-1]
    # The prompt is computed and told once.
    assert sum(row.prompt_tokens for row in together) == len(tiny.tokenizer.encode(PROMPT))


def test_a_straddling_token_is_the_continuations(tiny: Engine) -> None:
    assert len(tiny.tokenizer.encode(" the")) == 1
    scored = tiny.score_sync("the cat sat on t", ["he mat"])[0]
    assert tiny.tokenizer.decode(scored.tokens) == " the mat"
    assert scored.offsets[0] == 0
    assert scored.offsets[1] == 2
    assert tiny.tokenizer.decode(tiny.score_sync("t", ["he"])[0].tokens) == "the"


def test_offsets_of_scores_are_characters(tiny: Engine) -> None:
    text = "é🦊 the x"
    scored = tiny.score_sync(PROMPT, [text])[0]
    pieces = [tiny.tokenizer.pieces[token] for token in scored.tokens]
    for number, offset in enumerate(scored.offsets):
        complete = b"".join(pieces[:number]).decode(errors="ignore")
        assert offset == len(complete)


def test_a_score_after_a_chat_equals_generation(tiny: Engine) -> None:
    row = tiny.sample_sync(CHAT, max_tokens=30, temperature=0)[0]
    tokens = tiny.tokenizer.encode(row.text)
    if tuple(tokens) == row.tokens:
        assert tiny.score_sync(CHAT, [row.text])[0].logprobs == pytest.approx(row.logprobs, abs=1e-4)


def test_embeddings_are_mean_hidden_states_of_length_one(tiny: Engine, tiny_reference: SimpleNamespace) -> None:
    texts = ["the cat", "a dog 🦊", "x"]
    vectors = tiny.embed_sync(texts)
    assert vectors.shape == (3, 64)
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            hidden = tiny_reference.model.model(torch.tensor([tiny.tokenizer.encode(text)])).last_hidden_state[0]
        expected = hidden.mean(0) / hidden.mean(0).norm()
        assert torch.allclose(vector, expected, atol=1e-5)
    assert vectors.requires_grad_().grad is None  # an ordinary tensor, fit for training


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.5), ("int8", 0.5), ("int4", 3.0)])
def test_other_number_formats_are_near_float32(tiny: Engine, tiny_folder: Path, dtype: str, bound: float) -> None:
    """Random weights have no slack; on the trained model the differences are in `bench/results/quality.json`."""
    half = Engine(tiny_folder, dtype=dtype)
    text = " the mat and the hat that the bat sat on"
    exact, rounded = (model.score_sync(PROMPT, [text])[0] for model in (tiny, half))
    half.close()
    difference = np.abs(np.subtract(exact.logprobs, rounded.logprobs))  # type: ignore[arg-type]
    assert 0 < difference.max() < bound
    assert half.fingerprint != tiny.fingerprint


def test_the_fingerprint_is_that_of_the_files(tiny: Engine, tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    same = Engine(copy, name=tiny.name)
    assert same.fingerprint == tiny.fingerprint
    (copy / "more.txt").write_text("x")
    other = Engine(copy, name=tiny.name)
    assert other.fingerprint != tiny.fingerprint
    assert tiny.path == tiny_folder
    assert tiny.capabilities == Engine.all_capabilities


# --- the stream: chunks, limits, ends ---


def chunks_of(engine: Engine, prompt: object, seeds: list[int], sampling: Sampling) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        return [chunk async for chunk in engine.stream(prompt, seeds, sampling)]  # type: ignore[arg-type]

    return asyncio.run(collect())


def test_chunks_add_up(tiny: Engine) -> None:
    chunks = chunks_of(tiny, PROMPT, [1, 2, 3], Sampling(max_tokens=20))
    told = [chunk.prompt_tokens for chunk in chunks]
    assert (told[0], sum(told[1:])) == (len(tiny.tokenizer.encode(PROMPT)), 0)
    for row in range(3):
        mine = [chunk for chunk in chunks if chunk.row == row]
        assert [chunk.finish is not None for chunk in mine] == [False] * (len(mine) - 1) + [True]
    for chunk in chunks:
        assert len(chunk.tokens) == len(chunk.logprobs or ()) == len(chunk.offsets) == chunk.sampled_tokens


@pytest.mark.slow
def test_an_ended_row_has_its_end_token_after_its_text(tiny: Engine) -> None:
    rows = tiny.sample_sync(PROMPT, n=64, max_tokens=300, seed=2)
    ended = [row for row in rows if row.finish == "stop"]
    assert ended
    for row in ended:
        assert row.tokens[-1] in tiny.tokenizer.stop
        assert row.offsets[-1] == len(row.text)
    for row in rows:
        assert row.text == tiny.tokenizer.decode(row.tokens)
        assert row.finish == "stop" or len(row.tokens) == 300


def test_a_row_ends_with_the_context(tiny: Engine) -> None:
    prompt = "x" * 505
    row = tiny.sample_sync(prompt, max_tokens=1000, temperature=0)[0]
    assert (len(row.tokens), row.finish) == (512 - 505, "length") or row.finish == "stop"
    with pytest.raises(UsageError, match=r"512 tokens.*512"):
        tiny.sample_sync("x" * 512)
    with pytest.raises(UsageError, match=r"513 tokens.*512"):
        tiny.score_sync("x" * 512, ["y"])
    with pytest.raises(UsageError, match="513"):
        tiny.embed_sync(["x" * 513])


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.sample_sync(""),
        lambda e: e.sample_sync([]),
        lambda e: e.score_sync("a", [""]),
        lambda e: e.embed_sync([""]),
        lambda e: chunks_of(e, "a", [], Sampling()),
    ],
)
def test_empty_requests_are_refused(tiny: Engine, ask: object) -> None:
    with pytest.raises(UsageError):
        ask(tiny)  # type: ignore[operator]


def test_bad_parameters_are_refused(tiny_folder: Path) -> None:
    for options in ({"dtype": "float16"}, {"max_rows": 0}):
        with pytest.raises(UsageError):
            Engine(tiny_folder, **options)  # type: ignore[arg-type]


def test_stop_texts_cut_the_row(tiny: Engine) -> None:
    whole = tiny.sample_sync(PROMPT, max_tokens=60, seed=9)[0]
    stop = whole.text[20:23]
    row = tiny.sample_sync(PROMPT, max_tokens=60, seed=9, stop=[stop])[0]
    assert row.text == whole.text[: whole.text.index(stop)]
    assert row.finish == "stop"
    assert row.tokens == whole.tokens[: len(row.tokens)]
    assert row.offsets == tuple(min(offset, len(row.text)) for offset in whole.offsets[: len(row.tokens)])


def first_complete(text: str, stops: list[str]) -> int | None:
    """Where the stop text begins that is complete first, by trying all prefixes."""
    for end in range(1, len(text) + 1):
        begins = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if begins:
            return min(begins)
    return None


@settings(deadline=None, max_examples=300)
@given(
    pieces=st.lists(st.text("abc", min_size=0, max_size=4), min_size=1, max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    ends=st.booleans(),
)
def test_stop_texts_are_found_wherever_tokens_fall(pieces: list[str], stops: list[str], ends: bool) -> None:
    class Decoder:
        def feed(self, token: int) -> str:
            return pieces[token]

        def flush(self) -> str:
            return ""

    tokenizer = SimpleNamespace(stop={99}, decoder=Decoder)
    row = Row(0, 0, tokenizer, stops, len(pieces) + ends)  # type: ignore[arg-type]
    chunks: list[Chunk] = []
    for token in [*range(len(pieces)), *([99] if ends else [])]:
        chunk = row.add(token, -1.0, -1.0)
        chunks += [chunk] if chunk else []
        sofar = "".join(chunk.text for chunk in chunks)
        assert all(offset <= len(sofar) for chunk in chunks for offset in chunk.offsets)
        if row.finish:
            break
    whole = "".join(pieces)
    cut = first_complete(whole, stops)
    done = Completion.of_chunks(chunks)
    assert done.text == (whole if cut is None else whole[:cut])
    assert done.finish == ("stop" if cut is not None or ends else "length")
    begins = [len("".join(pieces[:number])) for number in range(len(pieces) + 1)]
    assert done.offsets == tuple(min(begins[n], len(done.text)) for n in range(len(done.tokens)))
    assert [chunk.finish for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


def counting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Write down when each pass of the model begins."""
    passes: list[float] = []
    original = engine.model.hidden

    def hidden(*arguments: object) -> torch.Tensor:
        passes.append(time.perf_counter())
        time.sleep(0.002)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.model, "hidden", hidden)
    return passes


@pytest.mark.parametrize("way", ["close the stream", "cancel the task"])
async def test_a_row_that_nobody_wants_stops_within_a_step(
    way: str, tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = counting(tiny, monkeypatch)

    async def consume() -> None:
        stream = tiny.stream(PROMPT, list(range(8)), Sampling(max_tokens=400))
        async for chunk in stream:
            if chunk.tokens and way == "close the stream":
                await stream.aclose()  # type: ignore[attr-defined]
                return

    task = asyncio.create_task(consume())
    if way == "cancel the task":
        while len(passes) < 3:
            await asyncio.sleep(0.001)
        task.cancel()
    await asyncio.wait([task])
    at_the_end = len(passes)
    # The next request shows that the worker is free.
    await tiny.sample(PROMPT, max_tokens=1)
    assert len(passes) <= at_the_end + 2 + 1
    assert not tiny._worker._wanted


async def test_requests_side_by_side_give_what_they_give_alone(tiny: Engine) -> None:
    prompts = [PROMPT, "the bat", "x y z"]
    together = await asyncio.gather(*(tiny.sample(prompt, n=3, max_tokens=20, seed=1) for prompt in prompts))
    for prompt, rows in zip(prompts, together, strict=True):
        assert await tiny.sample(prompt, n=3, max_tokens=20, seed=1) == rows


async def test_a_closed_engine_says_so(tiny_folder: Path) -> None:
    before = set(threading.enumerate())
    engine = Engine(tiny_folder)
    stream = engine.stream(PROMPT, [1], Sampling(max_tokens=450, temperature=2.0))
    await anext(stream)
    workers = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("educe-worker")]
    assert workers
    await engine.aclose()
    with pytest.raises(BackendError, match="closed"):
        async for _ in stream:
            pass
    await engine.aclose()
    for request in (engine.sample("a"), engine.score("a", ["b"]), engine.embed(["a"])):
        with pytest.raises(BackendError, match="closed"):
            await request
    assert not any(thread.is_alive() for thread in workers)


async def test_a_failure_of_the_model_reaches_the_caller(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny_folder)

    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine.model, "hidden", broken)
    for request in (engine.sample("a"), engine.score("a", ["b"]), engine.embed(["a"])):
        with pytest.raises(BackendError, match="out of memory"):
            await request
    await engine.aclose()


# --- sampling ---


def law(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The law drawn from, by sorting, one truncation after the other."""
    weights = np.exp(logits / sampling.temperature)
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    if sampling.top_k:
        weights[order[sampling.top_k :]] = 0
    weights /= weights.sum()
    before = np.cumsum(weights[order]) - weights[order]
    weights[order[before >= sampling.top_p]] = 0
    weights[weights < sampling.min_p * weights.max()] = 0
    return weights / weights.sum()


LAWS = [
    Sampling(),
    Sampling(temperature=0.5),
    Sampling(temperature=3.0, top_k=3),
    Sampling(top_p=0.6),
    Sampling(top_k=4, top_p=0.8),
    Sampling(min_p=0.3),
    Sampling(temperature=1.5, top_k=5, top_p=0.95, min_p=0.1),
]


@pytest.mark.slow
@pytest.mark.parametrize("sampling", LAWS, ids=repr)
def test_frequencies_follow_the_law(sampling: Sampling) -> None:
    """By Hoeffding, 40,000 draws stray by 0.0153 with probability 2 exp(-2 n 0.0153**2) < 2e-8 per token."""
    logits = np.array([1.0, -0.5, 2.0, 0.3, -1.0, 1.2])
    rows = 40_000
    drawn = draw(torch.tensor(logits, dtype=torch.float32).expand(rows, -1), range(rows), [3] * rows, sampling)
    expected = law(logits, sampling)
    frequency = np.bincount(drawn.tokens.numpy(), minlength=6) / rows
    assert np.abs(frequency - expected).max() < 0.0153
    assert set(np.flatnonzero(frequency)) <= set(np.flatnonzero(expected))
    tokens = drawn.tokens.numpy()
    assert np.allclose(drawn.sampling_logprobs.numpy(), np.log(expected[tokens]), atol=1e-5)
    plain = logits - np.log(np.exp(logits).sum())
    assert np.allclose(drawn.logprobs.numpy(), plain[tokens], atol=1e-5)


def test_a_wide_nucleus_needs_the_whole_vocabulary() -> None:
    """More than the thousand tokens that are sorted first."""
    logits = torch.zeros(4, 5000)
    logits[1, 7] = 20.0
    drawn = draw(logits, [1, 2, 3, 4], [0] * 4, Sampling(top_p=0.5))
    assert drawn.tokens[1] == 7
    assert drawn.sampling_logprobs[1] == 0
    assert drawn.sampling_logprobs[0] == pytest.approx(-math.log(2500), abs=1e-4)
    assert int(drawn.tokens[0]) < 2500  # of equals, those with the lowest ids
    alone = draw(logits[1:2], [2], [0], Sampling(top_p=0.5))
    assert alone.sampling_logprobs[0] == drawn.sampling_logprobs[1]


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=0.7, top_p=0.9), Sampling(top_k=40, min_p=0.1)], ids=repr
)
def test_a_large_vocabulary_is_drawn_alike_in_any_batch(sampling: Sampling) -> None:
    """Large enough for torch to split one row's sum between threads."""
    logits = torch.randn(24, 49_152, generator=torch.Generator().manual_seed(0)) - math.log(49_152)
    logits[:, 0] = 0  # with a normaliser near 1 the logarithm does not round the last digit of the sum away
    together = draw(logits, range(24), range(24), sampling)
    for rows in (*([row] for row in range(24)), [3, 4], list(range(7))):
        some = draw(logits[rows], rows, rows, sampling)
        for column, expected in zip(some, together, strict=True):
            assert torch.equal(column, expected[rows])
    alike = draw(logits[:1].expand(24, -1), [0] * 24, [0] * 24, sampling)
    assert set(alike.logprobs.tolist()) == {float(together.logprobs[0])}


def test_equals_at_a_cut_are_kept_by_id() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.5]]).expand(500, -1)
    drawn = draw(logits, range(500), [0] * 500, Sampling(top_k=2))
    assert set(drawn.tokens.tolist()) == {1, 2}


def test_extreme_temperatures_and_logits() -> None:
    logits = torch.tensor([[-1e30, 5.0, 1e4, -math.inf]])
    for temperature in (1e-30, 1.0, 1e30):
        drawn = draw(logits, [1], [0], Sampling(temperature=temperature))
        assert drawn.tokens.item() in ((2,) if temperature <= 1 else (1, 2))
        assert torch.isfinite(drawn.logprobs).all()
    with pytest.raises(BackendError):
        draw(torch.tensor([[math.nan, 0.0]]), [1], [0], Sampling())


def test_uniform_numbers_are_a_function_of_seed_and_position() -> None:
    """Kolmogorov-Smirnov: sqrt(n) D > 2.8 has probability 2 exp(-2 * 2.8**2) < 4e-7 for uniform numbers."""
    rows = 20_000
    for numbers in (
        uniform(range(rows), [0] * rows),
        uniform([7] * rows, range(rows)),
        uniform([0x9E3779B97F4A7C15 * n for n in range(rows)], [0] * rows),
    ):
        ordered = np.sort(numbers)
        grid = np.arange(rows) / rows
        distance = max(np.abs(ordered - grid).max(), np.abs(ordered - grid - 1 / rows).max())
        assert math.sqrt(rows) * distance < 2.8
        assert numbers.min() >= 0
        assert numbers.max() < 1
        # Lag-one correlation is normal with deviation 1/sqrt(n): beyond 5.5 deviations with probability < 4e-8.
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 5.5 / math.sqrt(rows)
    assert uniform([5, 6], [1, 2]).tolist() == [uniform([5], [1])[0], uniform([6], [2])[0]]


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "gemma3"}, "gemma3"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope"),
        ({"attention_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "silu"),
        ({"num_attention_heads": 0}, "impossible"),
        ({"num_key_value_heads": 3}, "impossible"),
        ({"hidden_size": "x"}, "no number"),
        ({"num_hidden_layers": 3}, "no tensor"),
        ({"num_hidden_layers": 1}, "does not support"),
        ({"intermediate_size": 97}, "shape"),
        ({"rms_norm_eps": -1}, "impossible"),
        ({"eos_token_id": 10**6}, "out of range"),
    ],
)
def test_a_folder_that_cannot_be_meant_is_refused(
    change: dict[str, object], match: str, tiny_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(DataError, match=match):
        Engine(copy)


def test_weights_that_are_not_sound_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    file = copy / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][3] = math.nan
    save_file(tensors, file)
    with pytest.raises(DataError, match="not finite"):
        Engine(copy)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="safetensors"):
        Engine(copy)
    with pytest.raises(DataError):
        Engine(tmp_path / "none.gguf")


# --- the fetched model ---

TOPICS = ["the sea", "a fox", "prime numbers", "Rome", "bread", "the moon", "Python 3.11", "a piano"]
FORMS = [
    "Write a sentence about {}. ",
    "Q: What is known about {}?\nA:",
    "def describe():\n    # about {}\n    return",
    "{}: 1, 2, 3, 5, 8, 13,",
    "Il était une fois {} — «",
    "Once upon a time there was {}, and",
    "| name | value |\n| {} |",
    "{} {} {} 🦊",
]
PROMPTS = [form.format(*[topic] * 3) for form in FORMS for topic in TOPICS]


@pytest.mark.slow
def test_real_logprobs_equal_those_of_transformers(engine: Engine, reference: SimpleNamespace) -> None:
    """64 prompts; each row of 12 sampled tokens and each prompt after its first word is compared."""
    assert len(set(PROMPTS)) == 64
    worst = 0.0
    for prompt in PROMPTS:
        row = engine.sample_sync(prompt, max_tokens=12, seed=3)[0]
        worst = max(worst, row_difference(engine, reference.model, prompt, row))
        scored = engine.score_sync(prompt[:4], [prompt[4:]])[0]
        tokens = engine.tokenizer.encode(prompt)
        # Where nothing of the prompt stays apart, the score is conditioned on the end-of-text token.
        before = [] if tokens[0] == engine.tokenizer.encode(prompt[:4])[0] else [0]
        expected = full_logprobs(reference.model, [*before, *tokens])[-len(scored.tokens) :]
        worst = max(worst, float((torch.tensor(scored.logprobs) - expected).abs().max()))
    print(f"largest difference {worst:.2e}")
    assert worst < 1e-3


@pytest.mark.slow
async def test_real_greedy_rows_equal_those_of_transformers(engine: Engine, reference: SimpleNamespace) -> None:
    """64 prompts, 128 tokens each; a row is the greedy one if each token is the best after those before it."""
    rows = await asyncio.gather(*[engine.sample(prompt, max_tokens=128, temperature=0) for prompt in PROMPTS])
    for prompt, (row,) in zip(PROMPTS, rows, strict=True):
        before = engine.tokenizer.encode(prompt)
        with torch.inference_mode():
            logits = reference.model(torch.tensor([[*before, *row.tokens]])).logits[0]
        assert logits[len(before) - 1 : -1].argmax(-1).tolist() == list(row.tokens), prompt
        assert len(row.tokens) == 128 or row.tokens[-1] in engine.tokenizer.stop, prompt


@pytest.mark.slow
def test_32_real_rows_equal_one_by_one_bit_for_bit(engine: Engine) -> None:
    seeds, sampling = list(range(32)), Sampling(max_tokens=12, temperature=0.8, top_p=0.95)
    together = gathered(engine, CHAT, seeds, sampling)
    assert together == [gathered(engine, CHAT, [seed], sampling)[0] for seed in seeds]


@pytest.mark.slow
def test_a_real_chat_is_answered(engine: Engine) -> None:
    chat = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    row = engine.sample_sync(chat, max_tokens=30, temperature=0)[0]
    assert "Paris" in row.text
    assert "<|im_end|>" not in row.text
    scored = engine.score_sync("The capital of France is", [" Paris", " Berlin", " banana"])
    assert scored[0].logprob > scored[1].logprob > scored[2].logprob
