"""The session: meters to the token, stops softly, and gives each row its own randomness."""

import asyncio
import threading
import time

import pytest

from educe.core import BackendError, Budget, Ledger, Seed, UsageError
from educe.lm import FakeLM, LanguageModel, Price, Sampling, Session

PROMPT = "How many?"


def by_seed(prompt, seed):
    return f"row {seed}"


async def texts(session, n, **options):
    return [row.text for row in await session.sample(PROMPT, n=n, **options)]


async def test_eight_and_eight_are_sixteen():
    whole = await texts(Session(FakeLM(by_seed), seed=3), 16)
    session = Session(FakeLM(by_seed), seed=3)
    parts = [*await texts(session, 5), *await texts(session, 3), *await texts(session, 8)]
    assert parts == whole
    assert len(set(whole)) == 16


async def test_rows_do_not_depend_on_what_else_is_asked():
    alone = await texts(Session(FakeLM(by_seed)), 4)
    session = Session(FakeLM(by_seed))
    await session.sample("Another prompt", n=7)
    assert await texts(session, 4) == alone
    assert await texts(session, 4, key=("second",)) != alone
    assert await texts(Session(FakeLM(by_seed), seed=1), 4) != alone


async def test_a_model_gives_its_own_session():
    session = FakeLM(by_seed).session(Budget(samples=2), seed=3, trace=True)
    assert await texts(session, 4) == await texts(Session(FakeLM(by_seed), seed=3), 2)
    assert session.stopped == "samples" and len(session.events) == 1


async def test_a_chat_and_a_seed_object_are_seeds_too():
    chat = [{"role": "user", "content": "Hi"}]
    one = await Session(FakeLM(by_seed), seed=Seed(1).child("x")).sample(chat, n=2)
    other = await Session(FakeLM(by_seed), seed=Seed(1).child("x")).sample(list(chat), n=2)
    assert one == other


async def test_the_ledger_counts_what_came():
    session = Session(FakeLM(lambda prompt, seed: "12345"), trace=True)
    await session.sample(PROMPT, n=3)
    await session.sample(PROMPT, n=1)
    ledger = session.ledger
    # Bytes are the fake model's tokens; each row ends with one end token.
    assert (ledger.calls, ledger.samples, ledger.sampled_tokens) == (2, 4, 4 * 6)
    assert ledger.prompt_tokens == 2 * len(PROMPT)
    assert ledger.stopped_by is None
    assert sum(len(row.tokens) for event in session.events for row in event.completions) == ledger.sampled_tokens


async def test_samples_are_cut_to_the_budget():
    session = Session(FakeLM(by_seed), Budget(samples=5))
    assert len(await session.sample(PROMPT, n=3)) == 3
    assert session.stopped is None
    assert len(await session.sample(PROMPT, n=3)) == 2
    assert session.stopped == "samples"
    assert await session.sample(PROMPT) == []
    assert session.ledger.samples == 5


async def test_a_budget_that_is_met_exactly_stops_nothing():
    session = Session(FakeLM(by_seed), Budget(samples=3, calls=1))
    await session.sample(PROMPT, n=3)
    assert session.ledger.stopped_by is None


async def test_calls_and_the_time_are_limits():
    session = Session(FakeLM(by_seed), Budget(calls=1))
    await session.sample(PROMPT)
    assert await session.sample(PROMPT) == []
    assert session.ledger.stopped_by == "calls"


async def test_tokens_cut_rows_in_the_middle():
    session = Session(FakeLM(lambda prompt, seed: "x" * 100), Budget(tokens=len(PROMPT) + 40))
    rows = await session.sample(PROMPT, n=2)
    assert session.stopped == "tokens"
    assert [row.finish for row in rows] == ["budget", "budget"]
    # The cut comes with the chunk of eight tokens that reaches the limit.
    assert len(PROMPT) + 40 <= session.ledger.tokens < len(PROMPT) + 40 + 8
    assert sum(len(row.text) for row in rows) == session.ledger.sampled_tokens


async def test_seconds_cut_a_slow_model_and_free_its_rows():
    lm = FakeLM(lambda prompt, seed: "x" * 10_000, delay=0.02)
    session = Session(lm, Budget(seconds=0.2))
    begin = time.monotonic()
    rows = await session.sample(PROMPT, n=2)
    assert time.monotonic() - begin < 5
    assert session.stopped == "seconds"
    assert all(row.finish == "budget" and row.text for row in rows)
    assert lm.open_rows == 0


