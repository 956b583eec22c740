"""Sequential Monte Carlo (Gordon, Salmond and Smith 1993; Del Moral 2004): the particle filter on programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from educe.prob.algorithm import Algorithm, compose
from educe.prob.moves import advance, finish, repeat, resample, spawn
from educe.prob.numbers import Weight

__all__ = ["smc"]


def smc(
    n: int,
    scheme: str = "systematic",
    *,
    when: Callable[[Sequence[Weight]], bool] | None = None,
    every: int = 1,
) -> Algorithm:
    """Run `n` particles from barrier to barrier and resample between. The evidence is unbiased.

    Particles that have finished keep their weight and still take part in resampling. A program that never factors
    is sampled as by `importance`.

    Parameters
    ----------
    n : int
        Number of particles, >= 1.
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    when : callable or None
        Resample only if this holds of the weights, for instance ``ess_below(0.5)``; None resamples always.
    every : int
        Resample only at each so-many-th barrier, which makes batches longer and leaves the target as it is.

    Examples
    --------
    >>> from educe.prob import Bernoulli, observe, program, run
    >>> @program
    ... def weather(umbrellas):
    ...     rain = yield Bernoulli(0.5)
    ...     for seen in umbrellas:
    ...         rain = yield Bernoulli(0.7 if rain else 0.3)
    ...         yield observe(Bernoulli(0.9 if rain else 0.2), seen)
    ...     return rain
    >>> posterior = run(weather([True, True]), smc(2000), seed=1)
    >>> round(posterior.probability(bool), 1)  # exactly 0.883
    0.9
    """
    return compose(spawn(n), repeat(advance(every), resample(scheme, when)), finish(), name="smc")
