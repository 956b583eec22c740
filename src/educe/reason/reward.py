"""Rewards: how good the steps of a partial answer are, as numbers in [0, 1]; and how a path's scores become one.

A reward scores every step that has no score yet. What comes back is checked here, for all searchers alike: a score
that is no number in [0, 1] is an error that names it, a reward that raises is an error that carries its words, and
one that runs out of its time ends the session softly, since a time-out says nothing about the step.

What this file does not do: train a reward model. Source of the aggregations: Lightman et al. (2023), arXiv:2305.20050,
and Snell et al. (2024), arXiv:2408.03314, section 5.1.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar, Literal, Protocol

from educe.core import BackendError, CapabilityError, EduceError, Ledger, UsageError, nearest
from educe.lm import Session
from educe.reason._equations import equations_hold
from educe.reason.question import Question
from educe.reason.steps import Prefix, continued
from educe.verify import ProcessReward, SelfEval

__all__ = [
    "REWARDS",
    "Aggregation",
    "FunctionReward",
    "LogprobReward",
    "Reward",
    "SelfEvaluation",
    "StepCheck",
    "aggregate_scores",
    "check_reward",
    "logit",
    "make_reward",
    "score_steps",
]

Aggregation = Literal["last", "min", "prod", "mean"]
CLIP = 1e-7
Scores = Sequence[Sequence[float] | None]


class Reward(Protocol):
    """What a searcher needs of a reward; any object with these fits.

    Attributes
    ----------
    name : str
        Shown in errors and results.
    requires : tuple of str
        Capabilities of the model that it needs.
    """

    @property
    def name(self) -> str:
        """Shown in errors and results."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Capabilities of the model that it needs."""
        ...

    async def __call__(self, question: Question, prefixes: Sequence[Prefix], lm: Session) -> Scores:
        """Score the steps that have no score yet.

        Parameters
        ----------
        question : Question
            What is being answered.
        prefixes : sequence of Prefix
            Each lacks scores for ``steps[len(scores):]``.
        lm : Session
            The model; a reward that asks it, or anything that costs, charges it here.

        Returns
        -------
        sequence of sequence of float
            Per prefix the missing scores, in order, each in [0, 1]; None where the budget ended before.
        """
        ...


@dataclass(frozen=True)
class LogprobReward:
    """The geometric mean probability per token of everything up to the step, at temperature 1. Costs nothing.

    Examples
    --------
    >>> LogprobReward().name
    'logprob'
    """

    name: ClassVar[str] = "logprob"
    requires: ClassVar[tuple[str, ...]] = ("logprobs",)

    async def __call__(self, question: Question, prefixes: Sequence[Prefix], lm: Session) -> Scores:
        """See `Reward`."""
        results = []
        for prefix in prefixes:
            scores, total, tokens = [], 0.0, 0
            for number, step in enumerate(prefix.steps):
                if step.logprob is None:
                    raise CapabilityError(
                        f"Model {lm.lm.name!r} sent no log-probabilities, which the reward 'logprob' is made of. "
                        "Use another model, or another reward."
                    )
                total += step.logprob
                tokens += step.tokens
                if number >= len(prefix.scores):
                    scores.append(math.exp(min(0.0, total / tokens)) if tokens else 0.0)
            results.append(scores)
        return results


@dataclass(frozen=True)
class SelfEvaluation:
    """Ask the model itself: the probability of "yes" against "no" after the steps and a question about them.

    Parameters
    ----------
    ask : str
        What is asked once the steps are shown.
    yes, no : str
        The two answers whose probabilities are compared.

    Examples
    --------
    >>> SelfEvaluation().requires
    ('score',)
    """

    name: ClassVar[str] = "self-eval"
    requires: ClassVar[tuple[str, ...]] = ("score",)
    ask: str = "Is every step so far right? Answer yes or no."
    yes: str = "yes"
    no: str = "no"

    async def __call__(self, question: Question, prefixes: Sequence[Prefix], lm: Session) -> Scores:
        """See `Reward`. Equal texts are asked about once."""
        wanted: dict[str, Prefix] = {}
        for prefix in prefixes:
            for count in range(len(prefix.scores) + 1, len(prefix.steps) + 1):
                part = Prefix(prefix.steps[:count])
                wanted[part.text] = part
        found = dict(
            zip(wanted, await asyncio.gather(*(self._one(question, part, lm) for part in wanted.values())), strict=True)
        )
        results: list[list[float] | None] = []
        for prefix in prefixes:
            texts = [
                Prefix(prefix.steps[:count]).text for count in range(len(prefix.scores) + 1, len(prefix.steps) + 1)
            ]
            scores = [value for text in texts if (value := found[text]) is not None]
            results.append(scores if len(scores) == len(texts) else None)
        return results

    async def _one(self, question: Question, prefix: Prefix, lm: Session) -> float | None:
        prompt = [*continued(question, prefix), {"role": "user", "content": self.ask}]
        rows = await lm.score(prompt, [self.yes, self.no])  # type: ignore[arg-type]
        if len(rows) < 2:
            return None
        return 1.0 / (1.0 + math.exp(min(700.0, rows[1].logprob - rows[0].logprob)))


