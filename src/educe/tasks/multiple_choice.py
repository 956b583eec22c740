"""Questions with four lettered options, in two forms: with steps before the letter, or the letter at once.

Two contents: chains of sums, as `chain_arithmetic` poses them, and facts from memory, as `two_hop_facts` does; what is
held out there is held out here. The right option has each letter with probability 1/4, whatever the content. The dial
is the number of operations (at 0 the result is the start, and only its letter is to be found) or of hops. Wrong results
are near the right one and end in other digits; wrong values of facts are of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from educe.tasks._words import NAMES
from educe.tasks.chain_arithmetic import chain, chain_steps, chain_text
from educe.tasks.problem import LETTERS, Family, Problem
from educe.tasks.two_hop_facts import LEAVES, draw_hops, hops_text, recalled
from educe.verify.answers import AnswerKind

__all__ = ["FactChoice", "FactChoiceAtOnce", "MultipleChoice", "MultipleChoiceAtOnce"]

OPTIONS = 4
AT_ONCE = "Answer at once."
MOST = 99


class _Choice(Family):
    """What all four families have in common."""

    kind = AnswerKind.CHOICE
    default_difficulty = 2
    instruction = ""

    def _posed(
        self,
        rng: np.random.Generator,
        difficulty: int,
        *,
        key: Any,
        text: str,
        right: str,
        wrong: Sequence[str],
        steps: tuple[str, ...],
    ) -> Problem:
        """Put the right option at a random place among wrong ones."""
        options = list(wrong)
        place = int(rng.integers(OPTIONS))
        options.insert(place, right)
        letter = LETTERS[place]
        steps = () if self.instruction else (*steps, f"So {right} is {letter}.")
        return Problem(self, difficulty, key, text, self.kind, letter, steps, tuple(options), self.instruction)


class MultipleChoice(_Choice):
    """Chains of sums with lettered options; steps first, then the letter."""

    name = "multiple_choice"
    summary = "Chains of sums with four lettered options; steps first, then the letter."
    difficulties = range(7)

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        start, operations = chain(rng, difficulty, MOST)
        result, steps = chain_steps(start, operations)
        near = [off for off in range(-9, 10) if off and 0 <= result + off <= MOST]
        wrong: list[int] = []
        for i in rng.permutation(len(near)):
            value = result + near[i]
            if all((value - other) % 10 for other in (result, *wrong)):
                wrong.append(value)
        return self._posed(
            rng,
            difficulty,
            key=["chain", start, [list(operation) for operation in operations]],
            text=chain_text(start, operations),
            right=str(result),
            wrong=[str(value) for value in wrong[: OPTIONS - 1]],
            steps=steps,
        )


class MultipleChoiceAtOnce(MultipleChoice):
    """Chains of sums with lettered options; the letter at once."""

    name = "multiple_choice_at_once"
    summary = "Chains of sums with four lettered options; the letter at once."
    instruction = AT_ONCE


class FactChoice(_Choice):
    """Facts from memory with lettered options; steps first, then the letter."""

    name = "fact_choice"
    summary = "Facts about the invented world with four lettered options; steps first, then the letter."
    difficulties = range(1, 5)

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        person, path = draw_hops(rng, difficulty)
        truth, steps = recalled(person, path)
        others = [value for value in LEAVES.get(path[-1], NAMES) if value != truth]
        return self._posed(
            rng,
            difficulty,
            key=["facts", person, list(path)],
            text=f"What is {hops_text(person, path)}?",
            right=truth,
            wrong=[others[i] for i in rng.permutation(len(others))[: OPTIONS - 1]],
            steps=steps,
        )


class FactChoiceAtOnce(FactChoice):
    """Facts from memory with lettered options; the letter at once."""

    name = "fact_choice_at_once"
    summary = "Facts about the invented world with four lettered options; the letter at once."
    instruction = AT_ONCE