async def test_dollars_are_a_limit():
    lm = FakeLM(lambda prompt, seed: "x" * 1000)
    lm.price = Price(prompt=0.0, sampled=10_000.0)  # one cent a token
    session = Session(lm, Budget(usd=0.5))
    await session.sample(PROMPT)
    assert session.stopped == "usd"
    assert 0.5 <= session.ledger.usd < 0.6


async def test_stop_from_another_thread_keeps_what_is_there():
    lm = FakeLM(lambda prompt, seed: "x" * 10_000, delay=0.01)
    session = Session(lm)
    threading.Timer(0.1, session.stop).start()
    rows = await session.sample(PROMPT, n=3)
    assert [row.finish for row in rows] == ["budget"] * 3
    assert session.ledger.stopped_by == "interrupt"
    assert lm.open_rows == 0
    assert await session.sample(PROMPT) == []


async def test_cancelling_the_run_frees_the_rows_and_is_passed_on():
    lm = FakeLM(lambda prompt, seed: "x" * 10_000, delay=0.01)
    task = asyncio.ensure_future(Session(lm).sample(PROMPT, n=2))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lm.open_rows == 0


async def test_an_error_of_the_model_is_passed_on():
    def broken(prompt, seed):
        raise BackendError("The server fell over. Start it again.")

    with pytest.raises(BackendError, match="fell over"):
        await Session(FakeLM(broken)).sample(PROMPT)


async def test_progress_is_told_with_a_running_ledger():
    seen = []
    session = Session(FakeLM(by_seed), on_chunk=lambda chunk, ledger: seen.append((chunk.row, ledger.sampled_tokens)))
    await session.sample(PROMPT, n=2)
    assert {row for row, _ in seen} == {0, 1}
    assert [count for _, count in seen] == sorted(count for _, count in seen)


async def test_score_and_embed_are_metered():
    session = Session(FakeLM(by_seed), Budget(calls=2), trace=True)
    scored = await session.score(PROMPT, ["four", "five!"])
    assert [row.logprob for row in scored] == [-4.0, -5.0]
    vectors = await session.embed(["a", "b"])
    assert vectors.shape == (2, 256)
    assert session.ledger.calls == 2
    # The shared prompt once, and every scored byte.
    assert session.ledger.prompt_tokens == len(PROMPT) + len("four") + len("five!")
    assert await session.score(PROMPT, ["x"]) == []
    assert await session.embed(["a"]) is None
    assert [event.kind for event in session.events] == ["sample"] * 0 + ["score", "embed"]


def test_spend_charges_tools_and_leaves_the_clock_alone():
    session = Session(FakeLM(by_seed))
    session.spend(Ledger(tool_calls=2, tool_seconds=1.5, seconds=99.0))
    assert (session.ledger.tool_calls, session.ledger.tool_seconds) == (2, 1.5)
    assert session.ledger.seconds < 5


def test_the_sync_face_works_inside_a_running_loop():
    async def notebook():
        return Session(FakeLM(["4"])).sample_sync(PROMPT)

    assert asyncio.run(notebook())[0].text == "4"


async def test_rows_that_go_on_are_no_further_samples():
    session = Session(FakeLM(by_seed), Budget(samples=3), trace=True)
    assert len(await session.sample(PROMPT, n=3)) == 3
    begun = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert len(await session.sample(begun, n=3, continues=3)) == 3
    assert (session.ledger.samples, session.ledger.calls, session.stopped) == (3, 2, None)
    # Two more would be samples: they are denied, the one that goes on is not.
    assert len(await session.sample(begun, n=3, continues=1)) == 1
    assert session.stopped == "samples"
    assert await session.sample(PROMPT) == []
    assert len(await session.sample(begun, n=2, continues=2)) == 2
    assert session.ledger.samples == 3
    assert [event.continues for event in session.events] == [0, 3, 1, 2]


async def test_rows_that_go_on_obey_all_other_limits():
    session = Session(FakeLM(by_seed), Budget(samples=1, calls=2))
    await session.sample(PROMPT, n=2)
    assert session.stopped == "samples"
    assert len(await session.sample(PROMPT, n=1, continues=1)) == 1
    assert await session.sample(PROMPT, n=1, continues=1) == []
    assert session.stopped == "calls"
    session = Session(FakeLM(by_seed), Budget(samples=1))
    await session.sample(PROMPT, n=2)
    session.stop()
    assert await session.sample(PROMPT, n=1, continues=1) == []
    assert session.ledger.stopped_by == "interrupt"


