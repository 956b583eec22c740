"""`Dist`: a distribution over one value, whatever its shape; `log_prob` is always a single number.

Batches are made by the driver, which hands all pending draws of one kind to `sample_batch` at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Hashable, Iterator, Sequence
from typing import Any

import torch

from educe.core import Seed, UsageError, run_sync
from educe.prob.numbers import LogNumber, Weight
from educe.prob.requests import Draw
from educe.prob.source import Source

__all__ = ["Dist"]


class Dist:
    """A distribution over one value.

    Subclasses write `log_prob` and `sample_batch`; finite ones also `enumerate` and `weight`.

    Attributes
    ----------
    parameters : tuple
        What the distribution was made of, in order.
    support : torch.distributions.constraints.Constraint or None
        Where the density lives; None where values are no real numbers.
    """

    parameters: tuple[Any, ...] = ()
    support: Any = None

    def log_prob(self, value: Any) -> torch.Tensor:
        """Log-probability, or log-density, of one value; a float64 tensor without axes.

        Parameters
        ----------
        value : object
            ``-inf`` is the answer outside the support.
        """
        raise NotImplementedError

    def weight(self, value: Any) -> Weight:
        """Probability of one value as a weight, exact where the parameters are.

        Parameters
        ----------
        value : object
            Zero is the answer outside the support.
        """
        return LogNumber(float(self.log_prob(value)))

    def enumerate(self) -> Iterator[tuple[Any, Weight]]:
        """List all values of positive probability with their probabilities.

        Raises
        ------
        UsageError
            The support is not finite.
        """
        raise UsageError(f"{self!r} has no finite support to enumerate. Use a sampler such as importance or smc.")

    @classmethod
    def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any] | Awaitable[list[Any]]:
        """Draw one value of each distribution, all of this class and of one `batch_key`.

        Parameters
        ----------
        dists : sequence of Dist
            One per pending draw.
        source : Source
            Randomness.
        """
        raise NotImplementedError

    @classmethod
    def evaluate_batch(
        cls, dists: Sequence[Any], values: Sequence[Any], source: Source
    ) -> list[Weight] | Awaitable[list[Weight]]:
        """Evaluate many distributions at one value each.

        Parameters
        ----------
        dists : sequence of Dist
            All of this class and of one `batch_key`.
        values : sequence of object
            One per distribution.
        source : Source
            Takes the costs.
        """
        return [LogNumber(float(dist.log_prob(value))) for dist, value in zip(dists, values, strict=True)]

    def batch_key(self) -> Hashable:
        """Return what must agree for two distributions of one class to share a call."""
        return None

    def sample(self, n: int = 1, seed: int | Seed = 0) -> list[Any]:
        """Draw independent values.

        Parameters
        ----------
        n : int
            How many, >= 1.
        seed : int or Seed
            Same seed, same values.
        """
        if n < 1:
            raise UsageError(f"n={n} asks for no value. Give n >= 1.")
        drawn = type(self).sample_batch([self] * n, Source(seed))
        if not inspect.isawaitable(drawn):
            return drawn

        async def wait() -> list[Any]:
            return await drawn

        return run_sync(wait())

    def same_as(self, other: Dist) -> bool:
        """Whether another distribution is of the same class with equal parameters."""
        if type(self) is not type(other) or len(self.parameters) != len(other.parameters):
            return False
        return all(_equal(mine, its) for mine, its in zip(self.parameters, other.parameters, strict=True))

    def __matmul__(self, name: str) -> Draw:
        # Anything else on the right, such as a gradient strategy, says itself what it makes of a distribution.
        return Draw(self, name) if isinstance(name, str) else NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.parameters))})"


def _equal(mine: Any, its: Any) -> bool:
    if isinstance(mine, torch.Tensor) and isinstance(its, torch.Tensor):
        return mine is its or torch.equal(mine, its)
    return mine is its or (type(mine) is type(its) and bool(mine == its))
