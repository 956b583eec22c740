"""Slice sampling along random directions (Neal 2003, arXiv:physics/0009028): no gradient and no step size to tune.

Under the log-density at the current point, less an exponential variable, lies a slice of the line; its ends are found
by stepping out, and a point is drawn from it by shrinkage. All chains do so side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from educe.prob.adaptation import Info, Tuning
from educe.prob.chains import Chains, chains_of
from educe.prob.leapfrog import State, normals, uniforms
from educe.prob.moves import at_least_one
from educe.prob.vector import Target

__all__ = ["SliceSampling", "at", "shrink", "slice_sampling"]

# Rejections halve an interval on average; so many cannot be told from a numerical failure, and the chain stays.
SHRINKAGES = 100

Inside = Callable[[torch.Tensor], torch.Tensor]


def at(target: Target, position: torch.Tensor) -> torch.Tensor:
    """Return a copy of the log-density at a position, -inf where it is NaN."""
    target.position.copy_(position)
    target()
    return torch.nan_to_num(target.value, nan=-torch.inf)


def shrink(
    rng: np.random.Generator,
    low: torch.Tensor,
    high: torch.Tensor,
    first: torch.Tensor,
    inside: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, int]:
    """Draw a point of a slice: try points of (low, high), and cut the interval towards zero at each one outside.

    Parameters
    ----------
    rng : numpy.random.Generator
        Randomness.
    low, high : Tensor
        (chains,) ends of an interval around zero, where the chains are.
    first : Tensor
        (chains,) the first points to try.
    inside : callable
        Whether points (chains,) lie in the slice.

    Returns
    -------
    Tensor
        (chains,) accepted points; zero where none was found.
    int
        How often `inside` was called.
    """
    place, low, high = first, low.clone(), high.clone()
    for tried in range(1, SHRINKAGES + 1):
        out = ~inside(place)
        if not bool(out.any()):
            return place, tried
        low = torch.where(out & (place < 0), place, low)
        high = torch.where(out & (place >= 0), place, high)
        fresh = low + (high - low) * uniforms(rng, place)
        place = torch.where(out, fresh, place)
    return torch.where(out, 0.0, place), SHRINKAGES


@dataclass(frozen=True)
class SliceSampling:
    """The kernel of `slice_sampling`.

    Parameters
    ----------
    width : float
        First guess of a slice's width, in posterior standard deviations.
    steps_out : int
        Most widths by which an interval grows.
    """

    width: float = 2.0
    steps_out: int = 8
    name = "slice"
    gradient = False
    acceptance = None
    lengths = False

    def step(self, rng: np.random.Generator, target: Target, state: State, tuning: Tuning) -> tuple[State, Info]:
        """Draw a direction and a level, find the slice, draw a point from it."""
        chains = len(state.value)
        direction = normals(rng, state.position)
        direction *= self.width * tuning.variance.sqrt() / direction.norm(dim=1, keepdim=True)
        level = state.value + uniforms(rng, state.value).log()

        def value(place: torch.Tensor) -> torch.Tensor:
            return at(target, state.position + place[:, None] * direction)

        low = -uniforms(rng, state.value)
        high = low + 1
        # How many steps each side may take is drawn beforehand, so that the way back is equally likely.
        left = torch.from_numpy(rng.integers(0, self.steps_out + 1, chains))
        right = self.steps_out - left
        evaluations = 0
        for sign, end, budget in ((-1.0, low, left), (1.0, high, right)):
            for used in range(self.steps_out):
                growing = (budget > used) & (value(end) > level)
                evaluations += 1
                if not bool(growing.any()):
                    break
                # A row that has stopped once must not go on: its budget ends here.
                budget[~growing] = 0
                end.add_(growing, alpha=sign)
        first = low + (high - low) * uniforms(rng, state.value)
        place, tried = shrink(rng, low, high, first, lambda place: value(place) > level)
        position = state.position + place[:, None] * direction
        new = State(position, at(target, position), state.gradient)
        ones = torch.ones(chains, dtype=torch.float64)
        return new, Info(ones, torch.zeros(chains, dtype=torch.bool), evaluations + tried + 1)


def slice_sampling(
    chains: int = 64, draws: int = 500, warmup: int = 500, *, width: float = 2.0, steps_out: int = 8
) -> Chains:
    """Slice sampling along random directions, for programs of fixed structure with real draws only.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1.
    draws : int
        States to keep of each, >= 1.
    warmup : int
        States for learning the scales, dropped, >= 0.
    width : float
        First guess of a slice's width, in posterior standard deviations, > 0.
    steps_out : int
        Most widths by which an interval grows, >= 1.

    Returns
    -------
    Chains
        For `run`; the posterior is that of `hmc`.

    Examples
    --------
    >>> slice_sampling(chains=8).kernel.name
    'slice'
    """
    at_least_one(steps_out=steps_out)
    return chains_of(SliceSampling(width, steps_out), chains, draws, warmup)
