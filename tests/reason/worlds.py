"""A language model of at most 31 answers with rewards on every prefix, and the exact laws over them by enumeration."""

import hashlib
import itertools
import math

from educe.lm import TabularLM
from educe.reason import FunctionReward, Question, StepPolicy

QUESTION = Question("Which letters?", kind="text", examples=())
STEPS = StepPolicy(max_steps=4, temperature=1.0)


def number(*labels):
    """A number in (0, 1) that depends on the labels alone."""
    return (int.from_bytes(hashlib.blake2b(repr(labels).encode(), digest_size=6).digest(), "big") + 0.5) / 2**48


def table(prompt, text):
    """After each letter another one or the end, with probabilities of its own."""
    weights = {token: 0.2 + number("law", text, token) for token in ("a\n", "b\n", "")}
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def score(text):
    return 0.1 + 0.8 * number("reward", text)


async def _reward(question, text):
    return score(text)


REWARD = FunctionReward(_reward, "letters")


def model():
    return TabularLM(table)


def paths():
    """Every finished answer with its probability and the scores of its steps."""
    found = []
    for length in range(5):
        for letters in itertools.product("ab", repeat=length):
            text, probability, scores = "", 1.0, []
            for letter in letters:
                probability *= table("", text)[letter + "\n"]
                text += letter + "\n"
                scores.append(score(text))
            if length < 4:
                probability *= table("", text)[""]
                scores.append(score(text))
            found.append((text, probability, scores))
    return found


def exact(log_weight):
    """Normaliser and law over texts of the target p(x) exp(log_weight(scores))."""
    weights = {text: probability * math.exp(log_weight(scores)) for text, probability, scores in paths()}
    total = math.fsum(weights.values())
    return total, {text: weight / total for text, weight in weights.items()}


def distance(first, second):
    """Total variation between two laws over texts."""
    return 0.5 * math.fsum(abs(first.get(text, 0.0) - second.get(text, 0.0)) for text in {*first, *second})
