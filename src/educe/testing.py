"""The public conformance battery for inference-time methods, ours and other people's.

`check_strategy` runs a method on fake models and holds it to what every method promises: budgets end it
softly, equal seeds give equal posteriors whatever the batch or the executor, an interrupt keeps what is there,
unreadable samples are no crash, a reward that fails is a clear error or a soft stop, and the ledger adds up. It cannot
tell whether a method is any good.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from educe.core import BackendError, Budget, CapabilityError, InProcess, Posterior, Seed, UsageError, run_sync
from educe.lm import Chunk, FakeLM, Prompt, Sampling, Session
from educe.reason import Answer, FunctionReward, Question, Strategy

__all__ = ["CHECKS", "check_strategy"]

QUESTION = Question("How many legs do three spiders have?")


class ConformanceError(AssertionError):
    """A method broke one of the promises; the message names the check."""


def _votes(prompt: str, seed: int) -> tuple[str, float]:
    """Answer 24 in two of three cases, else 18 or nothing readable, with a log-probability of its own."""
    pick = Seed(seed).child("vote").bits() % 6
    text = {0: "I count 18. The answer is 18.", 1: "No idea at all."}.get(pick, "3 x 8 = 24. The answer is 24.")
    return text, -1.0 - pick


def _lines(prompt: str, seed: int) -> tuple[str, float]:
    """Answer in three lines, wrong in one of three cases, going on from where the prompt's last turn stands."""
    written = prompt.rpartition("assistant:")[2].lstrip(" ").splitlines(keepends=True)
    wrong = any("18" in line for line in written) or (len(written) < 2 and Seed(seed).child("line").bits() % 3 == 0)
    legs = 18 if wrong else 24
    lines = ["One spider has 8 legs.\n", f"3 x 8 = {legs}.\n", f"The answer is {legs}."]
    return "".join(lines[len(written) :]), -2.0 - seed % 5


ANSWERS = (_votes, _lines)


class _OneByOne(FakeLM):
    """Draws the rows of a request one after the other instead of side by side."""

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        for row, seed in enumerate(seeds):
            async for chunk in super().stream(prompt, [seed], sampling):
                told = chunk.prompt_tokens if row == 0 else 0
                yield dataclasses.replace(chunk, row=row, prompt_tokens=told)


async def _solve(
    strategy: Strategy, lm: FakeLM, budget: Budget | None = None, seed: int = 0, **options: Any
) -> tuple[Posterior[Answer], Session]:
    session = Session(lm, budget, seed, **options)
    result = await asyncio.wait_for(strategy(QUESTION, session), timeout=60)
    _expect(isinstance(result, Posterior), f"returned a {type(result).__name__}, not a Posterior")
    return result, session


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise ConformanceError(message)


def _table(posterior: Posterior[Answer]) -> list[tuple[str, float]]:
    return [(item["answer"], round(item["probability"], 12)) for item in posterior.to_json()["posterior"]]


async def _check_plain_data(strategy: Strategy) -> None:
    cls = type(strategy)
    _expect(dataclasses.is_dataclass(cls), "is no dataclass")
    _expect(cls.__dataclass_params__.frozen, "is not frozen")  # type: ignore[attr-defined]
    rebuilt = cls(**{field.name: getattr(strategy, field.name) for field in dataclasses.fields(strategy)})
    _expect(rebuilt == strategy, "does not store its parameters under their own names")
    _expect(repr(cls()) == f"{cls.__name__}()", f"prints defaults: {cls()!r}")


async def _check_seeds(strategy: Strategy) -> None:
    for answer in ANSWERS:
        first, _ = await _solve(strategy, FakeLM(answer), seed=5)
        second, _ = await _solve(strategy, FakeLM(answer), seed=5)
        _expect(_table(first) == _table(second), f"same seed, different posteriors: {_table(first)}, {_table(second)}")


async def _check_batch(strategy: Strategy) -> None:
    for answer in ANSWERS:
        together, _ = await _solve(strategy, FakeLM(answer), seed=5)
        apart, _ = await _solve(strategy, _OneByOne(answer, chunk_tokens=1), seed=5)
        _expect(_table(together) == _table(apart), f"depends on the batch: {_table(together)}, {_table(apart)}")


async def _check_budgets(strategy: Strategy) -> None:
    for answer in ANSWERS:
        await _check_budgets_on(strategy, answer)


