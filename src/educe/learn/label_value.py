"""How risk falls with unlabelled and labelled points, and how many labels the unlabelled points replace.

Source: the comparison of rates in Ge, Tang, Fan, Jin (2023), arXiv:2303.01566; the paper bounds them and runs no
experiment. `rate_sweep` measures the exponents for any problem that can be drawn again and again and knows its own
excess risk; `label_equivalent` reads a learning curve backwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from educe.core import Seed, UsageError
from educe.learn._arrays import Floats
from educe.learn.pretrain import MLEThenERM

__all__ = ["RateTable", "Slope", "label_equivalent", "rate_sweep"]


class Slope(NamedTuple):
    """Exponent of a power law with a 95 % bootstrap interval over repetitions."""

    exponent: float
    low: float
    high: float


class Problem(Protocol):
    """A world that can be drawn from and knows the excess risk of a fitted model."""

    def unlabelled(self, m: int, seed: int | Seed = 0) -> Any:
        """Draw m unlabelled points."""

    def labelled(self, n: int, seed: int | Seed = 0) -> tuple[Any, Any]:
        """Draw n labelled points."""

    def model(self) -> MLEThenERM:
        """Return the method, not fitted."""

    def known(self) -> MLEThenERM:
        """Return the method with the true latent model."""

    def excess(self, model: Any) -> float:
        """Return the excess risk of a fitted model."""


@dataclass(frozen=True)
class RateTable:
    """Excess risks of a sweep.

    Parameters
    ----------
    unlabelled : mapping of int to ndarray
        For each m, the excess risks of all repetitions at the fixed n.
    floor : ndarray
        The same with the true latent model.
    labelled : mapping of int to ndarray
        For each n, the excess risks at the fixed m.
    known : mapping of int to ndarray
        For each n, the excess risks with the true latent model.
    slope_unlabelled : Slope
        Exponent in m of the mean excess above the floor.
    slope_labelled : Slope
        Exponent in n of the mean excess with the true latent model.
    """

    unlabelled: Mapping[int, Floats]
    floor: Floats
    labelled: Mapping[int, Floats]
    known: Mapping[int, Floats]
    slope_unlabelled: Slope
    slope_labelled: Slope


def rate_sweep(
    make_problem: Callable[[Seed], Problem],
    ms: Sequence[int],
    ns: Sequence[int],
    *,
    fixed_n: int,
    fixed_m: int,
    repetitions: int = 40,
    seed: int | Seed = 0,
) -> RateTable:
    """Measure the excess risk of pretraining as m and as n grow.

    Parameters
    ----------
    make_problem : callable
        Takes a seed, returns a world with ``unlabelled``, ``labelled``, ``model``, ``known`` and ``excess``, such as
        `FactorWorld`.
    ms, ns : sequence of int
        Numbers of unlabelled and of labelled points, at least two of each.
    fixed_n, fixed_m : int
        Labelled points of the sweep over m, unlabelled points of the sweep over n.
    repetitions : int
        Worlds drawn, >= 2. All sizes of one repetition see prefixes of the same draws.
    seed : int or Seed
        Of the worlds and the draws.

    Returns
    -------
    RateTable

    Raises
    ------
    UsageError
        There are too few sizes or repetitions.

    Examples
    --------
    >>> from educe.learn import FactorWorld
    >>> table = rate_sweep(
    ...     lambda seed: FactorWorld.draw(d=8, rank=1, seed=seed), [100, 400], [25, 100],
    ...     fixed_n=1000, fixed_m=1000, repetitions=10,
    ... )
    >>> table.slope_labelled.low < table.slope_labelled.exponent < 0
    True
    """
    for name, sizes in (("ms", ms), ("ns", ns)):
        if len(set(sizes)) < 2 or min(sizes) < 2:
            raise UsageError(f"{name}={list(sizes)} gives no slope. Give at least two sizes >= 2.")
    if repetitions < 2 or min(fixed_m, fixed_n) < 2:
        raise UsageError(
            f"repetitions={repetitions}, fixed_n={fixed_n}, fixed_m={fixed_m} measure nothing. Give >= 2 each."
        )
    root = Seed.of(seed).child("rate sweep")
    risks: dict[str, dict[int, list[float]]] = {"m": {}, "n": {}, "known": {}, "floor": {}}

    def note(kind: str, size: int, value: float) -> None:
        risks[kind].setdefault(size, []).append(value)

    for repetition in range(repetitions):
        own = root.child(repetition)
        problem = make_problem(own)
        points = problem.unlabelled(max(*ms, fixed_m), own.child("unlabelled"))
        x, y = problem.labelled(max(*ns, fixed_n), own.child("labelled"))
        note("floor", 0, problem.excess(problem.known().fit(None, x[:fixed_n], y[:fixed_n])))
        for m in ms:
            note("m", m, problem.excess(problem.model().fit(points[:m], x[:fixed_n], y[:fixed_n])))
        pretrained = problem.model().fit(points[:fixed_m], x[:fixed_n], y[:fixed_n])
        for n in ns:
            note("n", n, problem.excess(pretrained.fit(None, x[:n], y[:n])))
            note("known", n, problem.excess(problem.known().fit(None, x[:n], y[:n])))
    arrays = {kind: {size: np.array(values) for size, values in table.items()} for kind, table in risks.items()}
    floor = arrays["floor"][0]
    random = root.child("bootstrap").numpy()
    above = {m: values - floor for m, values in arrays["m"].items()}
    return RateTable(
        arrays["m"], floor, arrays["n"], arrays["known"], _slope(above, random), _slope(arrays["known"], random)
    )


def _slope(risks: Mapping[int, Floats], random: np.random.Generator) -> Slope:
    sizes = np.log(np.array(sorted(risks), dtype=np.float64))
    table = np.stack([risks[size] for size in sorted(risks)])

    def fit(values: Floats) -> float:
        # A mean at or below the floor has no logarithm; it takes part as a very small one, and the slope shows it.
        return float(np.polyfit(sizes, np.log(np.maximum(values.mean(1), 1e-12)), 1)[0])

    draws = [fit(table[:, random.integers(table.shape[1], size=table.shape[1])]) for _ in range(400)]
    return Slope(fit(table), float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975)))


def label_equivalent(excess: float, curve: Mapping[int, float]) -> float:
    """Labels that a supervised learner needs to reach an excess risk.

    Parameters
    ----------
    excess : float
        What was reached with the help of unlabelled points, > 0.
    curve : mapping of int to float
        The supervised learner's mean excess risk for each number of labels, > 0; at least two points.

    Returns
    -------
    float
        Interpolated on logarithms. Infinite when the whole curve stays above, 0 when it starts below: the curve does
        not say more.

    Raises
    ------
    UsageError
        A risk is not above zero, or there are fewer than two.

    Examples
    --------
    >>> round(label_equivalent(0.01, {100: 0.1, 10_000: 0.001}))
    1000
    >>> label_equivalent(0.0001, {100: 0.1, 10_000: 0.001})
    inf
    """
    if len(curve) < 2 or not excess > 0 or not all(value > 0 for value in curve.values()):
        raise UsageError(f"excess={excess} on a curve of {len(curve)} points cannot be read. Give risks above zero.")
    sizes = sorted(curve)
    if curve[sizes[0]] <= excess:
        return 0.0
    for small, large in itertools.pairwise(sizes):
        if curve[large] <= excess:
            share = math.log(curve[small] / excess) / math.log(curve[small] / curve[large])
            return float(small * (large / small) ** share)
    return math.inf
