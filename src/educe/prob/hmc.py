"""Hamiltonian Monte Carlo (Neal 2011, arXiv:1206.1901): many chains, trajectories of random length.

The length is drawn anew at each iteration for all chains at once, which removes the resonances of a fixed one. Its
mean is tuned by ChEES (Hoffman, Radul and Sountsov 2021), which maximises the change of squared distance from the
chains' mean; or lengths are spread evenly from 1 to a longest one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from educe.core import UsageError
from educe.prob.adaptation import Info, Tuning
from educe.prob.chains import DIVERGED, Chains, chains_of, metropolis
from educe.prob.leapfrog import State, kinetic_energy, leapfrog, momentum_draw
from educe.prob.moves import at_least_one
from educe.prob.vector import Target

__all__ = ["HMC", "halton", "hmc"]


def halton(index: int) -> float:
    """Element of van der Corput's sequence in base 2: 1/2, 1/4, 3/4, 1/8, ... for indices 1, 2, 3, 4, ...

    Parameters
    ----------
    index : int
        From 1 on.

    Examples
    --------
    >>> [halton(i) for i in (1, 2, 3)]
    [0.5, 0.25, 0.75]
    """
    return int(bin(index)[:1:-1], 2) / 2 ** (index.bit_length()) if index else 0.0


@dataclass(frozen=True)
class HMC:
    """The kernel of `hmc`.

    Parameters
    ----------
    trajectory : str
        ``"chees"`` or ``"jittered"``.
    leapfrogs : int
        Longest trajectory.
    acceptance : float
        To tune for.
    """

    trajectory: str = "chees"
    leapfrogs: int = 100
    acceptance: float = 0.8
    name = "hmc"
    gradient = True

    @property
    def lengths(self) -> bool:
        """Whether lengths are tuned."""
        return self.trajectory == "chees"

    def step(self, rng: np.random.Generator, target: Target, state: State, tuning: Tuning) -> tuple[State, Info]:
        """Draw momenta, follow the dynamics, accept or stay."""
        if self.lengths:
            # Twice a number spread evenly over (0, 1): the mean time is the length.
            time = 2 * halton(tuning.iteration + 1) * tuning.length
            count = min(max(1, math.ceil(time / tuning.step_size)), self.leapfrogs)
        else:
            count = int(rng.integers(1, self.leapfrogs + 1))
        momentum = momentum_draw(rng, state, tuning.variance)
        energy = state.value - kinetic_energy(momentum, tuning.variance)
        end = leapfrog(target, state, momentum, tuning.step_size, tuning.variance, count)
        change = end.value - kinetic_energy(momentum, tuning.variance) - energy
        new, probability = metropolis(rng, state, end, change)
        diverged = ~(change > -DIVERGED)
        return new, Info(probability, diverged, count, end, momentum, count * tuning.step_size)


def hmc(
    chains: int = 64,
    draws: int = 200,
    warmup: int = 200,
    *,
    trajectory: str = "chees",
    leapfrogs: int = 100,
    acceptance: float = 0.8,
) -> Chains:
    """Hamiltonian Monte Carlo for programs of fixed structure with real draws only. There is no evidence.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1. Many chains cost little more than one.
    draws : int
        States to keep of each, >= 1.
    warmup : int
        States for tuning, dropped, >= 0.
    trajectory : str
        ``"chees"`` tunes the mean length, for which it needs some ten chains; ``"jittered"`` spreads the number of
        steps evenly from 1 to `leapfrogs`.
    leapfrogs : int
        Longest trajectory, >= 1.
    acceptance : float
        Mean acceptance probability to tune for, in (0, 1).

    Returns
    -------
    Chains
        For `run`. The posterior's values are the program's draws by name, one row per state, chain after chain;
        ``details`` has rank-normalised R-hat, effective sample sizes, acceptance and divergences.

    Examples
    --------
    >>> import torch
    >>> from educe.prob import Normal, observe, program, run
    >>> @program
    ... def mean(seen):
    ...     mu = yield Normal(0.0, 10.0) @ "mu"
    ...     yield observe(Normal(mu, 1.0), seen)
    >>> posterior = run(mean(torch.tensor([1.0, 3.0])), hmc(chains=32, draws=100), seed=0)
    >>> round(float(posterior.expect(lambda draw: draw["mu"])), 1)
    2.0
    """
    at_least_one(leapfrogs=leapfrogs)
    if trajectory not in ("chees", "jittered"):
        raise UsageError(f"trajectory={trajectory!r} is unknown. Give 'chees' or 'jittered'.")
    return chains_of(HMC(trajectory, leapfrogs, acceptance), chains, draws, warmup)
