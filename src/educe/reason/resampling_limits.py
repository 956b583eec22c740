"""What resampling until a verifier accepts can reach at most, and how many attempts pay.

Source: Stroebl, Kapoor and Narayanan (2024), Inference Scaling fLaws, arXiv:2411.17501, sections 3 to 5.
The first accepted sample of a task is right with probability q = P(right | accepted), however many attempts were
allowed; so the mean of q over tasks is a ceiling that compute cannot lift. With a finite pool of n samples of which b
are accepted, an acceptance comes within K draws without replacement with probability 1 - C(n-b, K) / C(n, K), and the
first accepted one is right with probability t / b, t being those both accepted and right: the expected
reward needs no simulation.

`two_type_reward` is the theory of the paper for tasks of two difficulties. The published program multiplies by survival
under the posterior mixture once too often; here the terms are sum over types of p_j b_j^(k-1) v_j.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from educe.core import UsageError
from educe.reason.bank_row import RIGHT
from educe.reason.coverage import pass_at_k
from educe.reason.sample_bank import SampleBank

__all__ = ["Ceiling", "RewardCurve", "resampling_ceiling", "resampling_reward", "two_type_attempts", "two_type_reward"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Pool = SampleBank | tuple[Sequence[npt.ArrayLike], Sequence[npt.ArrayLike]]


@dataclass(frozen=True)
class Ceiling:
    """Accuracy of the first accepted sample, without a limit on attempts.

    Parameters
    ----------
    macro : float
        Mean over tasks of the share of right samples among the accepted ones; tasks without any are left out.
    micro : float
        The same share over all accepted samples.
    worst, best : float
        The macro mean when tasks without an accepted sample count as wrong, or as right.
    dropped : int
        Tasks without an accepted sample.
    per_task : (tasks,) float64
        NaN for those.
    """

    macro: float
    micro: float
    worst: float
    best: float
    dropped: int
    per_task: Floats


@dataclass(frozen=True)
class RewardCurve:
    """Expected reward against the number of attempts.

    Parameters
    ----------
    ks : (points,) int64
        Attempts allowed.
    mean : (points,) float64
        Mean over tasks: 1 for a right answer, minus the cost for a wrong one, 0 for none.
    per_task : (tasks, points) float64
        The same for each task, to resample over.
    optimal_k : int
        The first of ``ks`` with the largest mean; 0 where not trying at all is better.
    """

    ks: Integers
    mean: Floats
    per_task: Floats
    optimal_k: int


def _counts(bank: Pool, verifier: str | None) -> tuple[Integers, Integers, Integers]:
    """Samples, accepted ones, and accepted right ones of each task."""
    if isinstance(bank, SampleBank):
        if verifier is None:
            raise UsageError("A bank needs the name of the score that says what was accepted. Give verifier='...'.")
        missing = [index for index, row in enumerate(bank) if verifier not in row.scores]
        if missing:
            known = sorted({name for row in bank for name in row.scores})
            raise UsageError(f"Question {missing[0]} has no score {verifier!r}. The bank's scores: {known}.")
        accepted: Sequence[npt.ArrayLike] = [row.scores[verifier] > 0.5 for row in bank]
        right: Sequence[npt.ArrayLike] = [row.verdicts == RIGHT for row in bank]
    else:
        accepted, right = bank
    if not len(accepted) or len(accepted) != len(right):
        raise UsageError(f"{len(accepted)} and {len(right)} tasks do not fit. Give one array of each per task.")
    pairs = [(np.asarray(a, dtype=bool), np.asarray(r, dtype=bool)) for a, r in zip(accepted, right, strict=True)]
    for number, (a, r) in enumerate(pairs):
        if a.shape != r.shape or a.ndim != 1 or not len(a):
            raise UsageError(f"Task {number} has {a.shape} verdicts and {r.shape} truths. Give two equal vectors.")
    numbers = np.array([(len(a), a.sum(), (a & r).sum()) for a, r in pairs], dtype=np.int64)
    return numbers[:, 0], numbers[:, 1], numbers[:, 2]


def resampling_ceiling(bank: Pool, verifier: str | None = None) -> Ceiling:
    """Accuracy that resampling reaches at most.

    Parameters
    ----------
    bank : SampleBank or pair of sequences of array-like of bool
        Samples with verdicts, which are the truth here; or ``(accepted, right)``, one array of each per task.
    verifier : str, optional
        Which of a bank's scores says what was accepted: above one half it was.

    Returns
    -------
    Ceiling

    Raises
    ------
    UsageError
        There is no task, the arrays do not fit, or the bank lacks the score.

    Examples
    --------
    >>> ceiling = resampling_ceiling(([[1, 1, 0], [1, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 1, 0], [0, 0, 0]]))
    >>> ceiling.macro, round(ceiling.micro, 3), ceiling.worst, ceiling.dropped
    (0.75, 0.667, 0.5, 1)
    """
    _, accepted, right = _counts(bank, verifier)
    per_task = np.divide(right, accepted, out=np.full(len(right), np.nan), where=accepted > 0)
    dropped = int((accepted == 0).sum())
    kept = per_task[accepted > 0]
    return Ceiling(
        float(kept.mean()) if len(kept) else math.nan,
        float(right.sum() / accepted.sum()) if accepted.sum() else math.nan,
        float(kept.sum() / len(per_task)),
        float((kept.sum() + dropped) / len(per_task)),
        dropped,
        per_task,
    )


def resampling_reward(
    bank: Pool, verifier: str | None = None, *, fp_cost: float = 1.0, ks: npt.ArrayLike | None = None
) -> RewardCurve:
    """Expected reward of at most K attempts, exactly, for a pool of samples drawn without replacement.

    Parameters
    ----------
    bank, verifier
        As for `resampling_ceiling`.
    fp_cost : float
        Cost of a wrong answer in units of a right one's benefit, >= 0.
    ks : array-like of int, optional
        Attempts to look at, 1 <= k <= samples of every task; all of them when left out.

    Returns
    -------
    RewardCurve

    Raises
    ------
    UsageError
        As for `resampling_ceiling`, or the cost is negative, or a k is out of range.

    Examples
    --------
    >>> resampling_reward(([[1, 0], [0, 0]], [[1, 0], [0, 0]])).mean.tolist()
    [0.25, 0.5]
    """
    if not fp_cost >= 0:
        raise UsageError(f"fp_cost={fp_cost} is no cost. Give a number >= 0.")
    samples, accepted, right = _counts(bank, verifier)
    points = np.arange(1, samples.min() + 1) if ks is None else np.atleast_1d(np.asarray(ks, dtype=np.int64))
    found = pass_at_k(samples[:, None], accepted[:, None], points[None, :])
    precision = np.divide(right, accepted, out=np.zeros(len(right)), where=accepted > 0)
    per_task = found * (precision - fp_cost * (1 - precision))[:, None]
    mean = per_task.mean(0)
    # Beyond rounding: a curve that has come to rest must not be read as still rising.
    best = int(np.argmax(mean >= mean.max() - 1e-12))
    return RewardCurve(points, mean, per_task, int(points[best]) if mean[best] > 0 else 0)


def _two_types(
    p: Sequence[float], r: Sequence[float], c: float, s: float, fp_cost: float
) -> tuple[Floats, Floats, Floats]:
    prior, rate = np.asarray(p, dtype=np.float64), np.asarray(r, dtype=np.float64)
    numbers = np.concatenate([prior, rate, [c, s]])
    if prior.shape != rate.shape or prior.ndim != 1 or not ((numbers >= 0) & (numbers <= 1)).all():
        raise UsageError(f"p={p!r}, r={r!r}, c={c}, s={s} are no probabilities of equal number. Give two of each.")
    if not math.isclose(prior.sum(), 1.0, abs_tol=1e-9):
        raise UsageError(f"The shares p={p!r} sum to {prior.sum():g}. Give shares that sum to one.")
    if not fp_cost >= 0:
        raise UsageError(f"fp_cost={fp_cost} is no cost. Give a number >= 0.")
    reject = (1 - c) * rate + s * (1 - rate)
    value = c * rate - fp_cost * (1 - rate) * (1 - s)
    return prior, reject, value


def two_type_reward(
    p: Sequence[float], r: Sequence[float], c: float, s: float, fp_cost: float, ks: npt.ArrayLike
) -> Floats:
    """Expected reward of at most K attempts on a task whose type is not known.

    Parameters
    ----------
    p, r : sequence of float
        Shares of the types, summing to one, and their success rates.
    c, s : float
        Completeness and soundness of the verifier.
    fp_cost : float
        Cost of a wrong answer in units of a right one's benefit, >= 0.
    ks : array-like of int
        Attempts, >= 0.

    Returns
    -------
    ndarray of float64
        One value for each k.

    Raises
    ------
    UsageError
        An argument is out of range.

    Examples
    --------
    >>> two_type_reward((0.58, 0.42), (0.87, 0.13), 1.0, 0.75, 1.0, [1, 10_000]).round(4).tolist()
    [0.449, 0.4325]
    """
    attempts = np.atleast_1d(np.asarray(ks, dtype=np.int64))
    if (attempts < 0).any():
        raise UsageError(f"ks={ks!r} holds a negative number of attempts. Give numbers >= 0.")
    prior, reject, value = _two_types(p, r, c, s, fp_cost)
    # A type that is always rejected contributes nothing: its value of an attempt is zero.
    sums = np.stack([_geometric(reject, int(k)) for k in attempts])
    return np.asarray(sums @ (prior * value))


def _geometric(ratio: Floats, terms: int) -> Floats:
    closed = np.divide(1 - ratio**terms, 1 - ratio, out=np.full_like(ratio, float(terms)), where=ratio < 1)
    return np.asarray(closed)


def two_type_attempts(p: Sequence[float], r: Sequence[float], c: float, s: float, fp_cost: float) -> int | None:
    """Number of attempts that is best: after it another one no longer pays.

    The closed form of the paper holds for a verifier that rejects the type that pays less often than the other. Where
    it rejects right answers more often than wrong ones, a rejection is good news, and the best is either not to
    try or never to stop.

    Parameters
    ----------
    p, r, c, s, fp_cost
        As for `two_type_reward`, with two types.

    Returns
    -------
    int or None
        0: do not try. None: go on for as long as you like.

    Raises
    ------
    UsageError
        An argument is out of range, or there are not two types.

    Examples
    --------
    >>> [two_type_attempts((0.58, 0.42), (0.87, 0.13), 1.0, 0.75, cost) for cost in (0.7, 1.0, 2.0)]
    [3, 2, 1]
    """
    prior, reject, value = _two_types(p, r, c, s, fp_cost)
    if len(prior) != 2:
        raise UsageError(f"{len(prior)} types have no closed form. Give two.")
    gains = prior * value
    good, bad = (0, 1) if value[0] >= value[1] else (1, 0)
    if gains[bad] >= 0 and gains.sum() > 0:
        return None
    if gains[good] <= 0:
        return 0
    if reject[good] >= reject[bad]:
        # The verifier turns away right answers at least as often as wrong ones: waiting leaves the type that pays.
        return None if (gains / (1 - reject)).sum() > 0 else 0
    if gains.sum() < 0:
        return 0
    if reject[good] <= 0:
        return 1
    # The type that pays is accepted sooner, so its share among what is left falls at every rejection.
    return 1 + math.floor(math.log(gains[good] / -gains[bad]) / math.log(reject[bad] / reject[good]))
