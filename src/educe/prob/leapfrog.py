"""The leapfrog integrator of Hamiltonian dynamics, for many chains on the buffers of one target.

Source: Neal (2011), arXiv:1206.1901, section 5.2.3.3. It is reversible and keeps volume; its energy error per
trajectory shrinks with the square of the step size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from educe.prob.vector import Target

__all__ = ["State", "kinetic_energy", "leapfrog", "momentum_draw", "normals", "uniforms"]


class State(NamedTuple):
    """Where the chains are: position (chains, size), log-density (chains,) and its gradient (chains, size)."""

    position: torch.Tensor
    value: torch.Tensor
    gradient: torch.Tensor


def leapfrog(
    target: Target, state: State, momentum: torch.Tensor, step: float | torch.Tensor, variance: torch.Tensor, count: int
) -> State:
    """Follow the dynamics for a number of steps; the momentum is changed in place.

    Parameters
    ----------
    target : Target
        The log-density; its buffers are overwritten.
    state : State
        Where to start.
    momentum : Tensor
        (chains, size); afterwards that of the end point.
    step : float or Tensor
        Step size; (chains, 1) gives each chain its own, negative ones go back in time.
    variance : Tensor
        (size,) diagonal of the inverse mass matrix.
    count : int
        Number of steps, >= 1.

    Returns
    -------
    State
        The end point.
    """
    here, pull = target.position, target.gradient
    here.copy_(state.position)
    drift, kick = step * variance, torch.as_tensor(step, dtype=torch.float64)
    momentum.add_(0.5 * kick * state.gradient)
    for _ in range(count - 1):
        here.addcmul_(momentum, drift)
        target()
        momentum.addcmul_(pull, kick)
    here.addcmul_(momentum, drift)
    target()
    momentum.add_(0.5 * kick * pull)
    return State(here.clone(), target.value.clone(), pull.clone())


def normals(rng: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    """Draw standard normal numbers in the shape of a tensor of chains."""
    # Chains lie next to each other in memory, as they do in a target.
    return torch.from_numpy(rng.standard_normal(like.shape[::-1])).permute(*range(like.ndim)[::-1]).to(like.device)


def uniforms(rng: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    """Draw one number of (0, 1) for each chain."""
    return torch.from_numpy(rng.random(len(like))).to(like.device)


def momentum_draw(rng: np.random.Generator, state: State, variance: torch.Tensor) -> torch.Tensor:
    """Draw momenta (chains, size) of the mass matrix that is the inverse of the variances."""
    return normals(rng, state.position) * variance.rsqrt()


def kinetic_energy(momentum: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Kinetic energy (chains,) of momenta (chains, size)."""
    return 0.5 * (momentum.square() @ variance)
