"""Claims about the invented world of `two_hop_facts`, to be checked from memory: half of them are false.

The dial is the number of hops. A false claim names another value of the same kind.
"""

from __future__ import annotations

import numpy as np

from educe.tasks._words import NAMES
from educe.tasks.problem import Family, Problem
from educe.tasks.two_hop_facts import LEAVES, draw_hops, hops_text, recalled
from educe.verify.answers import AnswerKind

__all__ = ["Claims"]


class Claims(Family):
    """True and false claims about an invented world, from memory."""

    name = "claims"
    summary = "Claims about the invented world, true or false, from memory."
    kind = AnswerKind.BOOLEAN
    difficulties = range(1, 5)
    default_difficulty = 2

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        person, path = draw_hops(rng, difficulty)
        truth, steps = recalled(person, path)
        claimed = truth
        if rng.random() < 0.5:
            values = LEAVES.get(path[-1], NAMES)
            while claimed == truth:
                claimed = values[int(rng.integers(len(values)))]
        text = f"Is it true that {hops_text(person, path)} is {claimed}?"
        answer = "yes" if claimed == truth else "no"
        return Problem(self, difficulty, ["facts", person, list(path)], text, self.kind, answer, steps)
