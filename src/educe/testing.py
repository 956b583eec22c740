"""The public conformance battery for inference-time methods, ours and other people's.

`check_strategy` runs a method on fake models and holds it to what every method promises: budgets end it
softly, equal seeds give equal posteriors whatever the batch or the executor, an interrupt keeps what is there,
unreadable samples are no crash, and the ledger adds up. It cannot tell whether a method is any good.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from educe.core import Budget, InProcess, Posterior, Seed, run_sync
from educe.lm import Chunk, FakeLM, Prompt, Sampling, Session
from educe.reason import Answer, Question, Strategy

__all__ = ["CHECKS", "check_strategy"]

QUESTION = Question("How many legs do three spiders have?")


class ConformanceError(AssertionError):
    """A method broke one of the promises; the message names the check."""


def _votes(prompt: str, seed: int) -> tuple[str, float]:
    """Answer 24 in two of three cases, else 18 or nothing readable, with a log-probability of its own."""
    pick = Seed(seed).child("vote").bits() % 6
    text = {0: "I count 18. The answer is 18.", 1: "No idea at all."}.get(pick, "3 x 8 = 24. The answer is 24.")
    return text, -1.0 - pick


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
    first, _ = await _solve(strategy, FakeLM(_votes), seed=5)
    second, _ = await _solve(strategy, FakeLM(_votes), seed=5)
    _expect(_table(first) == _table(second), f"same seed, different posteriors: {_table(first)}, {_table(second)}")


async def _check_batch(strategy: Strategy) -> None:
    together, _ = await _solve(strategy, FakeLM(_votes), seed=5)
    apart, _ = await _solve(strategy, _OneByOne(_votes, chunk_tokens=1), seed=5)
    _expect(_table(together) == _table(apart), f"depends on the batch: {_table(together)}, {_table(apart)}")


async def _check_budgets(strategy: Strategy) -> None:
    _, free = await _solve(strategy, FakeLM(_votes))
    spent = free.ledger
    for name, used in (("samples", spent.samples), ("calls", spent.calls), ("tokens", spent.tokens)):
        limits = {1, used // 2, used - 1} if used > 1 else {1}
        for limit in sorted(value for value in limits if value >= 1):
            budget = Budget(**{name: limit})
            posterior, session = await _solve(strategy, FakeLM(_votes, chunk_tokens=1), budget)
            over = getattr(session.ledger, name) - limit
            # The prompt of the request that reaches a token limit is paid for as a whole.
            slack = session.ledger.prompt_tokens if name == "tokens" else 0
            _expect(over <= slack, f"spent {name}={limit + over} of {limit}")
            stopped = posterior.ledger.stopped_by
            _expect(used <= limit or stopped == name, f"ended by {name}={limit} says stopped_by={stopped!r}")


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


async def _check_ledger(strategy: Strategy) -> None:
    lm = FakeLM(_votes)
    posterior, session = await _solve(strategy, lm, trace=True)
    asked = sum(event.kind == "sample" for event in session.events)
    _expect(len(lm.prompts) == asked, f"asked the model {len(lm.prompts) - asked} times behind the session's back")
    traced = [row for event in session.events if event.kind == "sample" for row in event.completions]
    ledger = posterior.ledger
    tokens = sum(len(row.tokens) for row in traced)
    _expect(ledger.sampled_tokens == tokens, f"says {ledger.sampled_tokens} sampled tokens, {tokens} were traced")
    _expect(ledger.samples == len(traced), f"says {ledger.samples} samples, {len(traced)} were traced")
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
    "time ends it softly": _check_clock,
    "an interrupt keeps what is there": _check_interrupt,
    "cancellation is passed on": _check_cancel,
    "unreadable samples": _check_unreadable,
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
