"""Coverage: the share of problems that at least one of k samples solves.

Sources: Chen et al. (2021), arXiv:2107.03374 (the unbiased estimator of pass@k); Brown et al. (2024), Large Language
Monkeys, arXiv:2407.21787 (coverage over four orders of magnitude of k).

With c right of N samples, pass@k = 1 - C(N-c, k) / C(N, k), which is unbiased for k <= N; the plug-in 1 - (1 - c/N)^k
is too low. Intervals come from a bootstrap over problems: the points of one curve share their problems and are strongly
correlated, so that the errors of a curve fit would mean nothing. Right answers by wrong reasoning count as right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from educe.core import Seed, UsageError
from educe.reason.sample_bank import SampleBank

__all__ = ["Curve", "coverage", "pass_at_k"]

Floats = npt.NDArray[np.float64]


def pass_at_k(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """Unbiased estimate of the probability that one of k samples is right.

    Parameters
    ----------
    n, c, k : array-like of int
        Samples drawn, right ones among them, and the number asked about; they broadcast. 0 <= c <= n, 1 <= k <= n.

    Returns
    -------
    ndarray of float64
        Of the broadcast shape.

    Raises
    ------
    UsageError
        A number is out of range; k > n has no unbiased estimate.

    Examples
    --------
    >>> pass_at_k(4, [0, 1, 2, 4], 2).round(4).tolist()
    [0.0, 0.5, 0.8333, 1.0]
    """
    drawn, right, asked = np.broadcast_arrays(*(np.asarray(value, dtype=np.int64) for value in (n, c, k)))
    if (right < 0).any() or (right > drawn).any() or (asked < 1).any():
        raise UsageError(f"c={c!r}, n={n!r}, k={k!r} is out of range. Give 0 <= c <= n and k >= 1.")
    if (asked > drawn).any():
        raise UsageError(f"k={asked.max()} is more than the {drawn.min()} samples drawn. Draw more, or ask for fewer.")
    wrong = drawn - right
    possible = wrong >= asked
    # Where it is not possible to miss, the logarithm is that of zero; any in-range numbers stand in.
    left = np.where(possible, wrong - asked, 0)
    log_miss = _lgamma(wrong + 1) - _lgamma(left + 1) + _lgamma(drawn - asked + 1) - _lgamma(drawn + 1)
    return np.asarray(np.where(possible, 0.0 - np.expm1(np.minimum(log_miss, 0.0)), 1.0))


def _lgamma(values: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(torch.lgamma(torch.from_numpy(np.asarray(values, dtype=np.float64).copy())).numpy())


@dataclass(frozen=True)
class Curve:
    """Coverage against the number of samples.

    Parameters
    ----------
    ks : (points,) int64
        Numbers of samples.
    mean : (points,) float64
        Coverage.
    low, high : (points,) float64
        Ends of the 95 % bootstrap interval over problems.
    replicates : (replicates, points) float64
        Bootstrap curves, for intervals of what is computed from a curve.
    samples, right : (problems,) int64
        Counts that the curve came from.
    """

    ks: npt.NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    replicates: Floats
    samples: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]


def coverage(
    bank: SampleBank | tuple[npt.ArrayLike, npt.ArrayLike],
    ks: Sequence[int] | npt.ArrayLike,
    truth: Sequence[npt.ArrayLike] | None = None,
    *,
    replicates: int = 200,
    seed: int | Seed = 0,
) -> Curve:
    """Coverage of a bank at several numbers of samples.

    Parameters
    ----------
    bank : SampleBank or pair of array-like
        Samples with verdicts, or the counts ``(samples, right)`` per problem.
    ks : sequence of int
        Numbers of samples, 1 <= k <= samples of every problem.
    truth : sequence of array-like, optional
        Verdicts per sample (1 right, else not) that replace the bank's, one array per problem.
    replicates : int
        Bootstrap replicates, >= 0; intervals are NaN without any.
    seed : int or Seed
        Root of the bootstrap.

    Returns
    -------
    Curve

    Raises
    ------
    UsageError
        There is no problem, or a k is out of range.

    Examples
    --------
    >>> coverage(([4, 4], [1, 2]), [1, 2]).mean.round(4).tolist()
    [0.375, 0.6667]
    """
    if isinstance(bank, SampleBank):
        samples, right = bank.counts()
        if truth is not None:
            if len(truth) != len(bank):
                raise UsageError(f"Verdicts for {len(truth)} of {len(bank)} problems do not fit. Give one array each.")
            right = np.array([(np.asarray(verdicts) == 1).sum() for verdicts in truth], dtype=np.int64)
    else:
        samples, right = (np.asarray(counts, dtype=np.int64) for counts in bank)
    if not len(samples):
        raise UsageError("There is no problem to cover. Give at least one.")
    points = np.atleast_1d(np.asarray(ks, dtype=np.int64))
    table = pass_at_k(samples[:, None], right[:, None], points[None, :])
    rng = Seed.of(seed).child("coverage").numpy()
    index = rng.integers(len(table), size=(replicates, len(table)))
    curves = np.stack([table[chosen].mean(0) for chosen in index]) if replicates else np.empty((0, len(points)))
    low, high = np.quantile(curves, [0.025, 0.975], axis=0) if replicates else np.full((2, len(points)), np.nan)
    return Curve(points, table.mean(0), low, high, curves, samples, right)
