"""What a program may ask for: `Draw` a value, `Factor` in a weight; algorithms also `Evaluate` a density.

A request says what is wanted, never how: the sampler draws it, the enumerator tries every outcome, the vector
engine reads it off a position. A list of requests is answered by the list of answers, all at the same moment;
this is how many particles become one call to a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from educe.core import UsageError
from educe.prob.numbers import LogNumber, Weight, as_weight

if TYPE_CHECKING:
    from educe.prob.dist import Dist

__all__ = ["Draw", "Evaluate", "Factor", "Twist", "barrier", "factor", "observe", "score", "twist"]


@dataclass(frozen=True, slots=True)
class Draw:
    """Ask for a value of a distribution.

    Parameters
    ----------
    dist : Dist
        Its law in the model.
    name : str or None
        Unique in one run of the program; unnamed draws are known by their line and how often it was passed.
    via : Dist or None
        Draw from this proposal instead and correct the weight by the ratio of the two densities.

    Examples
    --------
    >>> from educe.prob import Normal
    >>> (Normal(0.0, 5.0) @ "mu").name
    'mu'
    """

    dist: Dist
    name: str | None = None
    via: Dist | None = None


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Ask for the probability (or density) of a value; the answer is a weight.

    Parameters
    ----------
    dist : Dist
        The law.
    value : object
        Where to evaluate it.
    """

    dist: Dist
    value: Any


@dataclass(frozen=True, slots=True)
class Factor:
    """Multiply the weight of the run. Every factor is a barrier, at which particles may be resampled.

    Parameters
    ----------
    weight : Fraction, LogNumber or Evaluate
        The factor itself, or the density that gives it.
    """

    weight: Weight | Evaluate


@dataclass(frozen=True, slots=True)
class Twist:
    """Multiply the weight of the run until its next factor, twist or end, and undo it there.

    Parameters
    ----------
    weight : Fraction or LogNumber
        The temporary factor, > 0.
    """

    weight: Weight


def observe(dist: Dist, value: Any) -> Factor:
    """Condition on an observed value.

    Parameters
    ----------
    dist : Dist
        Law of the observation.
    value : object
        What was seen. Outside the support the weight becomes zero.

    Examples
    --------
    >>> from educe.prob import Bernoulli, enumerate_exact, program
    >>> @program
    ... def coin():
    ...     fair = yield Bernoulli(0.5)
    ...     yield observe(Bernoulli(0.5 if fair else 0.9), True)
    ...     return fair
    >>> round(enumerate_exact(coin()).probability(bool), 4)
    0.3571
    """
    return Factor(Evaluate(dist, value))


def factor(log_weight: Any) -> Factor:
    """Add to the log-weight of the run.

    Parameters
    ----------
    log_weight : float or Tensor
        One number; ``-inf`` ends the run with weight zero.

    Examples
    --------
    >>> factor(-1.0).weight
    exp(-1)
    """
    return Factor(LogNumber(log_weight))


def score(weight: Any) -> Factor:
    """Multiply the weight of the run by a number, exactly when it is whole or a fraction.

    Parameters
    ----------
    weight : int, Fraction, float or Tensor
        A factor >= 0.

    Examples
    --------
    >>> score(Fraction(9, 10)).weight
    Fraction(9, 10)
    """
    return Factor(as_weight(weight))


def barrier() -> Factor:
    """Mark a point at which particles may be resampled, without changing any weight.

    Examples
    --------
    >>> barrier().weight
    Fraction(1, 1)
    """
    return Factor(Fraction(1))


def twist(log_weight: Any) -> Twist:
    """Look ahead: count the run as if it had this factor, up to its next factor, twist or end. It is a barrier.

    Particles that promise little die early, and the target stays as it is.

    Parameters
    ----------
    log_weight : float or Tensor
        A finite number.

    Raises
    ------
    UsageError
        The number is not finite: what has been multiplied by zero cannot be undone.

    Examples
    --------
    >>> twist(-1.0).weight
    exp(-1)
    """
    value = float(log_weight)
    if not math.isfinite(value):
        raise UsageError(
            f"A twist of {value} cannot be undone. Give a finite number, or factor(-inf) if it is for good."
        )
    return Twist(LogNumber(value))


def leaves(request: Any) -> list[Any]:
    """List the single requests in a nested list of requests, in order."""
    if isinstance(request, list):
        return [leaf for item in request for leaf in leaves(item)]
    return [request]


def rebuild(request: Any, answers: Iterator[Any]) -> Any:
    """Put the answers to `leaves` into the shape of the request."""
    if isinstance(request, list):
        return [rebuild(item, answers) for item in request]
    return next(answers)


def refuse(request: Any, where: str) -> UsageError:
    """Return the error for something that is no request."""
    return UsageError(
        f"{where} yielded {request!r}, which is no request. "
        "Yield a distribution, observe(...), factor(...), score(...), twist(...), barrier() or a list of distributions."
    )
