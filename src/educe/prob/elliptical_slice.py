"""Elliptical slice sampling (Murray, Adams and MacKay 2010, arXiv:1001.0175): normal draws, any factors, no tuning.

The chain moves on an ellipse through its position and a fresh draw of the prior; only the factors are looked at. All
draws of the program must be normal with parameters that do not depend on other draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from educe.core import UsageError
from educe.prob.adaptation import Info, Tuning
from educe.prob.chains import Chains, chains_of
from educe.prob.continuous import Normal
from educe.prob.leapfrog import State, normals, uniforms
from educe.prob.program import Program
from educe.prob.slice_sampling import shrink
from educe.prob.source import Source
from educe.prob.vector import Target, whole_run

__all__ = ["EllipticalSlice", "elliptical_slice"]


@dataclass(frozen=True)
class EllipticalSlice:
    """The kernel of `elliptical_slice`.

    Parameters
    ----------
    mean, scale : Tensor
        (size,) of the prior; `prepare` finds them.
    """

    mean: torch.Tensor | None = None
    scale: torch.Tensor | None = None
    name = "elliptical slice"
    gradient = False
    acceptance = None
    lengths = False

    async def prepare(self, program: Program, source: Source) -> EllipticalSlice:
        """Read the prior off two runs of a program, and refuse one that is not normal or differs between them."""
        first, second = [await whole_run(program, source.seed.child("prior", turn)) for turn in range(2)]
        means: list[torch.Tensor] = []
        scales: list[torch.Tensor] = []
        for name, site in first.items():
            if not isinstance(site.dist, Normal) or not site.dist.same_as(second[name].dist):
                raise UsageError(
                    f"{name!r} ~ {site.dist} is no normal draw with fixed parameters. "
                    "Draw Normal(0, 1) and scale it in the program, or use hmc."
                )
            for parts, value in zip((means, scales), site.dist.parameters, strict=True):
                parts.append(torch.as_tensor(value, dtype=torch.float64).expand(site.value.shape).reshape(-1))
        return EllipticalSlice(torch.cat(means), torch.cat(scales))

    def step(self, rng: np.random.Generator, target: Target, state: State, tuning: Tuning) -> tuple[State, Info]:
        """Draw an ellipse and a level, draw a point of the ellipse above the level."""
        if self.mean is None or self.scale is None:
            raise UsageError("This kernel does not know the prior yet. Use the kernel that `prepare` returns.")
        mean, scale = self.mean, self.scale
        chains = len(state.value)
        here = state.position - mean
        other = scale * normals(rng, here)

        def factors(angle: torch.Tensor) -> torch.Tensor:
            turn = angle[:, None]
            target.position.copy_(mean + here * turn.cos() + other * turn.sin())
            target()
            return torch.nan_to_num(target.factors, nan=-math.inf)

        zero = torch.zeros(chains, dtype=torch.float64)
        level = factors(zero) + uniforms(rng, zero).log()
        first = 2 * math.pi * uniforms(rng, zero)
        angle, tried = shrink(rng, first - 2 * math.pi, first, first, lambda angle: factors(angle) > level)
        factors(angle)
        new = State(target.position.clone(), target.value.clone(), state.gradient)
        return new, Info(torch.ones_like(zero), torch.zeros(chains, dtype=torch.bool), tried + 2)


def elliptical_slice(chains: int = 64, draws: int = 500, warmup: int = 100) -> Chains:
    """Elliptical slice sampling, for programs whose draws are all normal with fixed parameters.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1.
    draws : int
        States to keep of each, >= 1.
    warmup : int
        States to drop first, >= 0; nothing is tuned.

    Returns
    -------
    Chains
        For `run`; the posterior is that of `hmc`.

    Examples
    --------
    >>> from educe.prob import observe, program, run
    >>> @program
    ... def mean(seen):
    ...     mu = yield Normal(0.0, 10.0) @ "mu"
    ...     yield observe(Normal(mu, 1.0), seen)
    >>> posterior = run(mean(torch.tensor([1.0, 3.0])), elliptical_slice(), seed=0)
    >>> round(float(posterior.expect(lambda draw: draw["mu"])), 1)
    2.0
    """
    return chains_of(EllipticalSlice(), chains, draws, warmup)
