"""Discrete distributions: finite ones, exact where their weights are fractions, Bernoulli and Poisson."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from educe.core import UsageError
from educe.prob.density import Density, Real, positive, within
from educe.prob.dist import Dist
from educe.prob.numbers import LogNumber, Weight, as_weight, log_of
from educe.prob.source import Source

__all__ = ["Bernoulli", "Categorical", "Finite", "Poisson", "Uniform"]


class Finite(Dist):
    """A distribution over finitely many objects.

    Parameters
    ----------
    weights : mapping, or iterable of pairs
        Weight of each hashable value, not necessarily summing to one. Whole numbers and fractions stay exact.

    Raises
    ------
    UsageError
        There is no value, or no positive weight, or a weight is negative or NaN.

    Examples
    --------
    >>> dict(Finite({"rain": 1, "sun": 3}).enumerate())
    {'rain': Fraction(1, 4), 'sun': Fraction(3, 4)}
    """

    def __init__(self, weights: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> None:
        pairs = list(weights.items() if isinstance(weights, Mapping) else weights)
        table: dict[Any, Weight] = {}
        for value, weight in pairs:
            try:
                table[value] = table.get(value, Fraction(0)) + as_weight(weight)
            except TypeError:
                raise UsageError(f"Value {value!r} cannot be looked up. Give hashable values.") from None
        total = sum(table.values(), Fraction(0))
        if total == 0:
            raise UsageError(f"Weights {pairs} have no mass. Give at least one positive weight.")
        self.table: dict[Any, Weight] = {value: weight / total for value, weight in table.items() if weight != 0}
        self.parameters = (self.table,)
        self._cumulated: list[float] | None = None

    def weight(self, value: Any) -> Weight:
        """Exact probability of a value; zero for one that is not listed."""
        return self.table.get(value, Fraction(0))

    def log_prob(self, value: Any) -> torch.Tensor:
        """Log-probability of a value."""
        return torch.tensor(log_of(self.weight(value)), dtype=torch.float64)

    def enumerate(self) -> Iterator[tuple[Any, Weight]]:
        """List values and probabilities in the order given."""
        return iter(self.table.items())

    @classmethod
    def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any]:
        """Draw one value of each by inverting its distribution function."""
        return [dist._inverse(u) for dist, u in zip(dists, source.rng.random(len(dists)).tolist(), strict=True)]

    @classmethod
    def evaluate_batch(cls, dists: Sequence[Any], values: Sequence[Any], source: Source) -> list[Weight]:
        """Evaluate many distributions at one value each, in floating point."""
        return [LogNumber(log_of(dist.weight(value))) for dist, value in zip(dists, values, strict=True)]

    def _inverse(self, u: float) -> Any:
        if self._cumulated is None:
            self._cumulated = list(accumulate(float(weight) for weight in self.table.values()))
            self._values = list(self.table)
        return self._values[min(bisect.bisect_right(self._cumulated, u), len(self._values) - 1)]


class Uniform(Finite):
    """The uniform distribution over a finite set.

    Parameters
    ----------
    values : iterable
        Hashable values; one that comes twice counts twice.

    Examples
    --------
    >>> Uniform(range(6)).weight(3)
    Fraction(1, 6)
    """

    def __init__(self, values: Iterable[Any]) -> None:
        super().__init__((value, 1) for value in values)


class Categorical(Finite):
    """A distribution over ``0 .. k-1``.

    Parameters
    ----------
    probabilities : sequence of number, or Tensor
        (k,) summing to one. Fractions stay exact; a tensor may be a drawn value.

    Raises
    ------
    UsageError
        The numbers are no probabilities; a value is no whole number.

    Examples
    --------
    >>> Categorical([Fraction(1, 3), Fraction(2, 3)]).weight(1)
    Fraction(2, 3)
    """

    def __init__(self, probabilities: Sequence[Any] | torch.Tensor) -> None:
        self.parameters = (probabilities,)
        self._cumulated = None
        self._tensor = probabilities if isinstance(probabilities, torch.Tensor) else None
        if self._tensor is None:
            total = sum(probabilities)
            if not math.isclose(total, 1.0, abs_tol=1e-9):
                raise UsageError(f"Probabilities {list(probabilities)} sum to {total}. Give numbers that sum to one.")
            super().__init__(enumerate(probabilities))
            self.parameters = (tuple(probabilities),)

    def __getattr__(self, name: str) -> Any:
        # Only a tensor's table is missing; reading it is put off, since inside the vector engine it has no numbers.
        if name == "table" and self.__dict__.get("_tensor") is not None:
            self.table = Finite(enumerate(self.__dict__["_tensor"].tolist())).table
            return self.table
        raise AttributeError(name)

    def weight(self, value: Any) -> Weight:
        """Exact probability of a whole number."""
        return super().weight(_whole(value))

    def log_prob(self, value: Any) -> torch.Tensor:
        """Log-probability of a whole number; differentiable in a tensor of probabilities."""
        if self._tensor is None:
            return super().log_prob(_whole(value))
        index = _whole(value)
        if not 0 <= index < self._tensor.shape[-1]:
            return torch.tensor(-math.inf, dtype=torch.float64)
        return self._tensor[..., index].log().sum()


def _whole(value: Any) -> int:
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, (int, float)) or value != int(value):
        raise UsageError(f"{value!r} is no whole number, so no category. Give 0, 1, 2, ...")
    return int(value)


class Bernoulli(Density):
    """A truth value.

    Parameters
    ----------
    p : float, Fraction or Tensor
        Probability of True, in [0, 1]; a fraction stays exact, an array draws an array of 0.0 and 1.0.

    Examples
    --------
    >>> list(Bernoulli(Fraction(1, 3)).enumerate())
    [(True, Fraction(1, 3)), (False, Fraction(2, 3))]
    """

    def __init__(self, p: Real) -> None:
        if isinstance(p, (int, float, Fraction)) and not 0 <= p <= 1:
            raise UsageError(f"p={p} is no probability. Give a number in [0, 1].")
        super().__init__(p)

    @staticmethod
    def _density(value: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        inside = torch.special.xlogy(value, p) + torch.special.xlog1py(1 - value, -p)
        return within((value == 0) | (value == 1), inside)

    @staticmethod
    def _draw(rng: np.random.Generator, p: Any) -> Any:
        return rng.random(p.shape) < p

    @staticmethod
    def _decode(value: torch.Tensor) -> Any:
        return bool(value) if value.ndim == 0 else value

    def weight(self, value: Any) -> Weight:
        """Probability of a truth value, exact when `p` is."""
        (p,) = self.parameters
        if isinstance(p, (int, Fraction)) and isinstance(value, (bool, int)):
            return Fraction(p if value == 1 else 1 - p if value == 0 else 0)
        return super().weight(value)

    def enumerate(self) -> Iterator[tuple[bool, Weight]]:
        """List True and False with their probabilities, zero ones left out."""
        (p,) = self.parameters
        exact = p if isinstance(p, (int, Fraction)) else float(p)
        pairs = ((True, as_weight(exact)), (False, as_weight(1 - exact)))
        return ((value, weight) for value, weight in pairs if weight != 0)


class Poisson(Density):
    """The Poisson distribution; a single draw is an int.

    Parameters
    ----------
    rate : float or Tensor
        Mean, > 0.

    Examples
    --------
    >>> float(Poisson(2.0).log_prob(0))
    -2.0
    """

    def __init__(self, rate: Real) -> None:
        positive(rate=rate)
        super().__init__(rate)

    @staticmethod
    def _density(value: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        inside = torch.special.xlogy(value, rate) - rate - torch.lgamma(value.clamp(min=0) + 1)
        return within((value >= 0) & (value == value.floor()), inside)

    @staticmethod
    def _draw(rng: np.random.Generator, rate: Any) -> Any:
        return rng.poisson(rate)

    @staticmethod
    def _decode(value: torch.Tensor) -> Any:
        return int(value) if value.ndim == 0 else value
