"""Continuous distributions: normal, half-normal, half-Cauchy, gamma, exponential, beta and Dirichlet.

Densities are the textbook ones (Gelman et al. 2013, Bayesian Data Analysis, appendix A).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.distributions import constraints

from educe.core import UsageError
from educe.prob.density import Density, Real, positive, within

__all__ = ["Beta", "Dirichlet", "Exponential", "Gamma", "HalfCauchy", "HalfNormal", "Normal"]


class Normal(Density):
    """The normal distribution.

    Parameters
    ----------
    loc : float or Tensor
        Mean.
    scale : float or Tensor
        Standard deviation, > 0.

    Examples
    --------
    >>> round(float(Normal(0.0, 1.0).log_prob(0.0)), 6)
    -0.918939
    """

    support = constraints.real

    def __init__(self, loc: Real = 0.0, scale: Real = 1.0) -> None:
        positive(scale=scale)
        super().__init__(loc, scale)

    @staticmethod
    def _density(value: torch.Tensor, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return -0.5 * ((value - loc) / scale) ** 2 - (scale.log() + 0.5 * math.log(2 * math.pi))

    @staticmethod
    def _draw(rng: np.random.Generator, loc: Any, scale: Any) -> Any:
        # The stream of rng.normal, at two thirds of its time for arrays; unlike that, it does not look at the scale.
        if np.any(scale <= 0):
            raise ValueError("scale <= 0")
        return loc + scale * rng.standard_normal(np.broadcast_shapes(loc.shape, scale.shape))


class HalfNormal(Density):
    """The absolute value of a normal variable with mean zero.

    Parameters
    ----------
    scale : float or Tensor
        Standard deviation of that variable, > 0.

    Examples
    --------
    >>> float(HalfNormal(1.0).log_prob(-1.0))
    -inf
    """

    support = constraints.positive

    def __init__(self, scale: Real = 1.0) -> None:
        positive(scale=scale)
        super().__init__(scale)

    @staticmethod
    def _density(value: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return within(value >= 0, -0.5 * (value / scale) ** 2 - scale.log() + 0.5 * math.log(2 / math.pi))

    @staticmethod
    def _draw(rng: np.random.Generator, scale: Any) -> Any:
        return np.abs(rng.normal(0.0, scale))


class HalfCauchy(Density):
    """The absolute value of a Cauchy variable with median zero.

    Parameters
    ----------
    scale : float or Tensor
        Its median, > 0.

    Examples
    --------
    >>> float(HalfCauchy(2.0).log_prob(0.0).exp() * math.pi)
    1.0
    """

    support = constraints.positive

    def __init__(self, scale: Real = 1.0) -> None:
        positive(scale=scale)
        super().__init__(scale)

    @staticmethod
    def _density(value: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return within(value >= 0, math.log(2 / math.pi) - scale.log() - torch.log1p((value / scale) ** 2))

    @staticmethod
    def _draw(rng: np.random.Generator, scale: Any) -> Any:
        return np.abs(scale * rng.standard_cauchy(scale.shape))


class Gamma(Density):
    """The gamma distribution.

    Parameters
    ----------
    concentration : float or Tensor
        Shape, > 0.
    rate : float or Tensor
        Inverse scale, > 0; the mean is concentration / rate.

    Examples
    --------
    >>> float(Gamma(1.0, 2.0).log_prob(0.5).exp()) == 2 * math.exp(-1)
    True
    """

    support = constraints.positive

    def __init__(self, concentration: Real, rate: Real = 1.0) -> None:
        positive(concentration=concentration, rate=rate)
        super().__init__(concentration, rate)

    @staticmethod
    def _density(value: torch.Tensor, concentration: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        inside = torch.special.xlogy(concentration, rate) + torch.special.xlogy(concentration - 1, value)
        return within(value >= 0, inside - rate * value - torch.lgamma(concentration))

    @staticmethod
    def _draw(rng: np.random.Generator, concentration: Any, rate: Any) -> Any:
        return rng.gamma(concentration, 1 / rate)


class Exponential(Density):
    """The exponential distribution.

    Parameters
    ----------
    rate : float or Tensor
        Inverse of the mean, > 0.

    Examples
    --------
    >>> float(Exponential(2.0).log_prob(0.0).exp())
    2.0
    """

    support = constraints.positive

    def __init__(self, rate: Real = 1.0) -> None:
        positive(rate=rate)
        super().__init__(rate)

    @staticmethod
    def _density(value: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        return within(value >= 0, rate.log() - rate * value)

    @staticmethod
    def _draw(rng: np.random.Generator, rate: Any) -> Any:
        return rng.exponential(1 / rate)


class Beta(Density):
    """The beta distribution.

    Parameters
    ----------
    a, b : float or Tensor
        Pseudo-counts of success and failure, > 0.

    Examples
    --------
    >>> float(Beta(1.0, 1.0).log_prob(0.3))
    0.0
    """

    support = constraints.unit_interval

    def __init__(self, a: Real, b: Real) -> None:
        positive(a=a, b=b)
        super().__init__(a, b)

    @staticmethod
    def _density(value: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        inside = torch.special.xlogy(a - 1, value) + torch.special.xlog1py(b - 1, -value)
        norm = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        return within((value >= 0) & (value <= 1), inside - norm)

    @staticmethod
    def _draw(rng: np.random.Generator, a: Any, b: Any) -> Any:
        return rng.beta(a, b)


class Dirichlet(Density):
    """The Dirichlet distribution.

    Parameters
    ----------
    concentration : sequence of float, or Tensor
        (..., k) pseudo-counts, > 0.

    Examples
    --------
    >>> float(Dirichlet([1.0, 1.0]).log_prob([0.25, 0.75]))
    0.0
    """

    support = constraints.simplex

    def __init__(self, concentration: Sequence[float] | torch.Tensor) -> None:
        super().__init__(torch.as_tensor(concentration, dtype=torch.float64))
        if self.parameters[0].ndim == 0:
            raise UsageError(f"concentration={concentration} has no categories. Give one number per category.")

    @staticmethod
    def _density(value: torch.Tensor, concentration: torch.Tensor) -> torch.Tensor:
        inside = torch.special.xlogy(concentration - 1, value).sum(-1)
        norm = torch.lgamma(concentration).sum(-1) - torch.lgamma(concentration.sum(-1))
        return within((value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6), inside - norm)

    @staticmethod
    def _draw(rng: np.random.Generator, concentration: Any) -> Any:
        parts = rng.gamma(concentration)
        return parts / parts.sum(-1, keepdims=True)
