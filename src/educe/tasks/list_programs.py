"""Small programs on lists of digits, to be found from examples and judged by running them on further tests.

A program is a sequence of words, applied from left to right: ``sort``, ``reverse``, ``rotate`` (the first digit goes to
the end), ``swap`` (the first two digits change places), ``next`` (each digit plus one, 9 becomes 0) and ``double`` (the
last digit of twice each). The dial is the number of words. Any program that passes all tests is right, so a problem
may have several right answers. The step checker runs each word of a trace on the first example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["ListPrograms", "run_program"]

Digits = tuple[int, ...]
WORDS: dict[str, Callable[[Digits], Digits]] = {
    "sort": lambda digits: tuple(sorted(digits)),
    "reverse": lambda digits: digits[::-1],
    "rotate": lambda digits: digits[1:] + digits[:1],
    "swap": lambda digits: digits[1::-1] + digits[2:],
    "next": lambda digits: tuple((digit + 1) % 10 for digit in digits),
    "double": lambda digits: tuple(2 * digit % 10 for digit in digits),
}
SIZE, SHOWN, HIDDEN, MOST_WORDS = 4, 2, 6, 12
_STEP = re.compile(r"([a-z]+): ([0-9](?: [0-9])*)")


def run_program(program: str, digits: Sequence[int]) -> tuple[int, ...] | None:
    """Run a program on a list of digits; None when it is no program.

    Parameters
    ----------
    program : str
        Its words with blanks or commas between them, at most 12.
    digits : sequence of int
        Digits 0 to 9.

    Returns
    -------
    tuple of int or None

    Examples
    --------
    >>> run_program("sort reverse", [3, 1, 4, 1]), run_program("sort it", [1])
    ((4, 3, 1, 1), None)
    """
    words = program.replace(",", " ").split()
    if not 0 < len(words) <= MOST_WORDS or any(word not in WORDS for word in words):
        return None
    state = tuple(digits)
    for word in words:
        state = WORDS[word](state)
    return state


def _shown(digits: Sequence[int]) -> str:
    return " ".join(map(str, digits))


class ListPrograms(Family):
    """Small programs on lists of digits, found from examples."""

    name = "list_programs"
    summary = "A short program on lists of digits, found from two examples and judged on further tests."
    kind = AnswerKind.TEXT
    difficulties = range(1, 5)
    default_difficulty = 2

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        names = tuple(WORDS)
        while True:
            words = [names[int(rng.integers(len(names)))] for _ in range(difficulty)]
            lists = [tuple(map(int, row)) for row in rng.integers(0, 10, (SHOWN + HIDDEN, SIZE))]
            program = " ".join(words)
            results = [run_program(program, row) for row in lists]
            # An example that a program leaves as it is would say little.
            if all(row != result for row, result in zip(lists[:SHOWN], results, strict=False)):
                break
        text = " ".join(
            f"{_shown(row)} becomes {_shown(result or ())}."
            for row, result in zip(lists[:SHOWN], results, strict=False)
        )
        steps, state = [], lists[0]
        for word in words:
            state = WORDS[word](state)
            steps.append(f"{word}: {_shown(state)}")
        return Problem(
            self,
            difficulty,
            ["list program", program, text],
            f"{text} Which program?",
            self.kind,
            program,
            tuple(steps),
            data={"tests": tuple(zip(lists, results, strict=True))},
        )

    def check_answer(self, problem: Problem, answer: str) -> bool:
        """Whether a program passes all tests, those shown and those not."""
        tests: Sequence[tuple[Digits, Digits]] = problem.data["tests"]
        return all(run_program(answer.lower(), given) == wanted for given, wanted in tests)

    def check_step(self, problem: Problem, line: str, before: Sequence[str]) -> bool:
        """Whether a line of the trace states what its word makes of the list before it.

        A trace that was right so far is judged by the list it has reached, whichever program it follows.
        """
        found = _STEP.fullmatch(line)
        previous = _STEP.fullmatch(before[-1]) if before else None
        if found is None or found[1] not in WORDS or (before and previous is None):
            return False
        state = problem.data["tests"][0][0] if previous is None else tuple(map(int, previous[2].split()))
        return WORDS[found[1]](state) == tuple(map(int, found[2].split()))
