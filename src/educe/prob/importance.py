"""Importance sampling: independent runs of the program, weighted by their factors."""

from __future__ import annotations

from educe.prob.algorithm import Algorithm, compose
from educe.prob.moves import finish, spawn

__all__ = ["importance"]


def importance(n: int) -> Algorithm:
    """Run the program `n` times, all runs together.

    Draws come from the model, or from the proposal of ``Draw(dist, via=proposal)``. The evidence is unbiased.

    Parameters
    ----------
    n : int
        Number of runs, >= 1.

    Examples
    --------
    >>> from educe.prob import Bernoulli, factor, program, run
    >>> @program
    ... def coin():
    ...     heads = yield Bernoulli(0.5)
    ...     yield factor(0.0 if heads else float("-inf"))
    ...     return heads
    >>> run(coin(), importance(100)).mode()
    True
    """
    return compose(spawn(n), finish(), name="importance")
