"""Do the equations in a step hold? Sums, differences, products and quotients of plain numbers, exactly.

Not more than that: what touches letters, powers, roots or percentages is passed over, since a text that was half
understood must not be called wrong. One pass over the text, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

_PIECE = re.compile(r"(?P<part>\d[\d,]*(?:\.\d+)?|[-+*/×÷()=]|(?<=[\d\s)])x(?=[\d\s(]))|\s+|.", re.S)
_OPERATORS, _TOUCHING = frozenset("+-*/x×÷"), frozenset("^%!_$")
_LONGEST = 60  # tokens


def equations_hold(text: str) -> bool | None:
    """Whether all equations between numbers in a text are true; None where there is none.

    Examples
    --------
    >>> equations_hold("3 x 8 = 24, so 24 + 1 = 25."), equations_hold("2 + 2 = 5"), equations_hold("It is 4.")
    (True, False, None)
    """
    known = [verdict for tokens in _runs(text) if (verdict := _holds(tokens)) is not None]
    return all(known) if known else None


def _runs(text: str) -> Iterator[list[str]]:
    """Stretches of numbers and signs that touch nothing else."""
    run: list[str] = []
    before = " "
    for found in _PIECE.finditer(text + "\n."):
        piece, start, end = found[0], found.start(), found.end()
        if found["part"]:
            # "2y + 3 = 7": behind a letter a sign joins, unless it is glued to its number as in "is -3".
            unary = piece == "-" and before.isspace() and text[end : end + 1].isdigit()
            if not run and ((piece in _OPERATORS and not unary) or before.isalnum() or before in _TOUCHING):
                run = ["spoilt"]
            run.append(piece)
        elif not piece.isspace():
            glued = piece.isalpha() and text[start - 1 : start].isdigit()
            if run and not glued and piece not in _TOUCHING:
                yield run
            run = []
        before = piece[-1]


def _holds(tokens: Sequence[str]) -> bool | None:
    tokens = list(tokens)
    if tokens[0] == "=":
        tokens = tokens[1:]
    if len(tokens) > _LONGEST or "=" not in tokens or not _OPERATORS & set(tokens):
        return None
    sides: list[list[str]] = [[]]
    for piece in tokens:
        if piece == "=":
            sides.append([])
        else:
            sides[-1].append(piece)
    values = [value for side in sides if (value := _value(side)) is not None]
    if len(values) < len(sides):
        return None
    spread = max(values) - min(values)
    digits = [len(piece.partition(".")[2]) for piece in tokens if "." in piece]
    # A decimal number may stand for one that it is rounded from.
    return None if digits and 0 < spread < Fraction(1, 10 ** min(digits)) else spread == 0


def _value(tokens: Sequence[str]) -> Fraction | None:
    """Compute by recursive descent; None where the tokens are no expression or divide by zero."""
    rest = list(tokens)

    def take(*signs: str) -> str | None:
        return rest.pop(0) if rest and rest[0] in signs else None

    def factor() -> Fraction:
        if take("-"):
            return -factor()
        if take("("):
            inner = total()
            if not take(")"):
                raise ValueError
            return inner
        return Fraction(rest.pop(0).replace(",", ""))

    def product() -> Fraction:
        value = factor()
        while sign := take("*", "/", "x", "×", "÷"):
            right = factor()
            value = value / right if sign in "/÷" else value * right
        return value

    def total() -> Fraction:
        value = product()
        while sign := take("+", "-"):
            right = product()
            value = value + right if sign == "+" else value - right
        return value

    try:
        value = total()
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return None if rest else value
