"""Particle Gibbs (Andrieu, Doucet and Holenstein 2010, section 2.4.3): a particle filter around a retained run."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from typing import Any

from educe.core import UsageError
from educe.prob.algorithm import Algorithm
from educe.prob.driver import together
from educe.prob.mh import chain
from educe.prob.moves import Kernel, select
from educe.prob.particle import Particle
from educe.prob.resampling import Ancestors

__all__ = ["conditional_population", "conditional_smc", "particle_gibbs"]


def conditional_population(particle: Particle, n: int) -> Generator[Any, Any, list[Particle]]:
    """Run a multinomial particle filter in which the first particle repeats a given run.

    Parameters
    ----------
    particle : Particle
        Finished. Its program may be another one that draws the same values in the same places.
    n : int
        Particles, the retained one included, >= 2.

    Returns
    -------
    list of Particle
        All finished, with their weights.
    """
    retained = Particle(particle.program, Fraction(1, n), keep=particle.sites)
    population = [retained, *(Particle(particle.program, Fraction(1, n)) for _ in range(n - 1))]
    while True:
        population = yield from together(each.advance() for each in population)
        if all(each.finished for each in population):
            return population
        weights = [each.weight for each in population]
        ancestors = yield Ancestors(weights, "multinomial", n - 1)
        # Clones draw afresh from here on; the retained run goes on repeating.
        population = [population[0], *(population[index].clone() for index in ancestors)]
        for each in population:
            each.weight = sum(weights, Fraction(0)) / n


def conditional_smc(n: int) -> Kernel:
    """Kernel: run a multinomial particle filter in which the first particle repeats a given run.

    Parameters
    ----------
    n : int
        Particles, the retained one included, >= 2.

    Returns
    -------
    callable
        Takes a finished particle, is a generator, returns one of the filter's particles, drawn by weight.

    Raises
    ------
    UsageError
        There is no particle beside the retained one.
    """
    if n < 2:
        raise UsageError(f"n={n} leaves no particle beside the retained one. Give n >= 2.")

    def kernel(particle: Particle) -> Generator[Any, Any, Particle]:
        if particle.weight == 0:
            return particle
        population = yield from conditional_population(particle, n)
        (chosen,) = yield from select()(population)
        chosen.keep, chosen.weight = {}, particle.weight
        return chosen

    return kernel


def particle_gibbs(n: int, steps: int, *, starts: int = 16, warmup: int = 0) -> Algorithm:
    """Follow the kernel `conditional_smc`. There is no evidence.

    Parameters
    ----------
    n : int
        Particles of each filter, >= 2.
    steps : int
        States to keep, >= 1.
    starts : int
        Draw the first state from so many runs by weight, >= 1.
    warmup : int
        States to drop first, >= 0.

    Examples
    --------
    >>> particle_gibbs(8, 100).name
    'particle gibbs'
    """
    return chain(conditional_smc(n), steps, starts=starts, warmup=warmup, name="particle gibbs")
