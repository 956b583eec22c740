"""Metropolis-Hastings on traces: one draw is proposed anew, the rest of the run is kept where it still fits.

Source: Wingate, Stuhlmüller and Goodman (2011), AISTATS; Ścibior et al. (2018), arXiv:1711.03219, section 6.
A trace is identified by names. Draws that the old and the new run share keep their values and enter the ratio
by their densities; draws that only one of them has are drawn from their law and cancel.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from educe.core import EvidenceKind
from educe.prob.algorithm import Algorithm, Weighted
from educe.prob.discrete import Bernoulli, Uniform
from educe.prob.moves import Kernel, at_least_one, finish, select, spawn
from educe.prob.numbers import as_probability
from educe.prob.particle import Particle
from educe.prob.program import Program, Steps

__all__ = ["chain", "independent", "mh", "single_site"]


def _accept(old: Particle, new: Particle, ratio: Any) -> Generator[Any, Any, Particle]:
    # What was kept must not leak into barriers that lie ahead.
    new.keep = {}
    new.weight = old.weight
    # A density that overflowed makes the ratio NaN: the comparison then says no, too.
    if not ratio > 0 or not (yield Bernoulli(as_probability(ratio))):
        return old
    return new


def single_site(particle: Particle) -> Generator[Any, Any, Particle]:
    """Kernel: draw one value, chosen uniformly, from its law again; keep all others; accept or stay.

    Parameters
    ----------
    particle : Particle
        At a barrier or finished; the target is its program's measure up to there.

    Returns
    -------
    Particle
        The new run, or the old one.
    """
    if particle.weight == 0 or not particle.sites:
        return particle
    chosen = yield Uniform(particle.sites)
    keep = {name: site for name, site in particle.sites.items() if name != chosen}
    new = Particle(particle.program, keep=keep)
    yield from new.advance(particle.until)
    # The chosen draw is one of |sites| before and after: without this ratio, short runs would count too much.
    ratio = new.score * new.kept / particle.score * len(particle.sites) / len(new.sites)
    return (yield from _accept(particle, new, ratio))


def independent(particle: Particle) -> Generator[Any, Any, Particle]:
    """Kernel: propose a whole new run; accept by the ratio of the scores.

    Parameters
    ----------
    particle : Particle
        At a barrier or finished.

    Returns
    -------
    Particle
        The new run, or the old one.
    """
    if particle.weight == 0:
        return particle
    new = Particle(particle.program)
    yield from new.advance(particle.until)
    return (yield from _accept(particle, new, new.score / particle.score))


def chain(kernel: Kernel, steps: int, *, starts: int = 1, warmup: int = 0, name: str = "chain") -> Algorithm:
    """Follow a Markov kernel from a point that was drawn by importance.

    All states count the weight of the starting point divided by their number. So the chain keeps the meaning of the
    program at any length, which `educe.prob.laws` checks exactly, and as a posterior its states weigh the same.

    Parameters
    ----------
    kernel : callable
        Takes a finished particle, is a generator, returns a particle.
    steps : int
        States to keep, >= 1.
    starts : int
        Draw the first state from so many runs by weight, >= 1.
    warmup : int
        States to drop before the first that is kept, >= 0.
    name : str
        Shown in results.
    """
    at_least_one(steps=steps, starts=starts, warmup=warmup + 1)

    def states(program: Program) -> Steps:
        population = yield from finish()(spawn(starts)(program))
        (particle,) = yield from select()(population)
        kept = []
        for step in range(warmup + steps):
            particle = yield from kernel(particle)
            if step >= warmup:
                kept.append(Weighted(particle.weight / steps, particle.value))
        return kept

    return Algorithm(states, name, EvidenceKind.NONE)


def mh(steps: int, *, starts: int = 16, warmup: int = 0) -> Algorithm:
    """Single-site Metropolis-Hastings. There is no evidence.

    Parameters
    ----------
    steps : int
        States to keep, >= 1.
    starts : int
        Draw the first state from so many runs by weight; more help where most runs have weight zero.
    warmup : int
        States to drop first, >= 0.

    Examples
    --------
    >>> from educe.prob import Bernoulli, observe, program, run
    >>> @program
    ... def coin():
    ...     fair = yield Bernoulli(0.5)
    ...     for _ in range(2):
    ...         yield observe(Bernoulli(0.5 if fair else 0.9), True)
    ...     return fair
    >>> round(run(coin(), mh(2000), seed=0).probability(bool), 1)  # exactly 0.236
    0.2
    """
    return chain(single_site, steps, starts=starts, warmup=warmup, name="mh")
