"""Letters of words, put together: the first of one, the last of another.

The dial is the number of words. A word is one piece to a model with whole words as tokens, so how it is spelled must
have been learned; words early in the list are asked about more often. Source of the form: Wei et al. (2022),
arXiv:2201.11903 (last letters of names).
"""

from __future__ import annotations

import numpy as np

from educe.tasks._words import SPELLED
from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["Letters"]

PLACES = {"first": 0, "second": 1, "last": -1}


class Letters(Family):
    """Chosen letters of chosen words, put together."""

    name = "letters"
    summary = "First, second or last letters of words, put together."
    kind = AnswerKind.TEXT
    difficulties = range(3, 9)  # two letters may spell "at", which no reader takes for an answer
    default_difficulty = 4

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        words = [SPELLED[int(len(SPELLED) * rng.random() ** 2)] for _ in range(difficulty)]
        places = [tuple(PLACES)[int(rng.integers(len(PLACES)))] for _ in words]
        letters = [word[PLACES[place]].upper() for word, place in zip(words, places, strict=True)]
        asked = ", ".join(f"{place} of {word}" for word, place in zip(words, places, strict=True))
        steps = tuple(
            f"The {place} letter of {word} is {letter}."
            for word, place, letter in zip(words, places, letters, strict=True)
        )
        text = f"Put these letters together: {asked}."
        return Problem(self, difficulty, ["letters", asked], text, self.kind, "".join(letters), steps)
