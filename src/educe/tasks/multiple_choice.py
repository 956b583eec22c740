"""Chains of sums with four lettered options, asked in two forms: with steps before the letter, or the letter at once.

The dial is the number of operations; at 0 the result is the start, and only its letter is to be found. The content of
a problem is its chain; the same chain posed openly by `chain_arithmetic` belongs to the same split. The
right option has each letter with probability 1/4, whatever the chain. Wrong options are what slips lead to: one off,
ten off, an operation left out, addition for subtraction.
"""

from __future__ import annotations

import numpy as np

from educe.tasks.chain_arithmetic import chain, chain_steps, chain_text
from educe.tasks.problem import LETTERS, Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["MultipleChoice", "MultipleChoiceAtOnce"]

OPTIONS = 4


class MultipleChoice(Family):
    """Chains of sums with lettered options; steps first, then the letter."""

    name = "multiple_choice"
    summary = "Chains of sums with four lettered options; steps first, then the letter."
    kind = AnswerKind.CHOICE
    difficulties = range(7)
    default_difficulty = 2
    instruction = ""
    is_stepwise = True

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        start, operations = chain(rng, difficulty)
        result, steps = chain_steps(start, operations)
        slips = {result + off for off in (-10, -2, -1, 1, 2, 10)}
        for left_out in range(difficulty):
            slips.add(chain_steps(start, operations[:left_out] + operations[left_out + 1 :])[0])
            sign, operand = operations[left_out]
            other = ("-" if sign == "+" else "+", operand)
            slips.add(chain_steps(start, [*operations[:left_out], other, *operations[left_out + 1 :]])[0])
        wrong = sorted(slip for slip in slips if slip != result and 0 <= slip <= 99)
        options = [wrong[i] for i in rng.permutation(len(wrong))[: OPTIONS - 1]]
        place = int(rng.integers(OPTIONS))
        options.insert(place, result)
        return Problem(
            self,
            difficulty,
            ["chain", start, [list(operation) for operation in operations]],
            chain_text(start, operations),
            self.kind,
            LETTERS[place],
            steps if self.is_stepwise else (),
            tuple(map(str, options)),
            self.instruction,
        )


class MultipleChoiceAtOnce(MultipleChoice):
    """Chains of sums with lettered options; the letter at once."""

    name = "multiple_choice_at_once"
    summary = "Chains of sums with four lettered options; the letter at once."
    instruction = "Answer at once."
    is_stepwise = False
