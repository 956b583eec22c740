"""Weights as numbers: exact `Fraction`, or `LogNumber`, a non-negative float64 kept by its logarithm.

Algorithms add, divide and compare weights without knowing which of the two they hold. With fractions the
same code is therefore an exact calculation; with log numbers it cannot under- or overflow.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import total_ordering
from typing import Any

from educe.core import UsageError

__all__ = ["LogNumber", "Weight", "as_probability", "as_weight", "log_of"]


@total_ordering
class LogNumber:
    """A non-negative number stored as its natural logarithm.

    Parameters
    ----------
    log : float or Tensor
        The logarithm; ``-inf`` is zero. Inside the vector engine it may be a tensor that is being differentiated.

    Examples
    --------
    >>> tiny = LogNumber(-2000.0)
    >>> round(float((tiny + tiny) / tiny), 6)
    2.0
    """

    __slots__ = ("log",)

    def __init__(self, log: Any) -> None:
        self.log = log

    def __mul__(self, other: Any) -> LogNumber:
        return LogNumber(self.log + log_of(other))

    def __truediv__(self, other: Any) -> LogNumber:
        if log_of(other) == -math.inf:
            raise ZeroDivisionError("a weight was divided by a weight of zero")
        return LogNumber(self.log - log_of(other))

    def __rtruediv__(self, other: Any) -> LogNumber:
        return LogNumber(log_of(other)) / self

    def __add__(self, other: Any) -> LogNumber:
        low, high = sorted((self.log, log_of(other)))
        return LogNumber(high if low == -math.inf else high + math.log1p(math.exp(low - high)))

    __rmul__ = __mul__
    __radd__ = __add__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, float, Fraction, LogNumber)) and bool(self.log == log_of(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.log < log_of(other))

    def __hash__(self) -> int:
        return hash(("LogNumber", self.log))

    def __float__(self) -> float:
        return math.exp(self.log)

    def __repr__(self) -> str:
        return f"exp({self.log:.6g})"


Weight = Fraction | LogNumber


def log_of(number: int | float | Fraction | LogNumber) -> float:
    """Natural logarithm of a non-negative number; ``-inf`` for zero.

    Parameters
    ----------
    number : int, float, Fraction or LogNumber
        Fractions of any size are fine.

    Examples
    --------
    >>> round(log_of(Fraction(1, 10**400)) / math.log(10), 6)
    -400.0
    """
    if isinstance(number, LogNumber):
        return number.log  # type: ignore[no-any-return]
    if number == 0:
        return -math.inf
    if isinstance(number, Fraction):
        return math.log(number.numerator) - math.log(number.denominator)
    return math.log(number)


def as_weight(number: Any) -> Weight:
    """Take a non-negative number as a weight: whole numbers and fractions exactly, all others by their logarithm.

    Parameters
    ----------
    number : int, float, Fraction, LogNumber or Tensor
        A factor, not its logarithm.

    Returns
    -------
    Fraction or LogNumber

    Raises
    ------
    UsageError
        The number is negative, infinite or NaN.

    Examples
    --------
    >>> as_weight(2), as_weight(1.0)
    (Fraction(2, 1), exp(0))
    """
    if isinstance(number, (Fraction, LogNumber)):
        weight: Weight = number
    elif isinstance(number, int):
        weight = Fraction(number)
    else:
        value = float(number)
        if not 0 <= value < math.inf:
            raise UsageError(f"Weight {value} is no finite number >= 0. Give a factor such as a likelihood.")
        weight = LogNumber(log_of(value))
    if isinstance(weight, Fraction) and weight < 0:
        raise UsageError(f"Weight {weight} is negative. Give a factor >= 0.")
    return weight


def as_probability(weight: Weight) -> Fraction | float:
    """Turn a weight into a probability at most 1: a fraction stays exact, a log number becomes a float.

    Parameters
    ----------
    weight : Fraction or LogNumber
        Values above 1 give 1.

    Examples
    --------
    >>> as_probability(Fraction(3, 2)), as_probability(LogNumber(-1000.0))
    (Fraction(1, 1), 0.0)
    """
    if isinstance(weight, Fraction):
        return min(Fraction(1), weight)
    return math.exp(min(0.0, weight.log))
