"""Expressions with brackets, computed from the inside out; every value stays between 0 and 99.

The dial is the number of operators. Each step rewrites the whole expression with one bracket computed. A step is right
when its value is that of the problem and it has fewer operators than the step before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["Brackets", "evaluate"]

MOST = 99
LONGEST = 400
_TOKEN = re.compile(r"\s*(?:(\d{1,9})|([-+*()]))")
OPERATORS = re.compile(r"[-+*]")


@dataclass(frozen=True)
class _Node:
    sign: str
    left: _Node | int
    right: _Node | int


def _value(node: _Node | int) -> int:
    if isinstance(node, int):
        return node
    left, right = _value(node.left), _value(node.right)
    return left + right if node.sign == "+" else left - right if node.sign == "-" else left * right


def _written(node: _Node | int, inside: bool = False) -> str:
    if isinstance(node, int):
        return str(node)
    text = f"{_written(node.left, True)} {node.sign} {_written(node.right, True)}"
    return f"({text})" if inside else text


def _reduced(node: _Node) -> _Node | int:
    """Compute the leftmost innermost operator."""
    if isinstance(node.left, _Node):
        return _Node(node.sign, _reduced(node.left), node.right)
    if isinstance(node.right, _Node):
        return _Node(node.sign, node.left, _reduced(node.right))
    return _value(node)


def _drawn(rng: np.random.Generator, operators: int) -> _Node | int:
    if operators == 0:
        return int(rng.integers(1, 21)) if rng.random() < 0.5 else int(rng.integers(1, 10))
    on_left = int(rng.integers(operators))
    return _Node("+-*"[int(rng.integers(3))], _drawn(rng, on_left), _drawn(rng, operators - 1 - on_left))


def _in_range(node: _Node | int) -> bool:
    if isinstance(node, int):
        return True
    return _in_range(node.left) and _in_range(node.right) and 0 <= _value(node) <= MOST


def evaluate(text: str) -> int | None:
    """Return the value of an expression of whole numbers, ``+ - *`` and brackets; None when it is none.

    Products bind before sums, and operators of one rank from left to right.

    Parameters
    ----------
    text : str
        The expression, at most 400 characters.

    Returns
    -------
    int or None

    Examples
    --------
    >>> evaluate("(3 + 4) * 2 - 5"), evaluate("3 +"), evaluate("(3")
    (9, None, None)
    """
    pieces: list[str] = []
    place = 0
    text = text.rstrip()
    if len(text) > LONGEST:
        return None
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            return None
        pieces.append(found[1] or found[2])
        place = found.end()
    # Shunting-yard: no recursion, so that no text can exhaust the stack.
    values: list[int] = []
    signs: list[str] = []
    rank = {"+": 1, "-": 1, "*": 2, "(": 0}

    def apply() -> None:
        right, left = values.pop(), values.pop()
        sign = signs.pop()
        values.append(left + right if sign == "+" else left - right if sign == "-" else left * right)

    wants_number = True
    for piece in pieces:
        if piece.isdigit() != wants_number and piece not in "()":
            return None
        if piece.isdigit():
            values.append(int(piece))
            wants_number = False
        elif piece == "(":
            if not wants_number:
                return None
            signs.append(piece)
        elif piece == ")":
            if wants_number or "(" not in signs:
                return None
            while signs[-1] != "(":
                apply()
            signs.pop()
        else:
            while signs and rank[signs[-1]] >= rank[piece]:
                apply()
            signs.append(piece)
            wants_number = True
    if wants_number or "(" in signs:
        return None
    while signs:
        apply()
    return values[0]


class Brackets(Family):
    """Expressions with brackets and small whole numbers."""

    name = "brackets"
    summary = "Expressions with brackets, computed from the inside out; all values from 0 to 99."
    kind = AnswerKind.NUMBER
    difficulties = range(1, 9)
    default_difficulty = 3

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        while True:
            drawn = _drawn(rng, difficulty)
            if isinstance(drawn, _Node) and _in_range(drawn):
                break
        expression, lines = _written(drawn), list[str]()
        node: _Node | int = drawn
        while isinstance(node, _Node):
            node = _reduced(node)
            lines.append(f"= {_written(node)}")
        return Problem(
            self, difficulty, ["brackets", expression], f"What is {expression}?", self.kind, str(node), tuple(lines)
        )

    def check_step(self, problem: Problem, line: str, before: Sequence[str]) -> bool:
        """Whether a rewriting keeps the value and has fewer operators than the line before it."""
        earlier = before[-1] if before else problem.key[1]
        fewer = len(OPERATORS.findall(line)) < len(OPERATORS.findall(earlier))
        return line.startswith("=") and fewer and evaluate(line[1:]) == int(problem.answer)
