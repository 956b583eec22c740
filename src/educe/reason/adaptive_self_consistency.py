"""Self-consistency that stops as soon as the vote is settled.

Source: Aggarwal et al. (2023), Let's Sample Step by Step: Adaptive-Consistency for Efficient Reasoning and Coding with
LLMs, arXiv:2305.11860. After v_1 >= v_2 >= ... votes, the answers' shares have a Dirichlet posterior with
parameters v_i + 1. Sampling ends when the leading answer's share is the largest with probability above a
threshold: exactly (`AdaptiveSelfConsistency`), or against the runner-up alone (`BetaSelfConsistency`), which is a
tail of a Beta law.

The rule asks which answer the model gives most often, not which is right. It looks again after each round without
correcting for it, so it errs somewhat more often than the threshold suggests; `stopping_probability` is exact for one
look. Answers never seen are taken to be impossible.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from educe.core import Posterior, UsageError
from educe.lm import Completion, Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["AdaptiveSelfConsistency", "BetaSelfConsistency", "round_sizes", "stopping_probability"]

NODES = 400


def stopping_probability(votes: Sequence[int], rule: str = "dirichlet") -> float:
    """Probability that the answer with the most votes has the largest share.

    Parameters
    ----------
    votes : sequence of int
        Votes per answer, >= 0.
    rule : str
        ``"dirichlet"`` against all others, ``"beta"`` against the runner-up alone.

    Returns
    -------
    float
        In [0, 1]; 0 without votes. A single answer is held against one that had no vote.

    Raises
    ------
    UsageError
        The rule is unknown or a count is negative.

    Examples
    --------
    >>> stopping_probability([3, 0], "beta")
    0.9375
    """
    if rule not in ("dirichlet", "beta"):
        raise UsageError(f"Stopping rule {rule!r} is unknown. Give 'dirichlet' or 'beta'.")
    if any(count < 0 for count in votes):
        raise UsageError(f"Votes {list(votes)} hold a negative count. Give counts >= 0.")
    ordered = sorted(votes, reverse=True)
    if not ordered or ordered[0] == 0:
        return 0.0
    ordered = [*ordered, 0] if len(ordered) == 1 else ordered
    if rule == "beta" or len(ordered) == 2:
        first, second = ordered[0] + 1, ordered[1] + 1
        # P(Beta(a, b) > 1/2) for whole a, b is a binomial tail (Abramowitz and Stegun 26.5.24).
        trials = first + second - 1
        return math.fsum(math.comb(trials, j) / 2**trials for j in range(first))
    return _largest(tuple(count + 1 for count in ordered))


def _largest(shapes: tuple[int, ...]) -> float:
    """P(first > all others) for Dirichlet shares, as independent gamma variables: the integral of f_1 prod F_j."""
    low = max(0.0, shapes[0] - 12 * math.sqrt(shapes[0]) - 12)
    high = shapes[0] + 14 * math.sqrt(shapes[0]) + 40
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    x = torch.from_numpy((high - low) / 2 * nodes + (high + low) / 2)
    total = (shapes[0] - 1) * x.log() - x - math.lgamma(shapes[0])
    for shape, count in Counter(shapes[1:]).items():
        below = torch.special.gammainc(torch.tensor(float(shape), dtype=torch.float64), x)
        total = total + count * below.clamp(min=1e-300).log()
    return min(1.0, float((total.exp() * torch.from_numpy(weights)).sum()) * (high - low) / 2)


def round_sizes(rounds: str, n: int) -> list[int]:
    """Samples per round.

    Parameters
    ----------
    rounds : str
        ``"sequential"``: one at a time. ``"doubling"``: 1, 1, 2, 4, ..., for lower latency.
    n : int
        All samples together, >= 1.

    Raises
    ------
    UsageError
        The name is unknown.

    Examples
    --------
    >>> round_sizes("doubling", 10)
    [1, 1, 2, 4, 2]
    """
    if rounds not in ("sequential", "doubling"):
        raise UsageError(f"rounds={rounds!r} is unknown. Give 'sequential' or 'doubling'.")
    sizes: list[int] = []
    while (done := sum(sizes)) < n:
        sizes.append(1 if rounds == "sequential" else min(max(1, done), n - done))
    return sizes


@register("adaptive-self-consistency")
@dataclass(frozen=True, repr=False)
class AdaptiveSelfConsistency(Strategy):
    """Majority vote that stops when the leader is probably the mode (Dirichlet rule).

    Parameters
    ----------
    n : int
        Most samples, >= 1.
    threshold : float
        Stop when the leading answer is the most frequent with more than this probability, in (0, 1].
    rounds : str
        ``"sequential"`` or ``"doubling"``, see `round_sizes`.
    temperature : float
        Sampling temperature, > 0.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(AdaptiveSelfConsistency()(Question("3 x 8 = ?"), Session(lm))).ledger.samples
    4
    """

    rule: ClassVar[str] = "dirichlet"
    n: int = 40
    threshold: float = 0.95
    rounds: Literal["sequential", "doubling"] = "sequential"
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1:
            raise UsageError(f"n={self.n}, max_tokens={self.max_tokens} draw nothing. Give numbers >= 1.")
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all samples equal. Give temperature > 0.")
        if not 0 < self.threshold <= 1:
            raise UsageError(f"threshold={self.threshold} is no probability above 0. Give for instance 0.95.")
        round_sizes(self.rounds, 1)

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        completions: list[Completion] = []
        votes: list[Answer] = []
        surety = 0.0
        for size in round_sizes(self.rounds, self.n):
            completions += await lm.sample(
                question.messages(),
                n=size,
                temperature=self.temperature,
                top_p=self.top_p,
                max_tokens=self.max_tokens,
            )
            # All are read again, since equal expressions are found by comparing them with one another.
            votes = [answer for answer in await read_answers(question, completions) if answer is not None]
            surety = stopping_probability(list(Counter(votes).values()), self.rule)
            if lm.stopped is not None or surety > self.threshold:
                break
        details = {"unread": len(completions) - len(votes), "surety": surety}
        return Posterior.uniform(votes, ledger=lm.ledger, details=details)


@register("beta-self-consistency")
@dataclass(frozen=True, repr=False)
class BetaSelfConsistency(AdaptiveSelfConsistency):
    """Majority vote that stops when the leader probably beats the runner-up (Beta rule).

    Parameters
    ----------
    n : int
        Most samples, >= 1.
    threshold : float
        Stop when the leading answer beats the runner-up with more than this probability, in (0, 1].
    rounds : str
        ``"sequential"`` or ``"doubling"``, see `round_sizes`.
    temperature : float
        Sampling temperature, > 0.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.

    Examples
    --------
    >>> BetaSelfConsistency(threshold=0.9)
    BetaSelfConsistency(threshold=0.9)
    """

    rule: ClassVar[str] = "beta"
