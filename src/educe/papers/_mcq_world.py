"""Lettered chain sums and an exactly coherent model: answering at once is the mean of answering after reasoning.

A question is a chain of two to five sums with four options, the right one in each place equally often. The model's
reasoning writes each partial sum; a step is right with a probability drawn for the question, and a slip adds 1, 10 or
2. Three of the options are where slips lead. After a reasoning the model names the option that equals its last number,
or guesses by its taste for letters; asked at once, it names each letter with the exact mean over all its reasonings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from educe.core import Seed
from educe.lm import TabularLM
from educe.uncertainty import MultipleChoice

__all__ = ["chain_items", "coherent_model"]

STEM = "The answer is"
SKILL = (4.0, 0.6)  # parameters of the Beta law of a question's skill: most are nearly sure, some are hopeless
SLIPS = {1: 0.6, 10: 0.3, 2: 0.1}  # of one sign, so that no slip takes another back
OBEYS = 0.88  # how often the letter follows the last number of the reasoning
TASTE = (0.28, 0.26, 0.24, 0.22)  # of letters, where nothing else decides


def chain_items(count: int, seed: Seed) -> list[MultipleChoice]:
    """Draw distinct questions.

    Parameters
    ----------
    count : int
        How many.
    seed : Seed
        Source of the draw.
    """
    rng = seed.numpy()
    items: dict[str, MultipleChoice] = {}
    while len(items) < count:
        numbers = [int(value) for value in rng.integers(10, 100, size=int(rng.integers(3, 7)))]
        right = sum(numbers)
        others = [right + slip for slip in rng.permutation([1, 10, 11]).tolist()]
        place = len(items) % 4
        options = [*others[:place], right, *others[place:]]
        text = f"What is {' + '.join(map(str, numbers))}?"
        items.setdefault(text, MultipleChoice(text, tuple(map(str, options)), "ABCD"[place], text))
    return list(items.values())


def coherent_model(seed: Seed) -> TabularLM:
    """Return the model.

    Parameters
    ----------
    seed : Seed
        Source of the skills.
    """

    @cache
    def skill(question: str) -> float:
        return float(seed.child("skill", question).numpy().beta(*SKILL))

    def step(question: str, value: int) -> dict[int, float]:
        known = skill(question)
        return {value: known, **{value + slip: (1 - known) * share for slip, share in SLIPS.items()}}

    def letters(options: list[int], value: int) -> list[float]:
        if value not in options:
            return list(TASTE)
        return [OBEYS * (option == value) + (1 - OBEYS) * taste for option, taste in zip(options, TASTE, strict=True)]

    @cache
    def at_once(question: str, numbers: tuple[int, ...], options: tuple[int, ...]) -> list[float]:
        sums = {numbers[0]: 1.0}
        for number in numbers[1:]:
            after: dict[int, float] = {}
            for value, share in sums.items():
                for reached, given in step(question, value + number).items():
                    after[reached] = after.get(reached, 0.0) + share * given
            sums = after
        each = [(share, letters(list(options), value)) for value, share in sums.items()]
        return [sum(share * law[place] for share, law in each) for place in range(len(options))]

    def law(prompt: str, text: str) -> Mapping[str, float]:
        question, *lines = prompt.removeprefix("user: ").split("\n")
        numbers = [int(number) for number in re.findall(r"\d+", question)]
        options = [int(found.group(1)) for line in lines if (found := re.match(r"[A-D]\. (\d+)$", line))]
        before, answering, letter = text.rpartition(STEM)
        if answering:
            if letter:
                return {"": 1.0}
            said = re.findall(r"\d+", before)
            shares = letters(options, int(said[-1])) if said else at_once(question, tuple(numbers), tuple(options))
            return {f" {name}": share for name, share in zip("ABCD", shares, strict=True)}
        done = text.count("\n")
        if done == len(numbers) - 1:
            return {STEM: 1.0}
        now = int(text.rsplit(maxsplit=1)[-1]) if done else numbers[0]
        right = now + numbers[done + 1]
        return {f"{now} + {numbers[done + 1]} = {value}\n": share for value, share in step(question, right).items()}

    return TabularLM(law, name="an exactly coherent table of lettered chain sums")