async def _check_budgets_on(strategy: Strategy, answer: Callable[[str, int], tuple[str, float]]) -> None:
    _, free = await _solve(strategy, FakeLM(answer))
    spent = free.ledger
    for name, used in (("samples", spent.samples), ("calls", spent.calls), ("tokens", spent.tokens)):
        limits = {1, used // 2, used - 1} if used > 1 else {1}
        for limit in sorted(value for value in limits if value >= 1):
            budget = Budget(**{name: limit})
            posterior, session = await _solve(strategy, FakeLM(answer, chunk_tokens=1), budget)
            over = getattr(session.ledger, name) - limit
            # The prompt of the request that reaches a token limit is paid for as a whole.
            slack = session.ledger.prompt_tokens if name == "tokens" else 0
            _expect(over <= slack, f"spent {name}={limit + over} of {limit}")
            stopped = posterior.ledger.stopped_by
            _expect(used <= limit or stopped == name, f"ended by {name}={limit} says stopped_by={stopped!r}")


async def _check_small_budget(strategy: Strategy) -> None:
    posterior, _ = await _solve(strategy, FakeLM(_votes, chunk_tokens=1), Budget(tokens=1))
    _expect(posterior.confidence == 0.0, f"concludes {_table(posterior)} from less than one sample")
    _expect(posterior.ledger.stopped_by == "tokens", f"says stopped_by={posterior.ledger.stopped_by!r}")


async def _check_clock(strategy: Strategy) -> None:
    lm = FakeLM(lambda prompt, seed: "word " * 4000, delay=0.005)
    posterior, session = await _solve(strategy, lm, Budget(seconds=0.1))
    _expect(posterior.ledger.stopped_by in ("seconds", None), f"stopped_by={posterior.ledger.stopped_by!r}")
    _expect(session.ledger.seconds < 10, f"took {session.ledger.seconds:.1f} s of 0.1 s")
    _expect(lm.open_rows == 0, f"left {lm.open_rows} rows open")


async def _check_interrupt(strategy: Strategy) -> None:
    lm = FakeLM(lambda prompt, seed: "word " * 4000, delay=0.005)
    session = Session(lm)
    task = asyncio.ensure_future(strategy(QUESTION, session))
    await asyncio.sleep(0.05)
    session.stop()
    posterior = await asyncio.wait_for(task, timeout=60)
    _expect(posterior.ledger.stopped_by == "interrupt", f"interrupted, says {posterior.ledger.stopped_by!r}")
    _expect(lm.open_rows == 0, f"left {lm.open_rows} rows open")


async def _check_cancel(strategy: Strategy) -> None:
    lm = FakeLM(lambda prompt, seed: "word " * 4000, delay=0.005)
    task = asyncio.ensure_future(strategy(QUESTION, Session(lm)))
    await asyncio.sleep(0.05)
    task.cancel()
    _, pending = await asyncio.wait({task}, timeout=60)
    _expect(not pending and task.cancelled(), "swallowed its cancellation")
    _expect(lm.open_rows == 0, f"left {lm.open_rows} rows open")


async def _check_unreadable(strategy: Strategy) -> None:
    for text in ("", "No idea at all.", "\n\n", "�" * 50):
        posterior, _ = await _solve(strategy, FakeLM([text]))
        _expect(posterior.confidence == 0.0, f"concludes {_table(posterior)} from {text!r}")


async def _check_endless(strategy: Strategy) -> None:
    for text in ("word " * 2000, "one more step\n" * 500):
        posterior, _ = await _solve(strategy, FakeLM([text]))
        _expect(posterior.confidence == 0.0, f"concludes {_table(posterior)} from an answer without an end")
        _expect(posterior.ledger.stopped_by is None, f"says stopped_by={posterior.ledger.stopped_by!r} without a limit")


async def _check_one(strategy: Strategy) -> None:
    if not hasattr(strategy, "n"):
        return
    try:
        single = dataclasses.replace(strategy, n=1)  # type: ignore[call-arg]
    except UsageError:
        return
    posterior, _ = await _solve(single, FakeLM(["The answer is 24."]))
    _expect(posterior.confidence == 1.0, f"gives {_table(posterior)} with n=1 on a model that is always sure")


async def _check_rewards(strategy: Strategy) -> None:
    if not hasattr(strategy, "reward"):
        return

    def broken(question: Question, text: str) -> float:
        raise ZeroDivisionError("no steps")

    async def slow(question: Question, text: str) -> float:
        await asyncio.sleep(30)
        return 0.5

    def with_reward(function: Any, seconds: float = 60.0) -> Strategy:
        return dataclasses.replace(strategy, reward=FunctionReward(function, seconds=seconds))  # type: ignore[call-arg]

    for value in (math.nan, math.inf, -0.1, 1.1, None, "good"):
        await _refuses(with_reward(lambda question, text, value=value: value), UsageError, f"a reward of {value!r}")
    await _refuses(with_reward(broken), BackendError, "a reward that raises")
    posterior, _ = await _solve(with_reward(slow, seconds=0.05), FakeLM(_lines))
    stopped = posterior.ledger.stopped_by
    _expect(stopped == "reward", f"says stopped_by={stopped!r} when the reward takes too long")
    _, session = await _solve(with_reward(slow), FakeLM(_lines), Budget(seconds=0.1))
    _expect(session.ledger.seconds < 10, f"waits {session.ledger.seconds:.1f} s of 0.1 s for a reward")


async def _refuses(strategy: Strategy, error: type[Exception], what: str) -> None:
    try:
        posterior, _ = await _solve(strategy, FakeLM(_lines))
    except error:
        return
    raise ConformanceError(f"concludes {_table(posterior)} from {what}")


class _WithoutLogprobs(FakeLM):
    """A server that sends no log-probabilities, which only its rows tell."""

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        async for chunk in super().stream(prompt, seeds, sampling):
            yield dataclasses.replace(chunk, logprobs=None, sampling_logprobs=None)


async def _check_logprobs(strategy: Strategy) -> None:
    with contextlib.suppress(CapabilityError):
        await _solve(strategy, _WithoutLogprobs(_lines))
    lm = _WithoutLogprobs(_lines)
    lm.capabilities = lm.capabilities - {"logprobs", "score"}
    try:
        lm.require(*strategy.requires)
        posterior, _ = await _solve(strategy, lm)
    except CapabilityError:
        _expect(not lm.prompts, "needs log-probabilities and does not say so before it begins")
        return
    _expect(posterior.confidence > 0.0, "concludes nothing without log-probabilities and does not say so")


async def _check_ledger(strategy: Strategy) -> None:
    for answer in ANSWERS:
        await _check_ledger_on(strategy, FakeLM(answer))


async def _check_ledger_on(strategy: Strategy, lm: FakeLM) -> None:
    posterior, session = await _solve(strategy, lm, trace=True)
    asked = sum(event.kind == "sample" for event in session.events)
    _expect(len(lm.prompts) == asked, f"asked the model {len(lm.prompts) - asked} times behind the session's back")
    traced = [row for event in session.events if event.kind == "sample" for row in event.completions]
    ledger = posterior.ledger
    tokens = sum(len(row.tokens) for row in traced)
    _expect(ledger.sampled_tokens == tokens, f"says {ledger.sampled_tokens} sampled tokens, {tokens} were traced")
    begun = sum(max(0, len(event.completions) - event.continues) for event in session.events if event.kind == "sample")
    _expect(ledger.samples == begun, f"says {ledger.samples} samples, {begun} were traced")
    _expect(ledger.calls == len(session.events), f"says {ledger.calls} calls, {len(session.events)} were traced")
    same = dataclasses.replace(session.ledger, seconds=ledger.seconds) == ledger
    _expect(same, "its ledger is not the session's")


async def _check_probabilities(strategy: Strategy) -> None:
    posterior, _ = await _solve(strategy, FakeLM(["The answer is 24.", "The answer is 18."]))
    total = float(posterior.probabilities.sum())
    _expect(math.isclose(total, 1.0, abs_tol=1e-9), f"gives probabilities that sum to {total}")
    _expect(all(isinstance(answer, Answer) for answer in posterior.values), "values are not all Answers")


async def _check_executors(strategy: Strategy) -> None:
    async def one(seed: int) -> list[tuple[str, float]]:
        posterior, _ = await _solve(strategy, FakeLM(_votes), seed=seed)
        return _table(posterior)

    tables = []
    for limit in (1, 4):
        async with InProcess(limit=limit) as executor:
            tables.append({index: table async for index, table in executor.map(one, range(6))})
    _expect(tables[0] == tables[1], "depends on how many questions run at once")


CHECKS: dict[str, Callable[[Strategy], Coroutine[Any, Any, None]]] = {
    "plain data": _check_plain_data,
    "same seed, same posterior": _check_seeds,
    "independent of the batch": _check_batch,
    "budgets end it softly": _check_budgets,
    "a budget too small for one sample": _check_small_budget,
    "time ends it softly": _check_clock,
    "an interrupt keeps what is there": _check_interrupt,
    "cancellation is passed on": _check_cancel,
    "unreadable samples": _check_unreadable,
    "a model that never ends": _check_endless,
    "one sample": _check_one,
    "a reward that fails": _check_rewards,
    "a server without log-probabilities": _check_logprobs,
    "the ledger adds up": _check_ledger,
    "probabilities": _check_probabilities,
    "independent of the executor": _check_executors,
}


def check_strategy(strategy: Strategy, skip: Sequence[str] = ()) -> list[str]:
    """Hold a method to what every method promises.

    Parameters
    ----------
    strategy : Strategy
        An instance, small: it is run some thirty times on fake models.
    skip : sequence of str
        Names of `CHECKS` that the method cannot meet for a reason its documentation states.

    Returns
    -------
    list of str
        The checks that were passed.

    Raises
    ------
    ConformanceError
        A promise is broken; an `AssertionError`, so that it reads well in a test.

    Examples
    --------
    >>> from educe.reason import SelfConsistency
    >>> len(check_strategy(SelfConsistency(n=4))) == len(CHECKS)
    True
    """
    passed = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        try:
            run_sync(check(strategy))
        except ConformanceError as error:
            raise ConformanceError(f"{strategy!r} fails {name!r}: it {error}") from None
        except Exception as error:
            message = f"{strategy!r} fails {name!r}: it raised {type(error).__name__}: {error}"
            raise ConformanceError(message) from error
        passed.append(name)
    return passed
