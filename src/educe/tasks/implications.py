"""Chained implications about made-up kinds, with a second chain that leads to the opposite.

The dial is the number of rules to apply. The rules of both chains are shuffled; the last rule of each speaks of the
same property, one affirming and one denying it, so that the answer depends on the right chain. A step is right when
the rules entail it and no line before says it. Source of the form: Saparov, He (2023), arXiv:2210.01240.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from educe.tasks._words import KINDS, NAMES, PROPERTIES
from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["Implications"]


class Implications(Family):
    """Chained implications, true or false."""

    name = "implications"
    summary = "Chained implications about made-up kinds; true or false."
    kind = AnswerKind.BOOLEAN
    difficulties = range(1, 7)
    default_difficulty = 3

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        kinds = [KINDS[i] for i in rng.permutation(len(KINDS))[: 2 * difficulty]]
        who = NAMES[int(rng.integers(len(NAMES)))]
        what = PROPERTIES[int(rng.integers(len(PROPERTIES)))]
        holds = bool(rng.random() < 0.5)
        rules: list[str] = []
        for chain, ends_well in ((kinds[:difficulty], holds), (kinds[difficulty:], not holds)):
            rules += [f"Every {a} is a {b}." for a, b in itertools.pairwise(chain)]
            rules.append(f"{'Every' if ends_well else 'No'} {chain[-1]} is {what}.")
        shuffled = " ".join(rules[i] for i in rng.permutation(len(rules)))
        text = f"{shuffled} {who} is a {kinds[0]}. Is it true that {who} is {what}?"
        steps = [f"{who} is a {kind}." for kind in kinds[1:difficulty]]
        steps.append(f"{who} is {what}." if holds else f"{who} is not {what}.")
        return Problem(
            self, difficulty, ["implications", text], text, self.kind, "yes" if holds else "no", tuple(steps)
        )

    def check_step(self, problem: Problem, line: str, before: Sequence[str]) -> bool:
        """Whether the rules entail a line that was not said before."""
        return line in problem.steps and line not in before
