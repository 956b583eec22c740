"""Exact enumeration: every outcome of every draw, depth first. Works on models and on algorithms alike.

With fractions in the program the result is exact. It grows with the product of all supports; nothing is merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch

from educe.core import EvidenceKind, Posterior, UsageError
from educe.prob.numbers import Weight, log_of
from educe.prob.particle import Particle
from educe.prob.program import Program
from educe.prob.requests import Evaluate, leaves, rebuild

__all__ = ["enumerate_exact", "paths"]

MOST_PATHS = 1_000_000
MOST_DRAWS = 2_000


def paths(program: Program, most: int = MOST_PATHS) -> Iterator[tuple[Weight, Weight, Any]]:
    """Run a program once for every combination of outcomes.

    Parameters
    ----------
    program : Program
        All its draws have finite support.
    most : int
        Refuse to run more often than this.

    Yields
    ------
    (Fraction or LogNumber, Fraction or LogNumber, object)
        Probability of the draws, product of the factors, and the value returned. Runs of weight zero are left out.

    Raises
    ------
    UsageError
        A support is not finite, or there are too many runs.
    """
    waiting: list[tuple[list[Any], Weight]] = [([], Fraction(1))]
    count = 0
    while waiting:
        script, probability = waiting.pop()
        count += 1
        if count > most:
            raise UsageError(f"{program.name} has more than {most:,} runs. Shorten it, or use a sampler such as smc.")
        particle = Particle(program)
        steps = particle.advance(math.inf)
        answer, taken = None, 0
        try:
            while True:
                request = steps.send(answer)
                found = []
                for leaf in leaves(request):
                    if isinstance(leaf, Evaluate):
                        found.append(leaf.dist.weight(leaf.value))
                        continue
                    if taken == len(script):
                        outcomes = list(leaf.enumerate())
                        if taken >= MOST_DRAWS:
                            raise UsageError(f"{program.name} draws without end. Bound its loops, or use a sampler.")
                        waiting += [([*script, value], probability * p) for value, p in reversed(outcomes[1:])]
                        probability = probability * outcomes[0][1]
                        script.append(outcomes[0][0])
                    found.append(script[taken])
                    taken += 1
                answer = rebuild(request, iter(found))
        except StopIteration:
            pass
        if particle.weight != 0:
            yield probability, particle.weight, particle.value


def enumerate_exact(program: Program, most: int = MOST_PATHS) -> Posterior[Any]:
    """Return the exact posterior of a program whose draws are all finite.

    Parameters
    ----------
    program : Program
        The model.
    most : int
        Refuse more runs than this.

    Returns
    -------
    Posterior
        Distinct values, heaviest first, with the exact evidence (rounded once, to float64).

    Raises
    ------
    UsageError
        A support is not finite, or there are too many runs.

    Examples
    --------
    >>> from educe.prob import Bernoulli, program, score
    >>> @program
    ... def sprinkler():
    ...     rain, sprinkler = yield [Bernoulli(Fraction(1, 5)), Bernoulli(Fraction(1, 2))]
    ...     yield score(Fraction(9, 10) if rain or sprinkler else Fraction(1, 10))
    ...     return rain
    >>> posterior = enumerate_exact(sprinkler())
    >>> round(posterior.probability(bool), 4), round(math.exp(posterior.log_evidence), 4)
    (0.3103, 0.58)
    """
    found = [(probability * weight, value) for probability, weight, value in paths(program, most)]
    logs = torch.tensor([log_of(weight) for weight, _ in found], dtype=torch.float64)
    total = sum((weight for weight, _ in found), Fraction(0))
    whole: Posterior[Any] = Posterior(
        [value for _, value in found],
        logs,
        log_of(total),
        EvidenceKind.UNBIASED,
        details={"algorithm": "enumeration", "runs": len(found)},
    )
    return whole.marginal() if found else whole
