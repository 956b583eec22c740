"""SMC squared (Chopin, Jacob and Papaspiliopoulos 2013, arXiv:1101.1528): parameters and states, both by particles.

`filtered` turns a prior over parameters and a state model into one program: it draws the parameters and then runs a
particle filter of its own, barrier by barrier, counting at each what the filter's particles count on average.
Resample-move on that program, with proposals of new parameters and a whole new filter, is SMC squared, and valid by
the same laws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from educe.prob.algorithm import Algorithm
from educe.prob.driver import together
from educe.prob.mh import independent
from educe.prob.moves import Kernel, at_least_one, resample, spawn
from educe.prob.numbers import Weight
from educe.prob.program import Program, Steps
from educe.prob.requests import Factor
from educe.prob.resample_move import rmsmc

__all__ = ["filtered", "smc2"]


def filtered(prior: Program, model: Callable[[Any], Program], n: int, scheme: str = "systematic") -> Program:
    """Return the program that draws parameters and weighs them by a particle filter of their own.

    Its value is the parameters; its measure is their exact marginal measure, whatever `n`.

    Parameters
    ----------
    prior : Program
        Its value is the parameters.
    model : callable
        Takes the parameters, returns the program over states; all its runs pass the same number of barriers.
    n : int
        Particles of each filter, >= 1.
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    """
    at_least_one(n=n)
    move = resample(scheme)

    def run() -> Steps:
        parameters = yield from prior
        population = spawn(n)(model(parameters))
        while True:
            population = yield from together(particle.advance() for particle in population)
            total: Weight = sum((particle.weight for particle in population), Fraction(0))
            yield Factor(total)
            if all(particle.finished for particle in population):
                return parameters
            # A total of zero has ended the run at the factor.
            for particle in population:
                particle.weight = particle.weight / total
            population = yield from move(population)

    return Program(run, (), {})


def smc2(
    n: int,
    kernel: Kernel = independent,
    steps: int = 1,
    *,
    when: Callable[[Sequence[Weight]], bool] | None = None,
) -> Algorithm:
    """Resample-move for a program made by `filtered`. The evidence is unbiased.

    Parameters
    ----------
    n : int
        Particles over parameters, >= 1.
    kernel : callable
        Proposes parameters together with a new filter.
    steps : int
        Steps of the kernel after each resampling, >= 1.
    when : callable or None
        Resample and move only if this holds of the weights; None always does.

    Examples
    --------
    >>> from educe.prob import Bernoulli, Beta, observe, program, run
    >>> @program
    ... def stickiness():
    ...     return (yield Beta(2.0, 2.0) @ "p")
    >>> @program
    ... def states(p, seen):
    ...     state = yield Bernoulli(0.5)
    ...     for value in seen:
    ...         state = yield Bernoulli(p if state else 1 - p)
    ...         yield observe(Bernoulli(0.9 if state else 0.1), value)
    >>> model = filtered(stickiness(), lambda p: states(p, [True] * 6), n=8)
    >>> float(run(model, smc2(64), seed=0).expect(lambda p: p)) > 0.6
    True
    """
    return rmsmc(n, kernel, steps, when=when)
