"""Simulation of the model of equally probable paths, against the exact errors of its estimators."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import Seed
from educe.reason import reasoning_error

__all__ = ["Cell", "compare", "crossing"]


class Cell(NamedTuple):
    """One comparison: exact and simulated error, standard error of the simulation, distance in those."""

    how: str
    p: float
    k: int
    n: int
    correct: bool
    exact: float
    simulated: float
    error: float
    distance: float


def compare(p: float, k: int, samples: list[int], repeats: int, seed: Seed) -> Iterator[Cell]:
    """Simulate the three estimators and hold them against their formulas.

    Parameters
    ----------
    p : float
        Probability of the answer.
    k : int
        Number of its paths.
    samples : list of int
        Numbers of samples.
    repeats : int
        Simulated runs.
    seed : Seed
        Source of the draws.
    """
    rng = seed.numpy()
    most = max(samples)
    draws = rng.random((repeats, most), dtype=np.float32)
    # Paths 0 to k-1 of the answer, and everything else.
    path = np.minimum((draws / np.float32(p / k)).astype(np.int16), k)
    first = np.full((repeats, k), most + 1, dtype=np.int16)
    for place in range(most - 1, -1, -1):
        here = path[:, place]
        hit = here < k
        first[np.flatnonzero(hit), here[hit]] = place + 1
    for n in samples:
        seen = (first <= n).sum(1)
        estimates = {
            "sc": (path[:, :n] < k).sum(1) / n,
            "ppl": (first[:, 0] <= n) * p / k,
            "pc": seen * p / k,
        }
        for how, values in estimates.items():
            for correct in (True, False):
                losses = (values - correct) ** 2
                exact = reasoning_error(p, k, n, correct, how).total
                simulated = float(losses.mean())
                # Where the exact spread is 0 up to rounding, so is the gap.
                error = max(_standard_error(p, k, n, correct, how) / math.sqrt(repeats), 1e-12)
                yield Cell(how, p, k, n, correct, exact, simulated, error, abs(simulated - exact) / error)


def _standard_error(p: float, k: int, n: int, correct: bool, how: str) -> float:
    """Exact standard deviation of one loss; a simulated one is 0 where events are too rare to be seen."""
    law: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    if how == "sc":
        values = np.asarray(np.arange(n + 1) / n, dtype=np.float64)
        law = np.array([math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)])
    else:
        paths, q = (1, p / k) if how == "ppl" else (k, p / k)
        law = np.zeros(paths + 1)
        law[0] = 1.0
        for _ in range(n):
            fresh = law * q * (paths - np.arange(paths + 1))
            law = np.asarray(law - fresh + np.concatenate([[0.0], fresh[:-1]]))
        values = np.asarray(np.arange(paths + 1) * q, dtype=np.float64)
    losses = (values - correct) ** 2
    return math.sqrt(max(0.0, float(law @ losses**2) - float(law @ losses) ** 2))


def crossing(p: float, k: int) -> int:
    """Fewest samples from which on the exact error of path sums is below that of votes, for a right answer.

    Parameters
    ----------
    p : float
        Probability of the answer.
    k : int
        Number of its paths.
    """
    last = 0
    for n in range(1, math.ceil(40 * k / p)):
        if reasoning_error(p, k, n, True, "pc").total >= reasoning_error(p, k, n, True, "sc").total:
            last = n
    return last + 1
