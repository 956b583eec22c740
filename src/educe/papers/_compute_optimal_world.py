"""The simulated task of the compute-optimal report: chains of six sums, five levels of difficulty, a reward that errs.

Each step is right with a probability that is the question's own. The process reward's log-odds are +1.5 where all
steps are right and -1.5 where one is wrong, plus normal noise; a wrong branch becomes attractive with a small
probability and is then scored as if it were right, which is what a long search finds.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from functools import cache
from typing import Any

from educe.core import Seed
from educe.lm import TabularLM
from educe.reason import FunctionReward, Question, StepPolicy

STEPS = 6
SKILLS = (0.97, 0.90, 0.80, 0.65, 0.45)
SIGNAL, NOISE, ATTRACTIVE = 1.5, 1.5, 0.08
SLIPS = (1, 2, 3, 10, 20)  # of one sign, so that no slip takes another back: a wrong path stays wrong
WORDINGS = 16  # a value is written in one of so many ways, so that right paths are not all one text
POLICY = StepPolicy(max_steps=STEPS, temperature=1.0)


def number(*labels: object) -> float:
    """A number in (0, 1) that depends on the labels alone."""
    digest = hashlib.blake2b(repr(labels).encode(), digest_size=6).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**48


def normal(*labels: object) -> float:
    """A standard normal number that depends on the labels alone."""
    return math.sqrt(-2 * math.log(number("radius", *labels))) * math.cos(2 * math.pi * number("angle", *labels))


def written(text: str) -> list[int]:
    """Values of the lines that stand there."""
    return [int(line.split()[-1].rstrip(".")) for line in text.split("\n") if line]


def task(root: Seed, place: int) -> tuple[Question, TabularLM, FunctionReward, int]:
    """A question, the model and the reward as they are for it, and its answer; difficulty goes round by place."""
    rng = root.child("task", place).numpy()
    start = int(rng.integers(10, 100))
    changes = [int(rng.integers(1, 50)) * (1 if rng.random() < 0.5 else -1) for _ in range(STEPS)]
    values = list(itertools.accumulate(changes, initial=start))
    words = "".join(f" {'+' if change > 0 else '-'} {abs(change)}" for change in changes)
    question = Question(f"What is {start}{words}?", kind="number", examples=(), instruction="")
    skill = SKILLS[place % len(SKILLS)]
    label = (root.root, *root.path, place)

    @cache
    def after(place: int, value: int) -> dict[str, float]:
        right = value + changes[place]
        said = {right: skill, **{right + slip: (1 - skill) / len(SLIPS) for slip in SLIPS}}
        form = "({}) The answer is {}." if place + 1 == STEPS else "({}) {}\n"
        return {form.format(w, value): share / WORDINGS for value, share in said.items() for w in range(WORDINGS)}

    def law(prompt: str, text: str) -> dict[str, float]:
        seen = written(text)
        return {"": 1.0} if len(seen) == STEPS else after(len(seen), seen[-1] if seen else start)

    async def score(asked: Question, text: str) -> float:
        return _score(written(text), values, (*label, text.strip()), label)

    return question, TabularLM(law), FunctionReward(score, "simulated"), values[-1]


def _score(seen: list[int], values: list[int], path: tuple[Any, ...], label: tuple[Any, ...]) -> float:
    """Noise belongs to the text, attraction to the values."""
    right = True
    for place, value in enumerate(seen):
        if right:
            right = value == values[place + 1]
        if not right and number("attractive", *label, seen[: place + 1]) < ATTRACTIVE:
            right = True
            break
    log_odds = (SIGNAL if right else -SIGNAL) + NOISE * normal(*path)
    return 1 / (1 + math.exp(-log_odds))
