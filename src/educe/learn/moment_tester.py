"""Test a table against the standard Gaussian by all its moments up to a degree, without looking at labels.

Source: Rubinfeld, Vasilyan (2023), arXiv:2204.07196: the tester that came before tests which use the labels. Every
monomial mean is compared with its Gaussian value; the tolerance here is the Gaussian sampling error at a level divided
by the number of monomials (normal approximation), not the fixed tolerance of the theory. It certifies nothing about a
classifier: it only says whether the assumption that a label-blind learner needs looks true. Its cost grows as
``n d^degree``.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from educe.core import Ledger, Refusal, UsageError
from educe.learn._arrays import check_columns_vary, matrix

__all__ = ["Moment", "MomentTester", "MomentsAccepted", "monomial_exponents"]

MOST_MOMENTS = 20_000


class Moment(NamedTuple):
    """One moment: powers of each coordinate, sample mean, Gaussian value, and their distance in standard errors."""

    powers: tuple[int, ...]
    measured: float
    expected: float
    deviation: float


@dataclass(frozen=True)
class MomentsAccepted:
    """All moments agree with the standard Gaussian.

    Parameters
    ----------
    worst : Moment
        The one that deviates most.
    threshold : float
        Largest deviation, in standard errors, that passes.
    moments : int
        How many were compared.
    ledger : Ledger
        Wall time.
    """

    worst: Moment
    threshold: float
    moments: int
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def accepted(self) -> bool:
        """Always true; a rejection is a `Refusal`."""
        return True


def monomial_exponents(dimension: int, degree: int) -> list[tuple[int, ...]]:
    """List the variables, with repetition, of every monomial up to a degree.

    Parameters
    ----------
    dimension : int
        Number of variables.
    degree : int
        Largest total degree.

    Returns
    -------
    list of tuple of int
        Sorted variable indices; the empty tuple is the constant.

    Examples
    --------
    >>> monomial_exponents(2, 2)
    [(), (0,), (1,), (0, 0), (0, 1), (1, 1)]
    """
    return [
        item for total in range(degree + 1) for item in itertools.combinations_with_replacement(range(dimension), total)
    ]


def _gaussian_moment(powers: tuple[int, ...]) -> float:
    """``E prod z_i^powers_i`` of independent standard normal variables."""
    if any(power % 2 for power in powers):
        return 0.0
    return float(math.prod(math.prod(range(power - 1, 0, -2)) for power in powers))


@dataclass(frozen=True)
class MomentTester:
    """Label-blind tester of the standard Gaussian.

    Parameters
    ----------
    degree : int
        Largest degree of the moments, 1 to 8.
    delta : float
        Probability of rejecting a Gaussian sample, in (0, 1).

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> MomentTester(degree=4, delta=0.001).test(random.normal(size=(5000, 3))).accepted
    True
    >>> MomentTester(degree=4).test(random.laplace(size=(5000, 3)) / 2**0.5).reason
    'The moment with powers (0, 4, 0) is 6.01 instead of 3, 21.8 standard errors off.'
    """

    degree: int = 4
    delta: float = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.degree, bool) or not isinstance(self.degree, int) or not 1 <= self.degree <= 8:
            raise UsageError(f"degree={self.degree!r} is out of range. Give a whole number from 1 to 8.")
        if not 0 < self.delta < 1:
            raise UsageError(f"delta={self.delta} is no probability strictly between 0 and 1. Give for instance 0.05.")

    def test(self, X: Any) -> MomentsAccepted | Refusal:  # noqa: N803
        """Compare all moments of a table with the Gaussian's.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d), n >= 100.

        Returns
        -------
        MomentsAccepted or Refusal
            The certificate of a refusal is the `Moment` that deviates most.

        Raises
        ------
        UsageError
            The table is malformed, has a constant column, or has more than 20,000 moments.
        """
        began = time.perf_counter()
        table = matrix(X, rows=100)
        check_columns_vary(table)
        count, dimension = table.shape
        total = math.comb(dimension + self.degree, self.degree) - 1
        if total > MOST_MOMENTS:
            raise UsageError(
                f"d={dimension} has {total} moments up to degree {self.degree}. Lower the degree or drop columns."
            )
        threshold = -NormalDist().inv_cdf(self.delta / (2 * total))
        # Products of two monomials of half the degree give all moments in one matrix product.
        half = monomial_exponents(dimension, (self.degree + 1) // 2)
        sums = np.zeros((len(half), len(half)))
        step = max(1, 2_000_000 // len(half))
        for start in range(0, count, step):
            block = table[start : start + step]
            features = np.ones((len(block), len(half)))
            known = {item: column for column, item in enumerate(half)}
            for column, item in enumerate(half[1:], 1):
                features[:, column] = features[:, known[item[:-1]]] * block[:, item[-1]]
            sums += features.T @ features
        seen: dict[tuple[int, ...], float] = {}
        for (i, first), (j, second) in itertools.combinations_with_replacement(enumerate(half), 2):
            variables = tuple(sorted(first + second))
            if 0 < len(variables) <= self.degree:
                seen.setdefault(variables, float(sums[i, j]) / count)
        worst = max((self._moment(item, value, count, dimension) for item, value in seen.items()), key=_by_deviation)
        ledger = Ledger(seconds=time.perf_counter() - began)
        if worst.deviation <= threshold:
            return MomentsAccepted(worst, threshold, len(seen), ledger)
        return Refusal(
            f"The moment with powers {worst.powers} is {worst.measured:.3g} instead of {worst.expected:g}, "
            f"{worst.deviation:.3g} standard errors off.",
            worst,
            ledger,
        )

    @staticmethod
    def _moment(variables: tuple[int, ...], measured: float, count: int, dimension: int) -> Moment:
        powers = tuple(variables.count(index) for index in range(dimension))
        expected = _gaussian_moment(powers)
        variance = _gaussian_moment(tuple(2 * power for power in powers)) - expected**2
        return Moment(powers, measured, expected, abs(measured - expected) / math.sqrt(variance / count))


def _by_deviation(moment: Moment) -> float:
    return moment.deviation
