"""The two small worlds of the particle-scaling report: 31 answers by letters, and chains of arithmetic with slips."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from functools import cache
from statistics import fmean, stdev
from typing import Any

from educe.core import Seed, run_sync
from educe.lm import Session, TabularLM
from educe.reason import FunctionReward, ParticleSearch, Question, StepPolicy, StepTarget

# Regimes of the process reward: signal a_t over the steps, noise, its correlation along a path, share of traps, and how
# many wordings a value has. Noise belongs to the text, so paths of one wording share it.
EARLY, LATE, WORDINGS = 0.2, 2.5, 16
RISING = {"signal": (EARLY, LATE), "traps": 0.0, "wordings": WORDINGS}
REGIMES: dict[str, dict[str, Any]] = {
    "uninformative early, white noise": {**RISING, "noise": 1.0, "along": 0.0},
    "uninformative early, correlated noise": {**RISING, "noise": 1.5, "along": 0.9},
    "informative throughout": {**RISING, "signal": (1.5, 1.5), "noise": 1.0, "along": 0.9},
    "traps": {**RISING, "signal": (1.5, 1.5), "noise": 2.0, "along": 0.0, "traps": 0.2},
    "correlated noise, one wording": {**RISING, "noise": 1.5, "along": 0.9, "wordings": 1},
}
STEPS_OF_CHAIN, RIGHT = 8, 0.75
SLIPS = (1, 2, 3, 10, 20)  # of one sign, so that no slip takes another back: a wrong path stays wrong
CHAIN = StepPolicy(max_steps=STEPS_OF_CHAIN, temperature=1.0)
SHORT = StepPolicy(max_steps=4, temperature=1.0)
LETTERS = Question("Which letters?", kind="text", examples=(), instruction="")


def number(*labels: object) -> float:
    """A number in (0, 1) that depends on the labels alone."""
    digest = hashlib.blake2b(repr(labels).encode(), digest_size=6).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**48


LETTERS_END = "The answer is none."


def letters_law(prompt: str, text: str) -> dict[str, float]:
    """Up to four letters and the end, which is a step of its own after fewer than four."""
    ends = LETTERS_END if text.count("\n") == 3 else "\n"
    return {"": 1.0} if text.endswith(LETTERS_END) else dict.fromkeys((f"a{ends}", f"b{ends}", LETTERS_END), 1 / 3)


def letters_score(root: Seed, text: str) -> float:
    return 0.1 + 0.8 * number("reward", root.root, text)


def letters_exact(root: Seed, target: StepTarget) -> tuple[float, dict[str, float]]:
    """Normaliser and law over the 31 texts, by enumeration."""
    weights = {}
    for length in range(5):
        for letters in itertools.product("ab", repeat=length):
            parts = [letter + (LETTERS_END if place == 3 else "\n") for place, letter in enumerate(letters)]
            parts += [LETTERS_END] if length < 4 else []
            texts = ["".join(parts[: count + 1]) for count in range(len(parts))]
            scores = [letters_score(root, text) for text in texts]
            weights[texts[-1]] = math.exp(target.log_total(scores) - len(parts) * math.log(3))
    total = math.fsum(weights.values())
    return total, {text: weight / total for text, weight in weights.items()}


def chain(root: Seed, number: int) -> tuple[Question, list[int], list[int]]:
    """A question, its operations, and the right values after each."""
    rng = root.child("chain", number).numpy()
    value = int(rng.integers(10, 100))
    operations = [int(rng.integers(1, 50)) * (1 if rng.random() < 0.5 else -1) for _ in range(STEPS_OF_CHAIN)]
    values = list(itertools.accumulate(operations, initial=value))
    words = "".join(f" {'+' if change > 0 else '-'} {abs(change)}" for change in operations)
    question = Question(f"What is {value}{words}?", kind="number", examples=(), instruction="")
    return question, operations, values


def _written(text: str) -> list[int]:
    """Values of the lines that stand there."""
    return [int(line.split()[-1].rstrip(".")) for line in text.split("\n") if line]


def chain_model(operations: list[int], values: list[int], wordings: int) -> TabularLM:
    """The model for one question: a step is a value in one of several wordings, all equally probable."""

    @cache
    def after(place: int, value: int) -> dict[str, float]:
        right = value + operations[place]
        said = {right: RIGHT, **{right + slip: (1 - RIGHT) / len(SLIPS) for slip in SLIPS}}
        form = "({}) The answer is {}." if place + 1 == STEPS_OF_CHAIN else "({}) {}\n"
        return {form.format(w, value): share / wordings for value, share in said.items() for w in range(wordings)}

    def law(prompt: str, text: str) -> dict[str, float]:
        seen = _written(text)
        return {"": 1.0} if len(seen) == STEPS_OF_CHAIN else after(len(seen), seen[-1] if seen else values[0])

    return TabularLM(law)


def _normal(*labels: object) -> float:
    return math.sqrt(-2 * math.log(number("radius", *labels))) * math.cos(2 * math.pi * number("angle", *labels))


def chain_reward(values: list[int], label: tuple[object, ...], regime: dict[str, Any]) -> FunctionReward:
    """Score = sigmoid(±a_t + noise z_t), + where all steps are right or where the first wrong one is a trap."""
    first, last = regime["signal"]
    noises: dict[tuple[str, ...], float] = {(): 0.0}

    def noise(lines: tuple[str, ...]) -> float:
        if lines not in noises:
            along = regime["along"] if len(lines) > 1 else 0.0
            noises[lines] = along * noise(lines[:-1]) + math.sqrt(1 - along**2) * _normal(*label, lines)
        return noises[lines]

    async def score(question: Question, text: str) -> float:
        seen = tuple(_written(text))
        wrong = next((place for place, value in enumerate(seen) if value != values[place + 1]), None)
        looks_right = wrong is None or number("trap", *label, seen[: wrong + 1]) < regime["traps"]
        signal = first + (last - first) * (len(seen) - 1) / (STEPS_OF_CHAIN - 1)
        log_odds = (signal if looks_right else -signal) + regime["noise"] * noise(tuple(text.split("\n")[: len(seen)]))
        return 1 / (1 + math.exp(-log_odds))

    return FunctionReward(score, "synthetic")


def exactness_of(root: Seed, target: str, finished: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """Ratios of the filter's evidence to the exact one, and the distance of pooled particles to the posterior."""

    async def reward(question: Question, text: str) -> float:
        return letters_score(root, text)

    total, law = letters_exact(root, StepTarget("odds", target))  # type: ignore[arg-type]
    model = TabularLM(letters_law)
    options: dict[str, Any] = {"target": target, "finished": finished, "select": "vote", "steps": SHORT}
    few = ParticleSearch(n=8, reward=FunctionReward(reward, "letters"), **options)
    many = ParticleSearch(n=sizes["pool"], reward=FunctionReward(reward, "letters"), **options)
    ratios, found = [], Counter[str]()
    for number in range(sizes["runs"]):
        posterior = run_sync(few(LETTERS, Session(model, seed=root.child("letters", target, number))))
        if posterior.log_evidence is not None:
            ratios.append(math.exp(posterior.log_evidence) / total)
    for number in range(sizes["pools"]):
        posterior = run_sync(many(LETTERS, Session(model, seed=root.child("pool", target, number))))
        logs = posterior.details["log_weights"]
        most = max(logs)
        mass = math.fsum(math.exp(log - most) for log in logs)
        for text, log in zip(posterior.details["texts"], logs, strict=True):
            found[text] += math.exp(log - most) / mass / sizes["pools"]
    gap = 0.5 * math.fsum(abs(found[text] - share) for text, share in law.items())
    mean = fmean(ratios) if ratios else math.nan
    return {
        "mean ratio": mean if ratios else None,
        "error": stdev(ratios) / math.sqrt(len(ratios)) if ratios else None,
        "total variation": gap,
        "ratios": ratios,
    }
