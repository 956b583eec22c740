"""Chains of sums, differences and products of small whole numbers: every value stays between 0 and 99.

The dial is the number of operations. Small operands are drawn more often than large ones, as in everyday sums, so that
a model knows some sums better than others. `chain` and `chain_steps` also serve the families built on such chains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["ChainArithmetic", "chain", "chain_steps", "chain_text"]

WORDS = {"+": "Add", "-": "Subtract", "*": "Multiply by"}
Operation = tuple[str, int]


def _skewed(rng: np.random.Generator, most: int) -> int:
    """A whole number from 1 to most, about uniform in its logarithm."""
    return min(most, int((most + 1) ** rng.random()))


def chain(rng: np.random.Generator, length: int, most: int = 99) -> tuple[int, list[Operation]]:
    """Draw a start and operations that keep all values between 0 and ``most``.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    length : int
        Number of operations, >= 1.
    most : int
        Largest value.

    Returns
    -------
    tuple of int and list of (str, int)
    """
    start = int(rng.integers(most // 50, most // 2 + 1))
    value, operations = start, list[Operation]()
    while len(operations) < length:
        sign = "+-+-*"[int(rng.integers(5))]
        if sign == "*":
            if not 2 <= value <= most // 2:
                continue
            operand = int(rng.integers(2, min(9, most // value) + 1))
            value *= operand
        elif sign == "+":
            if value == most:
                continue
            operand = _skewed(rng, min(most // 2, most - value))
            value += operand
        else:
            if value == 0:
                continue
            operand = _skewed(rng, min(most // 2, value))
            value -= operand
        operations.append((sign, operand))
    return start, operations


def chain_text(start: int, operations: Sequence[Operation]) -> str:
    """Put a chain in words.

    Parameters
    ----------
    start : int
        First value.
    operations : sequence of (str, int)
        Sign and operand of each.

    Examples
    --------
    >>> chain_text(17, [("+", 25), ("*", 2)])
    'Start with 17. Add 25. Multiply by 2. What is the result?'
    """
    return " ".join(
        [f"Start with {start}.", *(f"{WORDS[sign]} {operand}." for sign, operand in operations), "What is the result?"]
    )


def chain_steps(start: int, operations: Sequence[Operation]) -> tuple[int, tuple[str, ...]]:
    """Compute a chain.

    Parameters
    ----------
    start : int
        First value.
    operations : sequence of (str, int)
        Sign and operand of each.

    Returns
    -------
    tuple of int and tuple of str
        The result, and one line per operation.

    Examples
    --------
    >>> chain_steps(17, [("+", 25), ("*", 2)])
    (84, ('17 + 25 = 42', '42 * 2 = 84'))
    """
    lines, value = [], start
    for sign, operand in operations:
        result = value + operand if sign == "+" else value - operand if sign == "-" else value * operand
        lines.append(f"{value} {sign} {operand} = {result}")
        value = result
    return value, tuple(lines)


class ChainArithmetic(Family):
    """Chains of sums, differences and products of whole numbers up to 99."""

    name = "chain_arithmetic"
    summary = "Sums, differences and products in a chain; all values from 0 to 99."
    kind = AnswerKind.NUMBER
    difficulties = range(1, 11)
    default_difficulty = 5
    most = 99

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        start, operations = chain(rng, difficulty, self.most)
        result, steps = chain_steps(start, operations)
        key = ["chain", start, [list(operation) for operation in operations]]
        return Problem(self, difficulty, key, chain_text(start, operations), self.kind, str(result), steps)
