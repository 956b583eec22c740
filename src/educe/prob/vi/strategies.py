"""Gradient strategies: how the derivative of an expectation is estimated at one draw.

A strategy is a generator: it yields a value at which it wants the rest of the program, is sent the rest's surrogate,
and may ask again; what it returns is the surrogate from this draw on. The value of a surrogate is an unbiased
estimate of the expectation, its derivative one of the gradient. Sources: Lew et al. (2023), arXiv:2212.06386, and
Becker et al. (2024), arXiv:2406.15742; measure-valued derivatives from Mohamed et al. (2020), arXiv:1906.10652,
section 6.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from educe.core import UsageError
from educe.prob.bernoulli_logits import BernoulliLogits
from educe.prob.continuous import Normal
from educe.prob.discrete import Bernoulli, Finite
from educe.prob.dist import Dist
from educe.prob.requests import Draw
from educe.prob.vi.families import (
    IMPLICIT,
    Noise,
    has_outcomes,
    is_reparameterisable,
    log_density,
    outcomes,
    rsample,
    sample,
    tensors,
)

__all__ = [
    "Choice",
    "Single",
    "Strategy",
    "average",
    "baseline",
    "default_strategy",
    "enum",
    "fixed",
    "implicit",
    "minibatch",
    "mvd",
    "reinforce",
    "reparam",
    "score_of",
]

Estimate = Generator[Any, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Choice(Draw):
    """A draw with its gradient strategy; to other algorithms it is a draw like any other.

    Parameters
    ----------
    dist : Dist
        Its law.
    name : str or None
        See `Draw`.
    via : Dist or None
        Not used by variational inference.
    strategy : Strategy or None
        How its gradient is estimated; None leaves it to `default_strategy`.

    Examples
    --------
    >>> (Normal(0.0, 1.0) @ "x" @ reparam).strategy
    reparam
    """

    strategy: Strategy | None = None

    def __matmul__(self, name: str) -> Choice:
        return Choice(self.dist, name, self.via, self.strategy)


class Strategy:
    """How the gradient is estimated at one draw; write `estimate` to make your own.

    Attributes
    ----------
    name : str
        Shown in messages.
    """

    name = "strategy"

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        """Yield values, be sent the surrogate of the rest at each, return the surrogate from here on.

        Parameters
        ----------
        dist : Dist
            What is drawn from.
        noise : Noise
            Randomness.
        """
        raise NotImplementedError

    def __rmatmul__(self, drawn: Any) -> Choice:
        if isinstance(drawn, Draw):
            return Choice(drawn.dist, drawn.name, drawn.via, self)
        if isinstance(drawn, Dist):
            return Choice(drawn, strategy=self)
        return NotImplemented

    def __repr__(self) -> str:
        return self.name


class Single(Strategy):
    """A strategy that runs the rest of the program once, so that many runs share one pass."""

    def draw(self, dist: Dist, noise: Noise) -> tuple[Any, torch.Tensor | None]:
        """Draw a value, with a number of value zero whose gradient is the score, or None.

        Parameters
        ----------
        dist : Dist
            What is drawn from.
        noise : Noise
            Randomness.
        """
        raise NotImplementedError

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        """See `Strategy`."""
        value, score = self.draw(dist, noise)
        rest = yield value
        return rest if score is None else rest + rest.detach() * score


def score_of(log_density: torch.Tensor) -> torch.Tensor:
    """Return a number of value zero whose gradient is that of its argument.

    Parameters
    ----------
    log_density : Tensor
        Any number.
    """
    return log_density - log_density.detach()


class _Reparam(Single):
    name = "reparam"

    def draw(self, dist: Dist, noise: Noise) -> tuple[Any, torch.Tensor | None]:
        if isinstance(dist, IMPLICIT):
            raise UsageError(f"{dist!r} has no explicit reparameterisation. Use implicit for this draw.")
        return rsample(dist, noise), None


class _Implicit(Single):
    name = "implicit"

    def draw(self, dist: Dist, noise: Noise) -> tuple[Any, torch.Tensor | None]:
        if not isinstance(dist, IMPLICIT):
            raise UsageError(f"Implicit gradients are known for gamma, beta and Dirichlet, not for {dist!r}.")
        return rsample(dist, noise), None


class _Reinforce(Single):
    name = "reinforce"

    def draw(self, dist: Dist, noise: Noise) -> tuple[Any, torch.Tensor | None]:
        value = sample(dist, noise)
        return value, score_of(log_density(dist, value, noise.rows))


class _Fixed(Single):
    name = "fixed"

    def draw(self, dist: Dist, noise: Noise) -> tuple[Any, torch.Tensor | None]:
        return sample(dist, noise), None


class _Enum(Strategy):
    name = "enum"

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        total: Any = 0.0
        for value, probability in outcomes(dist):
            total = total + probability * (yield value)
        return total  # type: ignore[no-any-return]


class _MeasureValued(Strategy):
    """The derivative is a difference of two expectations, one pair of runs for each entry and parameter."""

    name = "mvd"

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        if isinstance(dist, Normal):
            loc, scale = tensors(*dist.parameters)
            return self._normal(loc, scale, noise)
        if isinstance(dist, Bernoulli | BernoulliLogits):
            (p,) = tensors(*dist.parameters)
            return self._bernoulli(torch.sigmoid(p) if isinstance(dist, BernoulliLogits) else p, sample(dist, noise))
        raise UsageError(f"Measure-valued derivatives are known for Normal and Bernoulli, not for {dist!r}.")

    @staticmethod
    def _bernoulli(p: torch.Tensor, drawn: torch.Tensor) -> Estimate:
        result = yield drawn
        actual = result.detach()
        for where in torch.eye(max(1, p.numel()), dtype=p.dtype).reshape(-1, *p.shape):
            flipped = drawn + where * (1 - 2 * drawn)
            sign = (where * (2 * drawn - 1)).sum()
            other = (yield flipped).detach()
            result = result + sign * (actual - other) * score_of((where * p).sum())
        return result

    @staticmethod
    def _normal(loc: torch.Tensor, scale: torch.Tensor, noise: Noise) -> Estimate:
        loc, scale = loc + 0 * scale, scale + 0 * loc
        place, spread, shape, dtype = loc.detach(), scale.detach(), loc.shape, loc.dtype
        base = noise.normal(shape, dtype)
        result = yield place + spread * base
        actual = result.detach()
        for where in torch.eye(max(1, loc.numel()), dtype=dtype).reshape(-1, *shape):
            # d/d loc: Weibull(sqrt 2, 2) on either side; d/d scale: double-sided Maxwell against the normal.
            size = (where * spread).sum()
            weibull = (-2 * torch.log1p(-noise.uniform((), dtype))).sqrt()
            maxwell = noise.normal((3,), dtype).square().sum().sqrt()
            maxwell = torch.where(noise.uniform((), dtype) < 0.5, -maxwell, maxwell)

            def moved(to: torch.Tensor, where: torch.Tensor = where) -> torch.Tensor:
                return place + spread * (base * (1 - where) + to * where)

            up, down = (yield moved(weibull)).detach(), (yield moved(-weibull)).detach()
            wide = (yield moved(maxwell)).detach()
            to_loc = (up - down) / (size * math.sqrt(2 * math.pi)) * score_of((where * loc).sum())
            result = result + to_loc + (wide - actual) / size * score_of((where * scale).sum())
        return result


@dataclass(frozen=True, repr=False)
class _Baseline(Strategy):
    value: float | torch.Tensor
    strategy: Strategy
    name = "baseline"

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        inner = self.strategy.estimate(dist, noise)
        wanted = next(inner)
        while True:
            rest = yield wanted
            try:
                wanted = inner.send(rest - self.value)
            except StopIteration as done:
                return done.value + self.value  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False)
class _Average(Strategy):
    times: int
    strategy: Strategy
    name = "average"

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        total: Any = 0.0
        for _ in range(self.times):
            total = total + (yield from self.strategy.estimate(dist, noise))
        return total / self.times  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False)
class _Minibatch(Strategy):
    size: int
    name = "minibatch"

    def estimate(self, dist: Dist, noise: Noise) -> Estimate:
        pairs = outcomes(dist) if isinstance(dist, Finite) else []
        count = len(pairs)
        if not count or any(abs(float(p.detach()) * count - 1) > 1e-6 for _, p in pairs):
            raise UsageError(f"{dist!r} is not uniform over finitely many values. Use minibatch on Uniform(range(M)).")
        if self.size > count:
            raise UsageError(f"A minibatch of {self.size} from {count} values is too large. Give at most {count}.")
        chosen = noise.uniform((count,), torch.float64).argsort()[: self.size]
        values = [value for value, _ in pairs]
        numeric = torch.stack(values) if isinstance(values[0], torch.Tensor) else None
        total: Any = 0.0
        for index in chosen:
            total = total + (yield values[int(index)] if numeric is None else numeric[index])
        return total / self.size  # type: ignore[no-any-return]


reparam: Strategy = _Reparam()
implicit: Strategy = _Implicit()
reinforce: Strategy = _Reinforce()
fixed: Strategy = _Fixed()
enum: Strategy = _Enum()
mvd: Strategy = _MeasureValued()


def baseline(value: float | torch.Tensor, strategy: Strategy) -> Strategy:
    """Subtract a number from the rest of the program before a strategy sees it, and add it afterwards.

    The expectation and its gradient stay; the variance of score-function gradients falls when the number is near the
    mean of the rest.

    Parameters
    ----------
    value : float or Tensor
        May depend on earlier draws and carry gradients. It must not depend on the value that is drawn here: that
        would bias the gradient.
    strategy : Strategy
        Usually `reinforce`.

    Examples
    --------
    >>> baseline(1.0, reinforce)
    baseline
    """
    return _Baseline(value, strategy)


def average(times: int, strategy: Strategy) -> Strategy:
    """Average independent runs of a strategy, each with the rest of the program.

    Parameters
    ----------
    times : int
        How many, >= 1.
    strategy : Strategy
        What to repeat.

    Examples
    --------
    >>> average(4, reinforce)
    average
    """
    if times < 1:
        raise UsageError(f"times={times} averages nothing. Give times >= 1.")
    return _Average(times, strategy)


def minibatch(size: int) -> Strategy:
    """Run the rest of the program at some of the values of a uniform draw, drawn without replacement.

    Parameters
    ----------
    size : int
        How many values, >= 1. With ``i ~ Uniform(range(M))`` and a rest of ``M * term(i)`` this is the usual
        subsampled sum.

    Examples
    --------
    >>> minibatch(8)
    minibatch
    """
    if size < 1:
        raise UsageError(f"size={size} takes no value. Give size >= 1.")
    return _Minibatch(size)


def default_strategy(dist: Dist) -> Strategy:
    """Choose a strategy: reparameterise where possible, enumerate up to 32 outcomes, score function otherwise.

    Parameters
    ----------
    dist : Dist
        What is drawn from.

    Examples
    --------
    >>> default_strategy(Normal(0.0, 1.0)), default_strategy(Bernoulli(0.5))
    (reparam, enum)
    """
    if is_reparameterisable(dist):
        return implicit if isinstance(dist, IMPLICIT) else reparam
    return enum if has_outcomes(dist) else reinforce
