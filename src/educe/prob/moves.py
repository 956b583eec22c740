"""Moves on populations of particles: the parts that algorithms are composed of.

A move takes a population, may draw (ancestors, proposals, acceptances), and returns a population with the same
meaning: for every function f, the expectation over the move's own draws of ``sum_i w_i f(x_i)`` is unchanged.
Then every composition is valid, and `educe.prob.laws` can check it exactly. Source: Ścibior et al. (2018),
arXiv:1711.03219, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from educe.core import UsageError
from educe.prob.discrete import Finite
from educe.prob.driver import together
from educe.prob.numbers import Weight
from educe.prob.particle import Particle
from educe.prob.program import Program
from educe.prob.resampling import SCHEMES, Ancestors

__all__ = [
    "Each",
    "Kernel",
    "Move",
    "Population",
    "Repeat",
    "advance",
    "at_least_one",
    "ess_below",
    "finish",
    "rejuvenate",
    "repeat",
    "resample",
    "select",
    "spawn",
]

Population = list[Particle]
Move = Callable[[Population], Generator[Any, Any, Population]]
Kernel = Callable[[Particle], Generator[Any, Any, Particle]]


def at_least_one(**sizes: int) -> None:
    """Refuse sizes below one."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UsageError(f"{name}={size!r} does nothing. Give a whole number >= 1.")


def spawn(n: int) -> Callable[[Program], Population]:
    """Start `n` runs, each counting 1/n.

    Parameters
    ----------
    n : int
        Number of particles, >= 1.

    Examples
    --------
    >>> from educe.prob import Bernoulli, program
    >>> @program
    ... def coin():
    ...     return (yield Bernoulli(0.5))
    >>> [particle.weight for particle in spawn(2)(coin())]
    [Fraction(1, 2), Fraction(1, 2)]
    """
    at_least_one(n=n)
    return lambda program: [Particle(program, Fraction(1, n)) for _ in range(n)]


@dataclass(frozen=True)
class Each:
    """A move that treats every particle by itself, all of them together; `advance`, `finish`, `rejuvenate` make it."""

    step: Kernel

    def __call__(self, population: Population) -> Generator[Any, Any, Population]:
        """Apply the step to all particles side by side."""
        return together(self.step(particle) for particle in population)


def advance(every: int = 1) -> Each:
    """Run every particle on, all together, past its next barrier or to its end.

    Parameters
    ----------
    every : int
        Pass so many barriers at once, >= 1.
    """
    at_least_one(every=every)
    return Each(lambda particle: particle.advance(every))


def finish() -> Each:
    """Run every particle to its end."""
    return Each(lambda particle: particle.advance(math.inf))


def ess_below(share: float | Fraction) -> Callable[[Sequence[Weight]], bool]:
    """Condition for `resample`: the effective sample size is below a share of the particles.

    Parameters
    ----------
    share : float or Fraction
        In (0, 1]; 0.5 is usual.

    Examples
    --------
    >>> ess_below(0.5)([Fraction(1), Fraction(1)]), ess_below(0.9)([Fraction(1), Fraction(3)])
    (False, True)
    """
    if not 0 < share <= 1:
        raise UsageError(f"share={share} is out of range. Give a number in (0, 1].")

    def low(weights: Sequence[Weight]) -> bool:
        total = sum(weights, Fraction(0))
        squares = sum((weight * weight for weight in weights), Fraction(0))
        # Both sides are weights, so that fractions are compared exactly.
        return bool(total * total < squares * (Fraction(share) * len(weights)))

    return low


def resample(scheme: str = "systematic", when: Callable[[Sequence[Weight]], bool] | None = None) -> Move:
    """Replace light particles by copies of heavy ones; every offspring counts total / n.

    A population without mass, or whose particles have all finished, is left as it is.

    Parameters
    ----------
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    when : callable or None
        Takes the weights; resample only if it says so. None resamples always.
    """
    if scheme not in SCHEMES:
        Ancestors([1], scheme)

    def move(population: Population) -> Generator[Any, Any, Population]:
        weights = [particle.weight for particle in population]
        total = sum(weights, Fraction(0))
        if total == 0 or all(particle.finished for particle in population) or (when and not when(weights)):
            return population
        ancestors = yield Ancestors(weights, scheme)
        offspring, used = [], set()
        for index in ancestors:
            # The first copy keeps the generator; only further ones are replayed.
            particle = population[index].clone() if index in used else population[index]
            used.add(index)
            particle.weight = total / len(population)
            offspring.append(particle)
        return offspring

    return move


def rejuvenate(kernel: Kernel, steps: int = 1) -> Each:
    """Move every particle by a Markov kernel that leaves the program's measure up to here unchanged.

    Parameters
    ----------
    kernel : callable
        Takes a particle, is a generator, returns a particle; for instance `single_site`.
    steps : int
        How often, >= 1.
    """
    at_least_one(steps=steps)

    def walk(particle: Particle) -> Generator[Any, Any, Particle]:
        for _ in range(steps):
            particle = yield from kernel(particle)
        return particle

    return Each(walk)


@dataclass(frozen=True)
class Repeat:
    """The move that `repeat` makes."""

    moves: tuple[Move, ...]
    rounds: int | None = None

    def goes_on(self, population: Population, done: int) -> bool:
        """Whether another round is due after so many."""
        if self.rounds is not None:
            return done < self.rounds
        return not all(particle.finished for particle in population)

    def __call__(self, population: Population) -> Generator[Any, Any, Population]:
        """Apply the moves, round by round."""
        done = 0
        while self.goes_on(population, done):
            for move in self.moves:
                population = yield from move(population)
            done += 1
        return population


def repeat(*moves: Move, rounds: int | None = None) -> Repeat:
    """Apply moves in turn, a fixed number of times or until all particles have finished.

    Stopping when all have finished is a decision that looks at the population. Resampling allows that. A Markov
    kernel does not, since it keeps the measure on average over populations only: with `rejuvenate` give `rounds`,
    unless all runs of the program pass the same number of barriers.

    Parameters
    ----------
    *moves : callable
        One of them must advance the particles.
    rounds : int or None
        How many times; None means until all have finished.
    """
    if rounds is not None:
        at_least_one(rounds=rounds)
    return Repeat(moves, rounds)


def select() -> Move:
    """Keep one particle, drawn by weight, and let it count the total."""

    def move(population: Population) -> Generator[Any, Any, Population]:
        weights = [particle.weight for particle in population]
        total = sum(weights, Fraction(0))
        if total == 0:
            return population[:1]
        chosen = population[(yield Finite(enumerate(weights)))]
        chosen.weight = total
        return [chosen]

    return move