async def test_requests_side_by_side_end_together_at_the_token_limit():
    lm = FakeLM(lambda prompt, seed: "x" * 4000, delay=0.001, chunk_tokens=1)
    session = Session(lm, Budget(tokens=200))
    rows = await asyncio.gather(*(session.sample(f"p{number}", max_tokens=4000) for number in range(8)))
    assert session.stopped == "tokens"
    assert all(row.finish == "budget" for part in rows for row in part)
    # Each of the others may have had one chunk under way.
    assert session.ledger.tokens <= 200 + 8
    assert lm.open_rows == 0


async def test_other_work_is_cut_by_time_and_interrupt():
    session = Session(FakeLM(by_seed), Budget(seconds=0.05))
    await session.sample(PROMPT)
    await asyncio.wait_for(session.watched(asyncio.sleep(30)), 10)
    assert session.stopped == "seconds"


@pytest.mark.parametrize("prompt", [PROMPT, [{"role": "user", "content": "a"}]])
async def test_what_ended_a_row_is_told(prompt):
    lm = FakeLM(lambda prompt, seed: "one\ntwo")
    (cut,) = await lm.sample(prompt, stop=["\n"])
    (whole,) = await lm.sample(prompt, stop=["three"])
    (short,) = await lm.sample(prompt, stop=["\n"], max_tokens=2)
    assert [(row.text, row.finish, row.stopped_at) for row in (cut, whole, short)] == [
        ("one", "stop", "\n"),
        ("one\ntwo", "stop", None),
        ("on", "length", None),
    ]


@pytest.mark.parametrize("bad", [{"n": 0}, {"n": -3}, {"max_tokens": 0}, {"temperature": -1}])
async def test_bad_requests_are_refused_before_anything_is_spent(bad):
    session = Session(FakeLM(by_seed))
    with pytest.raises(UsageError):
        await session.sample(PROMPT, **bad)
    assert session.ledger.calls == 0


async def test_empty_prompts_and_continuations_are_refused():
    for prompt in ("", []):
        with pytest.raises(UsageError, match=r"empty|no message"):
            await Session(FakeLM(by_seed)).sample(prompt)
    with pytest.raises(UsageError, match="empty"):
        await Session(FakeLM(by_seed)).score(PROMPT, ["a", ""])


class TestFakeLM:
    """The fake model keeps the rules that every backend must keep."""

    @pytest.mark.parametrize("text", ["", "plain", "häuser €", "🙂🙂", "a🙂b"])
    @pytest.mark.parametrize("size", [1, 2, 3, 8])
    async def test_chunks_add_up_to_the_text(self, text, size):
        lm = FakeLM(lambda prompt, seed: text, chunk_tokens=size)
        (row,) = await lm.sample(PROMPT)
        assert row.text == text
        assert len(row.tokens) == len(row.logprobs) == len(row.offsets) == len(text.encode()) + 1
        assert row.offsets[-1] == len(text)

    @pytest.mark.parametrize("limit", range(1, 8))
    async def test_max_tokens_never_shows_half_a_character(self, limit):
        (row,) = await FakeLM(lambda prompt, seed: "a🙂bc").sample(PROMPT, max_tokens=limit)
        assert len(row.tokens) == limit
        assert "a🙂bc".startswith(row.text)
        assert row.finish == "length"

    async def test_stop_texts_are_left_out(self):
        (row,) = await FakeLM(lambda prompt, seed: "one\ntwo STOP three").sample(PROMPT, stop=["STOP", "\n"])
        assert (row.text, row.finish) == ("one", "stop")

    async def test_closing_early_frees_the_rows(self):
        lm = FakeLM(lambda prompt, seed: "x" * 100)
        stream = lm.stream(PROMPT, [1, 2], Sampling())
        await anext(stream)
        assert lm.open_rows == 2
        await stream.aclose()
        assert lm.open_rows == 0

    async def test_a_coroutine_and_a_log_probability(self):
        async def answer(prompt, seed):
            return "yes", -2.0

        (row,) = await FakeLM(answer).sample(PROMPT)
        assert row.logprob == pytest.approx(-2.0)


def test_a_model_that_cannot_says_so():
    class Bare(LanguageModel):
        def stream(self, prompt, seeds, sampling):
            raise AssertionError

    from educe.core import CapabilityError

    for call in (
        lambda: Bare().score_sync("a", ["b"]),
        lambda: Bare().embed_sync(["a"]),
        lambda: Bare().require("logprobs"),
    ):
        with pytest.raises(CapabilityError):
            call()