@dataclass(frozen=True)
class StepCheck:
    """An exact checker of steps: high for a step shown right, low for one shown wrong, between where it cannot tell.

    Parameters
    ----------
    check : callable, optional
        ``check(question, texts)`` takes the texts of all steps so far and says True, False or None of the last one.
        When left out, every equation between numbers in the step is computed.
    right, wrong, unknown : float
        The three scores, in [0, 1].

    Examples
    --------
    >>> StepCheck().score_of(Question("What is 2 + 3 + 4?"), ["2 + 3 = 6"])
    0.01
    """

    name: ClassVar[str] = "exact"
    requires: ClassVar[tuple[str, ...]] = ()
    check: Callable[[Question, list[str]], bool | None] | None = field(default=None, compare=False)
    right: float = 0.99
    wrong: float = 0.01
    unknown: float = 0.5

    def score_of(self, question: Question, texts: list[str]) -> float:
        """Score the last of the steps.

        Parameters
        ----------
        question : Question
            What is being answered.
        texts : list of str
            All steps so far.
        """
        verdict = equations_hold(texts[-1]) if self.check is None else self.check(question, texts)
        return self.unknown if verdict is None else self.right if verdict else self.wrong

    async def __call__(self, question: Question, prefixes: Sequence[Prefix], lm: Session) -> Scores:
        """See `Reward`."""
        results, checked = [], 0
        for prefix in prefixes:
            texts = [step.text for step in prefix.steps]
            places = range(len(prefix.scores), len(texts))
            results.append([self.score_of(question, texts[: place + 1]) for place in places])
            checked += len(places)
        lm.spend(Ledger(tool_calls=checked))
        return results


@dataclass(frozen=True)
class FunctionReward:
    """A function of yours as a reward.

    Parameters
    ----------
    function : callable
        ``function(question, text)`` returns the score, in [0, 1], of the answer as far as ``text`` goes. A coroutine
        function is awaited, all texts at once; a plain one runs in a thread, so that a slow one holds nothing else up.
    name : str
        Shown in errors and results; it stands for the function where runs are compared.
    seconds : float
        How long one round of scoring may take, > 0.

    Examples
    --------
    >>> FunctionReward(lambda question, text: 0.9 if "=" in text else 0.2, "has an equation")
    FunctionReward(name='has an equation', seconds=60.0)
    """

    requires: ClassVar[tuple[str, ...]] = ()
    function: Callable[[Question, str], float | Awaitable[float]] = field(compare=False, repr=False)
    name: str = "function"
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise UsageError(f"seconds={self.seconds} leaves the reward no time. Give a number > 0.")

    async def __call__(self, question: Question, prefixes: Sequence[Prefix], lm: Session) -> Scores:
        """See `Reward`. Equal texts are scored once."""
        wanted = {text: 0.0 for prefix in prefixes for text in _unscored(prefix)}

        async def one(text: str) -> None:
            if inspect.iscoroutinefunction(self.function):
                wanted[text] = await self.function(question, text)
            else:
                wanted[text] = await asyncio.to_thread(self.function, question, text)  # type: ignore[arg-type]

        async with asyncio.timeout(self.seconds):
            await asyncio.gather(*map(one, wanted))
        lm.spend(Ledger(tool_calls=len(wanted)))
        return [[wanted[text] for text in _unscored(prefix)] for prefix in prefixes]


def _unscored(prefix: Prefix) -> list[str]:
    """The answer as far as each step that has no score."""
    return [
        "".join(step.text for step in prefix.steps[: count + 1])
        for count in range(len(prefix.scores), len(prefix.steps))
    ]


@lru_cache(maxsize=1)
def _process_reward() -> Reward:
    return ProcessReward.load()


# "prm" judges the steps of abacus and of no other model; "self-eval-token" is for models trained to read that token.
REWARDS: dict[str, Callable[[], Reward]] = {
    "logprob": LogprobReward,
    "self-eval": SelfEvaluation,
    "self-eval-token": SelfEval,
    "exact": StepCheck,
    "prm": _process_reward,
}


