"""Ancestors of a new generation: multinomial, stratified, systematic and residual resampling.

Each scheme gives particle i an expected number ``n * w_i / W`` of offspring, which is all that validity
asks for. Source: Douc, Cappé and Moulines (2005), arXiv:cs/0507025. Each is written twice: once drawn in
NumPy, once as the exact law over all outcomes, for the enumerator.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, combinations_with_replacement, pairwise, product
from typing import Any

import numpy as np

from educe.core import UsageError, nearest
from educe.prob.dist import Dist
from educe.prob.numbers import Weight, as_probability, as_weight
from educe.prob.source import Source

__all__ = ["SCHEMES", "Ancestors"]

Law = Iterator[tuple[tuple[int, ...], Any]]


def _invert(probabilities: np.ndarray, points: np.ndarray) -> np.ndarray:
    last = int(np.flatnonzero(probabilities)[-1])
    return np.searchsorted(np.cumsum(probabilities), points, side="right").clip(max=last)


def _draw_multinomial(probabilities: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return _invert(probabilities, np.sort(rng.random(n)))


def _draw_stratified(probabilities: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return _invert(probabilities, (np.arange(n) + rng.random(n)) / n)


def _draw_systematic(probabilities: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    # Points j + u lie below an end c in number ceil(c - u): no search, one pass.
    ends = np.ceil(np.cumsum(probabilities) * n - rng.random()).clip(0, n).astype(np.int64)
    ends[int(np.flatnonzero(probabilities)[-1]) :] = n
    return np.repeat(np.arange(len(probabilities)), np.diff(ends, prepend=0))


def _draw_residual(probabilities: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    # The tolerance keeps n * p = 1.9999999 from losing a copy that it owns exactly.
    counts = np.floor(n * probabilities + 1e-9)
    sure = np.repeat(np.arange(len(probabilities)), counts.astype(int))
    left = n - len(sure)
    if left == 0:
        return sure
    rest = np.clip(n * probabilities - counts, 0, None)
    return np.sort(np.concatenate([sure, _draw_multinomial(rest / rest.sum(), left, rng)]))


def _law_multinomial(probabilities: Sequence[Any], n: int) -> Law:
    # Offspring are exchangeable, so outcomes with equal counts are one.
    possible = [i for i, p in enumerate(probabilities) if p > 0]
    for ancestors in combinations_with_replacement(possible, n):
        counts = Counter(ancestors)
        ways = math.factorial(n) // math.prod(math.factorial(c) for c in counts.values())
        yield ancestors, ways * math.prod(probabilities[i] ** c for i, c in counts.items())


def _law_stratified(probabilities: Sequence[Any], n: int) -> Law:
    ends = list(accumulate(probabilities, initial=Fraction(0)))
    strata = []
    for j in range(n):
        low, high = Fraction(j, n), Fraction(j + 1, n)
        parts = [(i, n * (min(high, b) - max(low, a))) for i, (a, b) in enumerate(pairwise(ends))]
        strata.append([(i, p) for i, p in parts if p > 0])
    for chosen in product(*strata):
        yield tuple(i for i, _ in chosen), math.prod(p for _, p in chosen)


def _law_systematic(probabilities: Sequence[Any], n: int) -> Law:
    ends = list(accumulate(probabilities))
    # Ancestors change only where the shared offset carries one of the n points over an end.
    cuts = sorted({Fraction(0), Fraction(1), *(n * end - math.floor(n * end) for end in ends)})
    for low, high in pairwise(cuts):
        points = [(j + (low + high) / 2) / n for j in range(n)]
        yield tuple(next(i for i, end in enumerate(ends) if point < end) for point in points), high - low


def _law_residual(probabilities: Sequence[Any], n: int) -> Law:
    counts = [math.floor(n * p) for p in probabilities]
    sure = tuple(i for i, c in enumerate(counts) for _ in range(c))
    left = n - len(sure)
    if left == 0:
        yield sure, Fraction(1)
        return
    rest = [(n * p - c) / left for p, c in zip(probabilities, counts, strict=True)]
    for ancestors, p in _law_multinomial(rest, left):
        yield tuple(sorted(sure + ancestors)), p


SCHEMES: dict[str, tuple[Callable[..., np.ndarray], Callable[..., Law]]] = {
    "multinomial": (_draw_multinomial, _law_multinomial),
    "stratified": (_draw_stratified, _law_stratified),
    "systematic": (_draw_systematic, _law_systematic),
    "residual": (_draw_residual, _law_residual),
}


class Ancestors(Dist):
    """The law of the ancestors' indices, in ascending order.

    Parameters
    ----------
    weights : sequence of Fraction, LogNumber or float
        One per particle, not all zero.
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    n : int or None
        Number of offspring; as many as weights when left out.

    Raises
    ------
    UsageError
        The scheme is unknown or all weights are zero.

    Examples
    --------
    >>> list(Ancestors([1, 3], "systematic").enumerate())
    [((0, 1), Fraction(1, 2)), ((1, 1), Fraction(1, 2))]
    """

    def __init__(self, weights: Sequence[Any], scheme: str = "systematic", n: int | None = None) -> None:
        if scheme not in SCHEMES:
            raise UsageError(f"Resampling scheme {scheme!r} is unknown; {nearest(scheme, SCHEMES)}")
        exact = [as_weight(weight) for weight in weights]
        total = sum(exact, Fraction(0))
        if total == 0:
            raise UsageError(f"All {len(exact)} weights are zero, so there are no ancestors. Check for this before.")
        self.probabilities = [as_probability(weight / total) for weight in exact]
        self.scheme = scheme
        self.n = len(exact) if n is None else n
        self.parameters = (tuple(self.probabilities), scheme, self.n)

    def enumerate(self) -> Iterator[tuple[tuple[int, ...], Weight]]:
        """List all outcomes with their probabilities."""
        law = SCHEMES[self.scheme][1](self.probabilities, self.n)
        return ((ancestors, as_weight(probability)) for ancestors, probability in law)

    def weight(self, value: Any) -> Weight:
        """Probability of a tuple of ancestors."""
        return sum((weight for ancestors, weight in self.enumerate() if ancestors == tuple(value)), Fraction(0))

    @classmethod
    def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any]:
        """Draw the ancestors."""
        drawn = []
        for dist in dists:
            probabilities = np.array([float(p) for p in dist.probabilities])
            draw = SCHEMES[dist.scheme][0]
            drawn.append(tuple(draw(probabilities / probabilities.sum(), dist.n, source.rng).tolist()))
        return drawn
