"""Facts given in the question, several hops apart, among as many that do not matter.

The dial is the number of hops. People and values are drawn afresh for each problem, so nothing can be known by heart.
The facts that do not matter have the same relations and other people.
"""

from __future__ import annotations

import numpy as np

from educe.tasks._words import NAMES
from educe.tasks.problem import Family, Problem
from educe.tasks.two_hop_facts import LEAVES, LINKS, hops_text
from educe.verify.answers import AnswerKind

__all__ = ["ThreeHopFacts"]


class ThreeHopFacts(Family):
    """Facts given in the question among distractors."""

    name = "three_hop_facts"
    summary = "Facts given in the question, several hops apart, among distractors."
    kind = AnswerKind.TEXT
    difficulties = range(1, 6)
    default_difficulty = 3

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        people = [NAMES[i] for i in rng.permutation(len(NAMES))[: 2 * difficulty]]
        path = [LINKS[int(rng.integers(len(LINKS)))] for _ in range(difficulty - 1)]
        leaf = tuple(LEAVES)[int(rng.integers(len(LEAVES)))]
        path.append(leaf)
        chains = (people[:difficulty], people[difficulty:])
        ends = [LEAVES[leaf][i] for i in rng.permutation(len(LEAVES[leaf]))[:2]]
        given = [
            [f"The {relation} of {a} is {b}." for relation, a, b in zip(path, chain, [*chain[1:], end], strict=True)]
            for chain, end in zip(chains, ends, strict=True)
        ]
        lines = [*given[0], *given[1]]
        context = " ".join(lines[i] for i in rng.permutation(len(lines)))
        text = f"{context} What is {hops_text(people[0], path)}?"
        return Problem(self, difficulty, ["given facts", text], text, self.kind, ends[0], tuple(given[0]))