def check_reward(reward: str | Reward) -> None:
    """Refuse what is no reward, without loading any weights.

    Parameters
    ----------
    reward : str or Reward
        See `make_reward`.

    Raises
    ------
    UsageError
        The name is unknown, or the object is none.
    """
    if isinstance(reward, str):
        if reward not in REWARDS:
            raise UsageError(f"Reward {reward!r} is unknown; {nearest(reward, REWARDS)}")
    elif not callable(reward) or not hasattr(reward, "requires"):
        raise UsageError(f"{reward!r} is no reward. Give a name, or wrap a function in FunctionReward.")


def make_reward(reward: str | Reward) -> Reward:
    """Return a reward by its name; a reward is returned as it is.

    Parameters
    ----------
    reward : str or Reward
        One of `REWARDS`, or an object.

    Raises
    ------
    UsageError
        The name is unknown, or the object is none.

    Examples
    --------
    >>> make_reward("logprob")
    LogprobReward()
    """
    check_reward(reward)
    return REWARDS[reward]() if isinstance(reward, str) else reward


def aggregate_scores(scores: Sequence[float], how: Aggregation = "last") -> float:
    """Turn the scores of a path's steps into one number.

    Parameters
    ----------
    scores : sequence of float
        In order of the steps.
    how : str
        ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``. A product punishes long answers.

    Returns
    -------
    float
        0 where there is no score.

    Examples
    --------
    >>> aggregate_scores([0.5, 0.8], "prod"), aggregate_scores([0.5, 0.8])
    (0.4, 0.8)
    """
    if not scores:
        return 0.0
    if how == "last":
        return scores[-1]
    if how == "min":
        return min(scores)
    return math.prod(scores) if how == "prod" else math.fsum(scores) / len(scores)


def logit(score: float) -> float:
    """Log-odds of a score, which is first kept a ten-millionth away from 0 and 1.

    Parameters
    ----------
    score : float
        In [0, 1].

    Examples
    --------
    >>> logit(0.5), round(logit(1.0), 3)
    (0.0, 16.118)
    """
    clipped = min(max(score, CLIP), 1 - CLIP)
    return math.log(clipped) - math.log1p(-clipped)


async def score_steps(
    reward: str | Reward, question: Question, prefixes: Sequence[Prefix], lm: Session
) -> list[Prefix]:
    """Give scores to all steps that have none.

    Parameters
    ----------
    reward : str or Reward
        See `make_reward`.
    question : Question
        What is being answered.
    prefixes : sequence of Prefix
        Those that a budget has cut are not scored.
    lm : Session
        The model, metered.

    Returns
    -------
    list of Prefix
        In the same order; ``ended`` is ``"budget"`` where the budget, an interrupt or a time-out left no score.

    Raises
    ------
    UsageError
        The reward gave something else than one number in [0, 1] per step.
    BackendError
        The reward raised an error.
    """
    judge = make_reward(reward)
    places = [i for i, prefix in enumerate(prefixes) if _waits(prefix)]
    given: list[Scores] = []

    async def ask() -> None:
        given.append(await judge(question, [prefixes[i] for i in places], lm))

    if places and lm.stopped in (None, "samples"):
        try:
            await lm.watched(ask())
        except TimeoutError:
            lm.stop("reward")
        except EduceError:
            raise
        except Exception as error:
            raise BackendError(
                f"Reward {judge.name!r} raised {type(error).__name__}: {error}. Repair it, or use another reward."
            ) from error
    results = [prefix.cut() if _waits(prefix) else prefix for prefix in prefixes]
    if given:
        if len(given[0]) != len(places):
            raise UsageError(
                f"Reward {judge.name!r} scored {len(given[0])} of {len(places)} answers. Return one list for each."
            )
        for place, scores in zip(places, given[0], strict=True):
            if scores is not None:
                prefix = prefixes[place]
                results[place] = replace(prefix, scores=(*prefix.scores, *_checked(judge.name, prefix, scores)))
    return results


def _waits(prefix: Prefix) -> bool:
    return prefix.ended != "budget" and len(prefix.scores) < len(prefix.steps)


def _checked(name: str, prefix: Prefix, scores: Sequence[float]) -> list[float]:
    wanted = len(prefix.steps) - len(prefix.scores)
    if len(scores) != wanted:
        raise UsageError(f"Reward {name!r} gave {len(scores)} scores for {wanted} steps. Return one for each.")
    for score, step in zip(scores, prefix.steps[len(prefix.scores) :], strict=True):
        # NaN fails both comparisons.
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
            raise UsageError(
                f"Reward {name!r} gave {score!r} for the step {step.text[:60]!r}. Return a number between 0 and 1."
            )
    return [float(score) for score in scores]
