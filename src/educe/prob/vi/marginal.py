"""`marginal` and `normalize`: distributions with estimated densities, from programs and importance sampling.

`marginal` keeps some choices of a program and integrates out the rest; `normalize` is a program's posterior.
Estimates follow the stochastic probability interface of Lew et al. (2023), arXiv:2210.04156: a draw comes with an
estimate of 1 / density that is unbiased given the draw (by *conditional* importance sampling, which counts the
auxiliary values that were actually used), a given value with an unbiased estimate of its density. Using one in place
of the other would bias bounds upwards. Unlike the published artifact, the default proposal weighs particles by the
joint over the proposal's density, not by the joint alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from educe.core import UsageError
from educe.prob.discrete import Categorical
from educe.prob.program import Program
from educe.prob.vi.expectation import copies
from educe.prob.vi.strategies import Choice, Strategy
from educe.prob.vi.trace import Choices, Generative, assess, simulate, trace

__all__ = ["Marginal", "Normalized", "Sir", "log_mean_exp", "marginal", "normalize", "sir"]

Steps = Generator[Any, Any, Any]


def log_mean_exp(logs: torch.Tensor) -> torch.Tensor:
    """Log of the mean of exponentials over the first axis.

    Parameters
    ----------
    logs : Tensor
        (n, ...).
    """
    return torch.logsumexp(logs, 0) - math.log(len(logs))


@dataclass(frozen=True)
class Sir:
    """Sampling importance resampling; `sir` makes it.

    Parameters
    ----------
    m : int
        Particles.
    proposal : Program, callable or None
        See `sir`.
    """

    m: int
    proposal: Any = None


def sir(m: int, proposal: Generative | Callable[..., Generative] | None = None) -> Sir:
    """Importance sampling with `m` particles, as the algorithm of `marginal` and `normalize`.

    Parameters
    ----------
    m : int
        Particles, >= 1. One makes the cruder bounds.
    proposal : Program, callable or None
        For `marginal`: takes the kept choices as a dict and returns a program that draws the rest. For `normalize`:
        a program that draws all choices. None draws them from the program itself.

    Examples
    --------
    >>> sir(5)
    Sir(m=5, proposal=None)
    """
    if m < 1:
        raise UsageError(f"m={m} is no number of particles. Give m >= 1.")
    return Sir(m, proposal)


@dataclass(frozen=True)
class Marginal:
    """Some choices of a program, the others integrated out; `marginal` makes it.

    Parameters
    ----------
    program : Program
        Over kept and other choices.
    keep : tuple of str
        Names.
    algorithm : Sir
        How the integral is estimated.
    """

    program: Program
    keep: tuple[str, ...]
    algorithm: Sir

    def _fresh(self, kept: Mapping[str, Any]) -> Steps:
        """Weigh new values of the other choices."""
        if self.algorithm.proposal is None:
            run = yield from trace(self.program, kept)
            return torch.as_tensor(run.total(self.keep))
        others, log_r = yield from simulate(self.algorithm.proposal(dict(kept)))
        return (yield from assess(self.program, {**others, **kept})) - log_r

    def random_weighted(self, strategy: Strategy | None = None) -> Generator[Any, Any, tuple[Choices, torch.Tensor]]:
        """Draw the kept choices, with an estimate whose inverse is unbiased for their inverse density.

        Parameters
        ----------
        strategy : Strategy or None
            Used at every draw of the program, if given.
        """
        run = yield from trace(self.program, strategy=strategy)
        missing = set(self.keep) - set(run.choices)
        if missing:
            raise UsageError(f"{self.program.name} draws no {sorted(missing)} to keep. It draws {list(run.choices)}.")
        kept = {name: run.choices[name] for name in self.keep}
        if self.algorithm.proposal is None:
            first = torch.as_tensor(run.total(self.keep))
        else:
            others = {name: value for name, value in run.choices.items() if name not in kept}
            first = run.total() - (yield from assess(self.algorithm.proposal(dict(kept)), others))
        if self.algorithm.m == 1:
            return kept, first
        rest = yield from copies(self.algorithm.m - 1, lambda: self._fresh(kept))
        return kept, log_mean_exp(torch.cat([first[None], rest]))

    def estimate_logpdf(self, choices: Mapping[str, Any]) -> Generator[Any, Any, torch.Tensor]:
        """Return the logarithm of an unbiased estimate of the density of kept choices.

        Parameters
        ----------
        choices : mapping
            A value for each name that is kept.
        """
        if set(choices) != set(self.keep):
            raise UsageError(
                f"Choices {sorted(choices)} were given where {sorted(self.keep)} are kept. Give just those."
            )
        return log_mean_exp((yield from copies(self.algorithm.m, lambda: self._fresh(choices))))


def marginal(program: Program, keep: Sequence[str], algorithm: Sir | None = None) -> Marginal:
    """Keep some choices of a program and integrate out the others.

    Parameters
    ----------
    program : Program
        May draw any named choices; observations count as factors.
    keep : sequence of str
        Names to keep, at least one.
    algorithm : Sir or None
        ``sir(1)`` when left out.

    Examples
    --------
    >>> from educe.prob import Normal, program
    >>> from educe.prob.vi import E
    >>> @program
    ... def pair():
    ...     u = yield Normal(0.0, 1.0) @ "u"
    ...     yield Normal(u, 1.0) @ "x"
    >>> def density():
    ...     return (yield from assess(marginal(pair(), ["x"], sir(10)), {"x": torch.tensor(0.0)})).exp()
    >>> round(float(E(density).surrogate(n=20_000)), 2)  # exactly 1 / sqrt(4 pi) = 0.2821
    0.28
    """
    if isinstance(keep, str) or not keep:
        raise UsageError(f"keep={keep!r} names no choices. Give a list of names.")
    return Marginal(program, tuple(keep), algorithm or sir(1))


@dataclass(frozen=True)
class Normalized:
    """A program's posterior over all its choices; `normalize` makes it.

    Parameters
    ----------
    program : Program
        Draws and observations.
    algorithm : Sir
        How it is approximated.
    keep : tuple of str
        Names of the choices, needed only where another program draws from it.
    """

    program: Program
    algorithm: Sir
    keep: tuple[str, ...] = ()

    def _particle(self, strategy: Strategy | None = None) -> Steps:
        if self.algorithm.proposal is None:
            run = yield from trace(self.program, strategy=strategy)
            return run.choices, torch.as_tensor(run.total(())), torch.as_tensor(run.total())
        choices, log_q = yield from simulate(self.algorithm.proposal, strategy)
        log_p = yield from assess(self.program, choices)
        return choices, log_p - log_q, log_p

    def random_weighted(self, strategy: Strategy | None = None) -> Generator[Any, Any, tuple[Choices, torch.Tensor]]:
        """Draw choices by sampling importance resampling, with an estimate of their log-density.

        Parameters
        ----------
        strategy : Strategy or None
            Used at every draw, if given, the one of the particle included.
        """
        choices, weights, joint = yield from copies(self.algorithm.m, lambda: self._particle(strategy))
        picked = yield Choice(Categorical(torch.softmax(weights, 0)), strategy=strategy)
        return {name: value[picked] for name, value in choices.items()}, joint[picked] - log_mean_exp(weights)

    def estimate_logpdf(self, choices: Mapping[str, Any]) -> Generator[Any, Any, torch.Tensor]:
        """Return an estimate of the log-density of given choices, which take the place of the first particle.

        Parameters
        ----------
        choices : mapping
            A value for every choice.
        """
        log_p = yield from assess(self.program, choices)
        if self.algorithm.proposal is None:
            run = yield from trace(self.program, choices)
            first = torch.as_tensor(run.total(()))
        else:
            first = log_p - (yield from assess(self.algorithm.proposal, choices))
        if self.algorithm.m == 1:
            return log_p - first
        _, rest, _ = yield from copies(self.algorithm.m - 1, self._particle)
        return log_p - log_mean_exp(torch.cat([first[None], rest]))


def normalize(program: Program, algorithm: Sir, keep: Sequence[str] = ()) -> Normalized:
    """Take a program's posterior over its choices as a distribution.

    Parameters
    ----------
    program : Program
        Draws and observations.
    algorithm : Sir
        Particles and, usually, a proposal.
    keep : sequence of str
        Names of the choices, needed only where another program draws from the result.

    Examples
    --------
    >>> from educe.prob import Normal, observe, program
    >>> from educe.prob.vi import E, fixed
    >>> @program
    ... def model():
    ...     x = yield Normal(0.0, 1.0) @ "x"
    ...     yield observe(Normal(x, 1.0), 2.0)
    >>> def mean():
    ...     choices, _ = yield from simulate(normalize(model(), sir(100)))
    ...     return choices["x"]
    >>> round(float(E(mean).surrogate(n=4000, strategy=fixed)), 1)  # exactly 1
    1.0
    """
    return Normalized(program, algorithm, tuple(keep))
