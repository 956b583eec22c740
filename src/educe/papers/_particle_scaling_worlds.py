"""The two small worlds of the particle-scaling report: 31 answers by letters, and chains of arithmetic with slips."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from statistics import fmean, stdev
from typing import Any

from educe.core import Seed, run_sync
from educe.lm import Session, TabularLM
from educe.reason import FunctionReward, ParticleSearch, Question, StepPolicy, StepTarget

# Regimes of the process reward: signal a_t over the steps, noise, its correlation along a path, share of traps.
EARLY, LATE = 0.2, 2.5
REGIMES: dict[str, dict[str, Any]] = {
    "uninformative early, white noise": {"signal": (EARLY, LATE), "noise": 1.0, "along": 0.0, "traps": 0.0},
    "uninformative early, correlated noise": {"signal": (EARLY, LATE), "noise": 1.5, "along": 0.9, "traps": 0.0},
    "informative throughout": {"signal": (1.5, 1.5), "noise": 1.0, "along": 0.9, "traps": 0.0},
    "traps": {"signal": (1.5, 1.5), "noise": 2.0, "along": 0.0, "traps": 0.2},
}
WHITE, CORRELATED, CONSTANT, TRAPS = REGIMES
STEPS_OF_CHAIN, RIGHT = 8, 0.75
SLIPS = (1, -1, 10, -10, 2)
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
    return [int(line.removeprefix("The answer is ").rstrip(".")) for line in text.split("\n") if line]


def chain_model(operations: list[int], values: list[int]) -> TabularLM:
    def law(prompt: str, text: str) -> dict[str, float]:
        seen = _written(text)
        if len(seen) == STEPS_OF_CHAIN:
            return {"": 1.0}
        right = (seen[-1] if seen else values[0]) + operations[len(seen)]
        last = len(seen) + 1 == STEPS_OF_CHAIN
        said = {right: RIGHT, **{right + slip: (1 - RIGHT) / len(SLIPS) for slip in SLIPS}}
        return {f"The answer is {value}." if last else f"{value}\n": share for value, share in said.items()}

    return TabularLM(law)


def _normal(*labels: object) -> float:
    return math.sqrt(-2 * math.log(number("radius", *labels))) * math.cos(2 * math.pi * number("angle", *labels))


def chain_reward(values: list[int], label: tuple[object, ...], regime: dict[str, Any]) -> FunctionReward:
    """Score = sigmoid(±a_t + noise z_t), + where all steps are right or where the first wrong one is a trap."""
    first, last = regime["signal"]
    noises: dict[tuple[int, ...], float] = {(): 0.0}

    def noise(seen: tuple[int, ...]) -> float:
        if seen not in noises:
            fresh = _normal(*label, seen)
            along = regime["along"] if len(seen) > 1 else 0.0
            noises[seen] = along * noise(seen[:-1]) + math.sqrt(1 - along**2) * fresh
        return noises[seen]

    async def score(question: Question, text: str) -> float:
        seen = tuple(_written(text))
        wrong = next((place for place, value in enumerate(seen) if value != values[place + 1]), None)
        looks_right = wrong is None or number("trap", *label, seen[: wrong + 1]) < regime["traps"]
        signal = first + (last - first) * (len(seen) - 1) / (STEPS_OF_CHAIN - 1)
        log_odds = (signal if looks_right else -signal) + regime["noise"] * noise(seen)
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
