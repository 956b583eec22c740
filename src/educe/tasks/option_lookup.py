"""Lettered options and the letters of all of them, asked for in another order.

What a question with options needs besides its content, on its own: finding an option and naming its letter. The dial is
the number of options. Options are words of one sort, or numbers up to 99 of which no two end in the same digit.
"""

from __future__ import annotations

import numpy as np

from educe.tasks._words import CITIES, FOODS, JOBS, NAMES, PETS
from educe.tasks.problem import LETTERS, Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["OptionLookup"]

SORTS = (NAMES, CITIES, JOBS, PETS, FOODS)


class OptionLookup(Family):
    """Letters of options."""

    name = "option_lookup"
    summary = "The letters of options, asked for in another order."
    kind = AnswerKind.TEXT
    difficulties = range(3, 9)
    default_difficulty = 4

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        if rng.random() < 0.5:
            units = rng.permutation(10)[:difficulty]
            options = [str(10 * int(rng.integers(10)) + int(unit)) for unit in units]
        else:
            sort = SORTS[int(rng.integers(len(SORTS)))]
            options = [sort[i] for i in rng.permutation(len(sort))[:difficulty]]
        order = [int(i) for i in rng.permutation(difficulty)]
        asked = ", ".join(options[i] for i in order)
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
        text = "\n".join([f"Name the letters of {asked}.", *lines])
        steps = tuple(f"So {options[i]} is {LETTERS[i]}." for i in order)
        answer = "".join(LETTERS[i] for i in order)
        return Problem(self, difficulty, ["options", options, order], text, self.kind, answer, steps)
