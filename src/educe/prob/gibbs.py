"""Gibbs sampling (Geman and Geman 1984): a draw of finite support is drawn anew from its exact conditional.

The program is replayed once for each value of the draw, all replays side by side, with everything else kept; their
scores are the conditional. There is nothing to accept or to reject. Which draws exist must not depend on the value.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from educe.core import UsageError
from educe.prob.algorithm import Algorithm
from educe.prob.discrete import Finite, Uniform
from educe.prob.driver import together
from educe.prob.mh import chain, single_site
from educe.prob.moves import Kernel
from educe.prob.particle import Particle, Site

__all__ = ["gibbs", "gibbs_site"]


def _finite(site: Site) -> bool:
    try:
        next(iter((site.via or site.dist).enumerate()))
    except UsageError:
        return False
    return True


def gibbs_site(otherwise: Kernel | None = single_site) -> Kernel:
    """Kernel: draw one value of finite support, chosen uniformly, from its conditional given all others.

    Parameters
    ----------
    otherwise : callable or None
        Kernel for particles, half of the time, where some draws have no finite support; None refuses such programs.

    Returns
    -------
    callable
        Takes a particle at a barrier or finished, is a generator, returns a particle.

    Raises
    ------
    UsageError
        Which draws exist depends on the value.
    """

    def kernel(particle: Particle) -> Generator[Any, Any, Particle]:
        if particle.weight == 0 or not particle.sites:
            return particle
        finite = [name for name, site in particle.sites.items() if _finite(site)]
        if len(finite) < len(particle.sites):
            if otherwise is None:
                raise UsageError(
                    f"{particle.program.name} draws values without finite support. Give gibbs_site a kernel for them."
                )
            if not finite or (yield Uniform([True, False])):
                return (yield from otherwise(particle))
        return (yield from _redraw(particle, (yield Uniform(finite))))

    return kernel


def _redraw(particle: Particle, name: str) -> Generator[Any, Any, Particle]:
    site = particle.sites[name]
    law = list((site.via or site.dist).enumerate())
    runs = [Particle(particle.program, keep={**particle.sites, name: site._replace(value=v)}) for v, _ in law]
    runs = yield from together(run.advance(particle.until) for run in runs)
    if any(run.weight != 0 and list(run.sites) != list(particle.sites) for run in runs):
        raise UsageError(
            f"Which draws {particle.program.name} makes depends on the value of {name!r}. "
            "Use mh, which allows for that."
        )
    weights = [p * run.score * run.kept for (_, p), run in zip(law, runs, strict=True)]
    new: Particle = runs[(yield Finite(enumerate(weights)))]
    new.keep, new.weight = {}, particle.weight
    return new


def gibbs(steps: int, *, starts: int = 16, warmup: int = 0) -> Algorithm:
    """Gibbs sampling for draws of finite support, single-site Metropolis-Hastings for others. There is no evidence.

    Parameters
    ----------
    steps : int
        States to keep, >= 1.
    starts : int
        Draw the first state from so many runs by weight, >= 1.
    warmup : int
        States to drop first, >= 0.

    Examples
    --------
    >>> from educe.prob import Bernoulli, observe, program, run
    >>> @program
    ... def coin():
    ...     fair = yield Bernoulli(0.5)
    ...     yield observe(Bernoulli(0.5 if fair else 0.9), True)
    ...     return fair
    >>> abs(run(coin(), gibbs(2000), seed=0).probability(bool) - 0.357) < 0.05
    True
    """
    return chain(gibbs_site(), steps, starts=starts, warmup=warmup, name="gibbs")
