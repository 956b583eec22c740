"""What variational inference asks of a distribution: differentiable draws, plain draws, densities, finite supports.

Everything here is torch, keeps the parameters' precision and works under ``torch.func.vmap``; the methods of `Dist`
draw with NumPy. A distribution of the user's own may bring the methods ``rsample(noise)`` (a draw that is
differentiable in the parameters), ``draw(noise)`` (any draw) and ``outcomes()`` (pairs of value and probability).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from educe.core import Seed, UsageError
from educe.prob.bernoulli_logits import BernoulliLogits
from educe.prob.continuous import Beta, Dirichlet, Exponential, Gamma, HalfCauchy, HalfNormal, Normal
from educe.prob.density import Density
from educe.prob.discrete import Bernoulli, Categorical, Finite, Poisson
from educe.prob.dist import Dist

__all__ = ["Noise", "has_outcomes", "is_reparameterisable", "log_density", "outcomes", "rsample", "sample"]

# Enumeration of more outcomes than this is never chosen without being asked for.
MOST_OUTCOMES = 32
IMPLICIT = (Gamma, Beta, Dirichlet)


class Noise:
    """Randomness of one estimate: uniform and normal numbers from a generator of its own.

    Parameters
    ----------
    seed : int or Seed
        Same seed, same numbers.
    rows : int or None
        Set by `E` where the objective itself handles all rows of data: the leading axis of every draw.

    Attributes
    ----------
    lane : Tensor or None
        Set by `E` where runs take turns: what is differentiated is tied to it, so that branching on it is noticed.
    """

    def __init__(self, seed: int | Seed = 0, rows: int | None = None) -> None:
        self.generator = Seed.of(seed).child("noise").torch()
        self.rows = rows
        self.lane: torch.Tensor | None = None

    def normal(self, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        """Draw standard normal numbers.

        Parameters
        ----------
        shape : sequence of int
            Axes.
        dtype : torch.dtype
            Precision.
        """
        return torch.randn(shape, generator=self.generator, dtype=dtype)

    def uniform(self, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        """Draw numbers from [0, 1).

        Parameters
        ----------
        shape : sequence of int
            Axes.
        dtype : torch.dtype
            Precision.
        """
        return torch.rand(shape, generator=self.generator, dtype=dtype)

    def tie(self, value: torch.Tensor) -> torch.Tensor:
        """Mark a value that gradients flow through; see `lane`."""
        return value if self.lane is None else value + 0 * self.lane


def tensors(*parameters: Any) -> list[torch.Tensor]:
    """Turn parameters into tensors of one precision, that of the tensors among them, float64 if there are none."""
    dtype = next((p.dtype for p in parameters if isinstance(p, torch.Tensor) and p.is_floating_point()), torch.float64)
    return [p if isinstance(p, torch.Tensor) else torch.as_tensor(float(p), dtype=dtype) for p in parameters]


def log_density(dist: Dist, value: Any, rows: int | None = None) -> torch.Tensor:
    """Log-density of a value, summed over its entries, in the precision of value and parameters.

    Parameters
    ----------
    dist : Dist
        Its parameters may be differentiated.
    value : object
        A number, a tensor or, for finite distributions, one of their values.
    rows : int or None
        Length of a leading axis that is not summed over.

    Returns
    -------
    Tensor
        One number, or one for each row.

    Examples
    --------
    >>> round(float(log_density(Normal(0.0, 1.0), torch.zeros(2))), 4)
    -1.8379
    """
    if isinstance(dist, Density):
        at, *parameters = tensors(value, *dist.parameters)
        try:
            found = dist._density(at, *parameters)
        except RuntimeError as error:
            if "must match" in str(error) or "broadcast" in str(error):
                raise UsageError(f"A value of shape {tuple(at.shape)} does not fit {dist!r}.") from error
            raise
        if rows is None:
            return found.sum()
        if not found.ndim or len(found) != rows:
            raise UsageError(
                f"{dist!r} at a value of shape {tuple(at.shape)} has no leading axis of {rows} rows. "
                "With broadcast=True every draw and observation needs one."
            )
        return found.flatten(1).sum(1) if found.ndim > 1 else found
    if rows is not None:
        raise UsageError(f"{dist!r} has no leading axis of rows. Use E without broadcast=True.")
    if isinstance(dist, Finite) and isinstance(value, torch.Tensor):
        values, probabilities = _table(dist)
        inside = torch.where(values == value, probabilities, torch.zeros_like(probabilities)).sum()
        return inside.log()
    return dist.log_prob(value)


def _shape(*parameters: torch.Tensor) -> torch.Size:
    return torch.Size(torch.broadcast_shapes(*(p.shape for p in parameters)))  # type: ignore[no-untyped-call]


def _normal(noise: Noise, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return loc + scale * noise.normal(_shape(loc, scale), loc.dtype)


def _half_cauchy(noise: Noise, scale: torch.Tensor) -> torch.Tensor:
    return scale * torch.tan(0.5 * math.pi * noise.uniform(scale.shape, scale.dtype))


def _gamma(noise: Noise, concentration: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    whole = concentration.expand(_shape(concentration, rate))
    return torch._standard_gamma(whole, generator=noise.generator) / rate


def _beta(noise: Noise, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    shape = _shape(a, b)
    both = torch.stack([a.expand(shape), b.expand(shape)], -1)
    parts = torch._standard_gamma(both, generator=noise.generator)
    return parts[..., 0] / parts.sum(-1)


def _dirichlet(noise: Noise, concentration: torch.Tensor) -> torch.Tensor:
    parts = torch._standard_gamma(concentration, generator=noise.generator)
    return parts / parts.sum(-1, keepdim=True)


RSAMPLE: dict[type[Dist], Callable[..., torch.Tensor]] = {
    Normal: _normal,
    HalfNormal: lambda noise, scale: scale * noise.normal(scale.shape, scale.dtype).abs(),
    HalfCauchy: _half_cauchy,
    Exponential: lambda noise, rate: -torch.log1p(-noise.uniform(rate.shape, rate.dtype)) / rate,
    Gamma: _gamma,
    Beta: _beta,
    Dirichlet: _dirichlet,
}


def is_reparameterisable(dist: Dist) -> bool:
    """Whether a draw can be written as a smooth function of the parameters and of noise."""
    return type(dist) in RSAMPLE or hasattr(dist, "rsample")


def rsample(dist: Any, noise: Noise) -> torch.Tensor:
    """Draw a value that is differentiable in the parameters.

    Parameters
    ----------
    dist : Dist
        A continuous family of this library, or one with a method ``rsample(noise)``.
    noise : Noise
        Randomness.

    Raises
    ------
    UsageError
        There is no such draw.
    """
    if hasattr(dist, "rsample"):
        return noise.tie(dist.rsample(noise))
    if type(dist) not in RSAMPLE:
        raise UsageError(f"{dist!r} cannot be reparameterised. Use enum, mvd or reinforce for this draw.")
    return noise.tie(RSAMPLE[type(dist)](noise, *tensors(*dist.parameters)))


def sample(dist: Any, noise: Noise) -> Any:
    """Draw a value that no gradient flows through.

    Parameters
    ----------
    dist : Dist
        Any distribution of this library, or one with a method ``draw(noise)`` or ``rsample(noise)``.
    noise : Noise
        Randomness.

    Returns
    -------
    Tensor or object
        A tensor, except for finite distributions over other things than numbers.
    """
    if hasattr(dist, "draw"):
        return dist.draw(noise)
    if hasattr(dist, "rsample"):
        return dist.rsample(noise).detach()
    if type(dist) in RSAMPLE:
        return RSAMPLE[type(dist)](noise, *(p.detach() for p in tensors(*dist.parameters)))
    if isinstance(dist, Bernoulli | BernoulliLogits):
        p = _probability(dist).detach()
        return (noise.uniform(p.shape, p.dtype) < p).to(p.dtype)
    if isinstance(dist, Poisson):
        return torch.poisson(tensors(*dist.parameters)[0].detach(), generator=noise.generator)
    if isinstance(dist, Finite):
        values, probabilities = _table(dist)
        below = probabilities.detach().cumsum(-1) <= noise.uniform((), probabilities.dtype)
        index = below.sum().clamp(max=len(probabilities) - 1)
        return values[index] if isinstance(values, torch.Tensor) else values[int(index)]
    raise UsageError(f"{dist!r} has no draw in torch. Give its class a method draw(noise).")


def _probability(dist: Any) -> torch.Tensor:
    (p,) = tensors(*dist.parameters)
    return torch.sigmoid(p) if isinstance(dist, BernoulliLogits) else p


def _table(dist: Finite) -> tuple[Any, torch.Tensor]:
    if isinstance(dist, Categorical):
        (given,) = dist.parameters
        weights = given if isinstance(given, torch.Tensor) else torch.tensor(list(map(float, given))).double()
        return torch.arange(weights.shape[-1]), weights
    values = list(dist.table)
    probabilities = torch.tensor([float(p) for p in dist.table.values()], dtype=torch.float64)
    numeric = all(isinstance(value, (int, float)) for value in values)
    return (torch.tensor(values) if numeric else values), probabilities


def has_outcomes(dist: Any) -> bool:
    """Whether `outcomes` lists few enough values to try them all unasked."""
    if isinstance(dist, Bernoulli | BernoulliLogits):
        return bool(2 ** _probability(dist).numel() <= MOST_OUTCOMES)
    if isinstance(dist, Finite):
        return len(_table(dist)[1]) <= MOST_OUTCOMES
    return hasattr(dist, "outcomes")


def outcomes(dist: Any) -> list[tuple[Any, torch.Tensor]]:
    """List the values of a finite distribution with their probabilities, which may be differentiated.

    Parameters
    ----------
    dist : Dist
        Finite, or with a method ``outcomes()``.

    Raises
    ------
    UsageError
        The support is not finite.

    Examples
    --------
    >>> [(float(value), round(float(p), 2)) for value, p in outcomes(Bernoulli(0.3))]
    [(0.0, 0.7), (1.0, 0.3)]
    """
    if hasattr(dist, "outcomes"):
        return list(dist.outcomes())
    if isinstance(dist, Bernoulli | BernoulliLogits):
        p = _probability(dist)
        found = []
        for bits in itertools.product((0.0, 1.0), repeat=p.numel()):
            value = torch.tensor(bits, dtype=p.dtype).reshape(p.shape)
            found.append((value, (value * p + (1 - value) * (1 - p)).prod()))
        return found
    if isinstance(dist, Finite):
        values, probabilities = _table(dist)
        return list(zip(values, probabilities.unbind(-1), strict=True))
    raise UsageError(f"{dist!r} has no finite support to enumerate. Use reparam, mvd or reinforce for this draw.")
