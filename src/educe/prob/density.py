"""`Density`: what distributions with numeric parameters share: stacking into batches, summing over entries, checks.

Parameters are numbers or tensors, which may be drawn values; entries are independent and the log-density of a
value is the sum over its entries. Families write two static functions, one in torch (the log-density, which the
vector engine differentiates) and one in NumPy (batched draws, without gradients).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import Any, Self

import numpy as np
import torch

from educe.core import UsageError
from educe.prob.dist import Dist
from educe.prob.numbers import LogNumber, Weight
from educe.prob.source import Source

__all__ = ["Density", "Real", "aligned", "positive", "within"]

Real = Any  # a number or a tensor
INFINITY = torch.tensor(math.inf, dtype=torch.float64)


def _tensor(value: Any) -> torch.Tensor:
    try:
        if isinstance(value, torch.Tensor):
            return value.to(torch.float64)
        if isinstance(value, Fraction):
            value = float(value)
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"{value!r} is no number or array of numbers. Give one that the distribution allows."
        ) from None


def _stack(values: Sequence[Any]) -> torch.Tensor:
    if all(type(value) is float for value in values):
        return torch.tensor(values, dtype=torch.float64)
    return torch.stack([_tensor(value).detach() for value in values])


def aligned(columns: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Pad shapes behind the batch axis, so that a number broadcasts against an array."""
    rank = max(column.ndim for column in columns)
    return [c.reshape(c.shape[0], *[1] * (rank - c.ndim), *c.shape[1:]) for c in columns]


def positive(**parameters: Any) -> None:
    for name, value in parameters.items():
        if isinstance(value, (int, float, Fraction)) and not value > 0:
            raise UsageError(f"{name}={value} is not positive. Give a number > 0.")


class Density(Dist):
    """What the families of this file share: stacking, summing over entries, checking values."""

    def __init__(self, *parameters: Real) -> None:
        self.parameters = parameters

    @staticmethod
    def _density(*value_and_parameters: Any, **none: Any) -> torch.Tensor:
        raise NotImplementedError

    @staticmethod
    def _draw(*rng_and_parameters: Any, **none: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _decode(value: torch.Tensor) -> Any:
        return value

    def log_prob(self, value: Any) -> torch.Tensor:
        """Log-density of a value, summed over its entries; differentiable in value and parameters."""
        try:
            return self._density(_tensor(value), *map(_tensor, self.parameters)).sum()
        except RuntimeError as error:
            if "must match" in str(error) or "broadcast" in str(error):
                raise UsageError(f"Value of shape {tuple(_tensor(value).shape)} does not fit {self!r}.") from error
            raise

    def batch_key(self) -> Hashable:
        """Shapes of the parameters."""
        return tuple(p.shape if isinstance(p, torch.Tensor) else np.shape(p) for p in self.parameters)

    @classmethod
    def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any]:
        """Draw one value of each with one call of the generator."""
        columns = aligned([_stack(column) for column in zip(*(dist.parameters for dist in dists), strict=True)])
        try:
            drawn = cls._draw(source.rng, *(column.numpy() for column in columns))
        except ValueError as error:
            raise UsageError(f"{dists[0]!r} (or one drawn with it) has bad parameters: {error}.") from None
        return [cls._decode(value) for value in torch.from_numpy(np.asarray(drawn, dtype=np.float64)).unbind()]

    @classmethod
    def evaluate_batch(cls, dists: Sequence[Any], values: Sequence[Any], source: Source) -> list[Weight]:
        """Evaluate all at once."""
        tensors = [_tensor(value) for value in values]
        if len(dists) == 1 or any(tensor.shape != tensors[0].shape for tensor in tensors):
            return [LogNumber(float(dist.log_prob(value))) for dist, value in zip(dists, tensors, strict=True)]
        columns = [_stack(column) for column in zip(*(dist.parameters for dist in dists), strict=True)]
        found = cls._density(*aligned([torch.stack(tensors), *columns]))
        return [LogNumber(log) for log in found.reshape(len(dists), -1).sum(1).tolist()]

    def expand(self, *shape: int) -> Self:
        """Return the distribution of an array of independent copies.

        Parameters
        ----------
        *shape : int
            Axes in front of the parameters' own.

        Examples
        --------
        >>> from educe.prob import Normal
        >>> Normal(0.0, 1.0).expand(8).sample()[0].shape
        torch.Size([8])
        """
        copy = type(self).__new__(type(self))
        Density.__init__(copy, *(_tensor(p).expand(*shape, *_tensor(p).shape) for p in self.parameters))
        return copy


def within(holds: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    return torch.where(holds, density, -INFINITY)
