"""Particle independent Metropolis-Hastings (Andrieu, Doucet and Holenstein 2010, section 2.4.2).

It is Metropolis-Hastings with independent proposals on the collapsed particle filter, and nothing else.
"""

from __future__ import annotations

from educe.core import EvidenceKind
from educe.prob.algorithm import Algorithm, collapse
from educe.prob.mh import chain, independent
from educe.prob.program import Program, Steps
from educe.prob.smc import smc

__all__ = ["pimh"]


def pimh(n: int, steps: int, scheme: str = "systematic", *, warmup: int = 0) -> Algorithm:
    """Propose the outcome of a whole particle filter at each step. There is no evidence.

    Parameters
    ----------
    n : int
        Particles of each filter, >= 1.
    steps : int
        States to keep, >= 1.
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    warmup : int
        States to drop first, >= 0.

    Examples
    --------
    >>> pimh(8, 100).evidence.value
    'none'
    """
    collapsed = collapse(smc(n, scheme))
    markov = chain(independent, steps, warmup=warmup)

    def states(program: Program) -> Steps:
        return (yield from markov(collapsed(program)))

    return Algorithm(states, "pimh", EvidenceKind.NONE)
