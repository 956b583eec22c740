"""Six samplers that look right and are not: what `educe.prob.laws` has to refute.

A check that passes everything proves nothing. Each of these has one plausible mistake; they are here for tests of the
laws and for teaching, never for inference.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any

from educe.prob.algorithm import Algorithm, Weighted, compose
from educe.prob.discrete import Bernoulli, Finite, Uniform
from educe.prob.mh import chain
from educe.prob.moves import Population, advance, finish, repeat
from educe.prob.numbers import Weight, as_probability
from educe.prob.particle import Particle
from educe.prob.program import Program, Steps
from educe.prob.requests import Factor
from educe.prob.resampling import Ancestors
from educe.prob.smc import smc

__all__ = ["MUTANTS"]


def _total(weights: list[Weight]) -> Weight:
    return sum(weights, Fraction(0))


def _offspring(population: Population, weights: list[Weight], share: Weight) -> Generator[Any, Any, Population]:
    if _total(weights) == 0 or all(particle.finished for particle in population):
        return population
    clones = [population[index].clone() for index in (yield Ancestors(weights))]
    for clone in clones:
        clone.weight = share
    return clones


def _reset(population: Population) -> Generator[Any, Any, Population]:
    """Resample, but let every offspring count 1/n instead of total/n."""
    weights = [particle.weight for particle in population]
    return (yield from _offspring(population, weights, Fraction(1, len(population))))


def _late(population: Population) -> Generator[Any, Any, Population]:
    """Run on, then resample by the weights from before the last factor."""
    before = [particle.weight for particle in population]
    population = yield from advance()(population)
    return (yield from _offspring(population, before, _total(before) / len(population)))


def _site(ratio_of: Callable[[Particle, Particle], Any]) -> Algorithm:
    """Single-site Metropolis-Hastings with another acceptance ratio."""

    def kernel(old: Particle) -> Generator[Any, Any, Particle]:
        if old.weight == 0 or not old.sites:
            return old
        chosen = yield Uniform(old.sites)
        new = Particle(old.program, keep={name: site for name, site in old.sites.items() if name != chosen})
        yield from new.advance(old.until)
        if new.score == 0 or not (yield Bernoulli(as_probability(ratio_of(old, new)))):
            return old
        new.weight = old.weight
        return new

    return chain(kernel, 1)


def _dropped(program: Program) -> Steps:
    """Draw a value of a particle filter, but let it count 1 instead of the total."""
    population = yield from smc(2)(program)
    weights = [item.weight for item in population]
    if _total(weights) == 0:
        yield Factor(Fraction(0))
    return [Weighted(Fraction(1), population[(yield Finite(enumerate(weights)))].value)]


MUTANTS: dict[str, Algorithm] = {
    "weights reset to 1/n": compose(lambda program: [Particle(program, Fraction(1, 2)) for _ in range(2)],
                                    repeat(advance(), _reset)),
    "spawned with weight 1": compose(lambda program: [Particle(program), Particle(program)], finish()),
    "no length ratio": _site(lambda old, new: new.score * new.kept / old.score),
    "inverse ratio": _site(lambda old, new: old.score * len(new.sites) / (new.score * new.kept * len(old.sites))),
    "weight comes too late": compose(lambda program: [Particle(program, Fraction(1, 2)) for _ in range(2)],
                                     repeat(_late), finish()),
    "evidence dropped": Algorithm(_dropped),
}  # fmt: skip
