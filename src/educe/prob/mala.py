"""The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996): one leapfrog step, accepted or not.

With a fresh momentum, one leapfrog step is the Langevin proposal with drift ``step**2 / 2 * variance * gradient``, and
the energy error is its acceptance ratio (Neal 2011, arXiv:1206.1901, section 5.5.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from educe.prob.adaptation import Info, Tuning
from educe.prob.chains import DIVERGED, Chains, chains_of, metropolis
from educe.prob.leapfrog import State, kinetic_energy, leapfrog, momentum_draw
from educe.prob.vector import Target

__all__ = ["MALA", "mala"]


@dataclass(frozen=True)
class MALA:
    """The kernel of `mala`.

    Parameters
    ----------
    acceptance : float
        To tune for.
    """

    # Optimal in high dimension (Roberts and Rosenthal 1998).
    acceptance: float = 0.574
    name = "mala"
    gradient = True
    lengths = False

    def step(self, rng: np.random.Generator, target: Target, state: State, tuning: Tuning) -> tuple[State, Info]:
        """Propose along the gradient with noise, accept or stay."""
        momentum = momentum_draw(rng, state, tuning.variance)
        energy = state.value - kinetic_energy(momentum, tuning.variance)
        end = leapfrog(target, state, momentum, tuning.step_size, tuning.variance, 1)
        change = end.value - kinetic_energy(momentum, tuning.variance) - energy
        new, probability = metropolis(rng, state, end, change)
        return new, Info(probability, ~(change > -DIVERGED), 1)


def mala(chains: int = 64, draws: int = 500, warmup: int = 500, *, acceptance: float = 0.574) -> Chains:
    """The Metropolis-adjusted Langevin algorithm, for programs of fixed structure with real draws only.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1.
    draws : int
        States to keep of each, >= 1.
    warmup : int
        States for tuning, dropped, >= 0.
    acceptance : float
        Mean acceptance probability to tune for, in (0, 1).

    Returns
    -------
    Chains
        For `run`; the posterior is that of `hmc`.

    Examples
    --------
    >>> mala(chains=8).kernel.name
    'mala'
    """
    return chains_of(MALA(acceptance), chains, draws, warmup)
