"""Linear equations in one unknown with a whole solution from 0 to 20.

The dial: 1 is ``a x = b``; 2 is ``a x + b = c``; 3 has the unknown on both sides; 4 has a bracket besides. A step is
right when it is an equation that has the problem's solution and is simpler than the step before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["LinearEquations", "solve"]

Line = tuple[int, int]  # slope and constant
_TERM = re.compile(r"([+-]?)(\d{0,6})(x?)")
_BRACKET = re.compile(r"(\d{1,4})\(([^()]*)\)")


def _side(slope: int, constant: int) -> str:
    terms = [] if not slope else ["x" if slope == 1 else f"{slope} x"]
    if constant or not slope:
        terms.append(f"{constant}" if not terms else f"{'+' if constant > 0 else '-'} {abs(constant)}")
    return " ".join(terms)


def _read_side(text: str) -> Line | None:
    bracket = _BRACKET.search(text)
    if bracket:
        inner = _read_side(bracket[2])
        outer = _read_side(text[: bracket.start()] + text[bracket.end() :]) if len(text) > len(bracket[0]) else (0, 0)
        if inner is None or outer is None:
            return None
        return int(bracket[1]) * inner[0] + outer[0], int(bracket[1]) * inner[1] + outer[1]
    slope = constant = place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None or not (found[2] or found[3]) or (place and not found[1]):
            return None
        number = int(found[2] or 1) * (-1 if found[1] == "-" else 1)
        slope, constant = (slope + number, constant) if found[3] else (slope, constant + number)
        place = found.end()
    return (slope, constant) if text else None


def solve(equation: str) -> Fraction | None:
    """Return the solution of a linear equation in ``x``; None where there is not exactly one, or it is no equation.

    Parameters
    ----------
    equation : str
        Such as ``3 (x + 2) = x + 10``.

    Returns
    -------
    fractions.Fraction or None

    Examples
    --------
    >>> solve("3 (x + 2) = x + 10"), solve("x = x"), solve("3 x +")
    (Fraction(2, 1), None, None)
    """
    parts = equation.replace(" ", "").split("=")
    sides = [_read_side(part) for part in parts]
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    slope, constant = sides[0][0] - sides[1][0], sides[1][1] - sides[0][1]
    return Fraction(constant, slope) if slope else None


class LinearEquations(Family):
    """Linear equations in one unknown."""

    name = "linear_equations"
    summary = "Linear equations in x with a whole solution from 0 to 20."
    kind = AnswerKind.NUMBER
    difficulties = range(1, 5)
    default_difficulty = 3

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        x, a = int(rng.integers(0, 21)), int(rng.integers(2, 10))
        b, c = int(rng.integers(1, 40)), int(rng.integers(1, 10))
        lines: list[str] = []
        if difficulty == 4:
            k = int(rng.integers(2, 6))
            c = int(rng.integers(1, k))
            shift = int(rng.integers(1, 10))
            right = k * (x + shift) - c * x
            text = f"{k} (x + {shift}) = {_side(c, right)}"
            lines += [f"{_side(k, k * shift)} = {_side(c, right)}"]
            a, b = k - c, k * shift
            lines += [f"{_side(a, b)} = {right}"]
        elif difficulty == 3:
            text = f"{_side(a + c, b)} = {_side(c, a * x + b)}"
            right = a * x + b
            lines += [f"{_side(a, b)} = {right}"]
        elif difficulty == 2:
            sign = 1 if rng.random() < 0.5 or a * x < b else -1
            b, right = sign * b, a * x + sign * b
            text = f"{_side(a, b)} = {right}"
        else:
            b, right = 0, a * x
            text = f"{_side(a, 0)} = {right}"
        if b:
            lines += [f"{_side(a, 0)} = {right - b}"]
        if a != 1:
            lines += [f"x = {x}"]
        return Problem(
            self, difficulty, ["equation", text], f"Solve {text}. What is x?", self.kind, str(x), tuple(lines)
        )

    def check_step(self, problem: Problem, line: str, before: Sequence[str]) -> bool:
        """Whether an equation has the problem's solution and is shorter than the line before it, or drops a bracket."""
        earlier = before[-1] if before else problem.key[1]
        simpler = len(line.split()) < len(earlier.split()) or ("(" in earlier and "(" not in line)
        return simpler and solve(line) == int(problem.answer)
