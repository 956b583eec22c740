"""Resample-move sequential Monte Carlo (Gilks and Berzuini 2001): particles are moved after each resampling."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from educe.core import UsageError
from educe.prob.algorithm import Algorithm, compose
from educe.prob.mh import single_site
from educe.prob.moves import (
    Kernel,
    Move,
    Population,
    advance,
    finish,
    rejuvenate,
    repeat,
    resample,
    spawn,
)
from educe.prob.numbers import Weight

__all__ = ["rmsmc"]


def rmsmc(
    n: int,
    kernel: Kernel = single_site,
    steps: int = 1,
    scheme: str = "systematic",
    *,
    when: Callable[[Sequence[Weight]], bool] | None = None,
    every: int = 1,
    rounds: int | None = None,
) -> Algorithm:
    """Sequential Monte Carlo whose particles also take Markov steps over all they have drawn so far.

    Parameters
    ----------
    n : int
        Number of particles, >= 1.
    kernel : callable
        Leaves the program's measure up to the current barrier unchanged.
    steps : int
        Steps of the kernel after each resampling, >= 1.
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    when : callable or None
        Resample only if this holds of the weights; None resamples always.
    every : int
        Stop only at each so-many-th barrier.
    rounds : int or None
        Resample and move so many times, then run to the end. Needed where the number of barriers depends on what is
        drawn: stopping when all particles happen to have finished would bias the result. None stops then, and
        refuses programs that show such a dependence.

    Raises
    ------
    UsageError
        `rounds` was left out and particles passed different numbers of barriers.

    Examples
    --------
    >>> rmsmc(16).name
    'rmsmc'
    """
    moves: tuple[Move, ...] = (advance(every), resample(scheme, when), rejuvenate(kernel, steps))
    if rounds is None:
        moves = (*moves[:1], _equally_long, *moves[1:])
    return compose(spawn(n), repeat(*moves, rounds=rounds), finish(), name="rmsmc")


def _equally_long(population: Population) -> Generator[Any, Any, Population]:
    if len({(particle.passed, particle.finished) for particle in population if particle.weight != 0}) > 1:
        raise UsageError(
            f"Runs of {population[0].program.name} pass different numbers of barriers. Give rounds=, the number of "
            "times to resample and move."
        )
    yield from ()
    return population
