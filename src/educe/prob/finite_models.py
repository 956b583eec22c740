"""Five small models with rational probabilities, chosen to show the usual mistakes of samplers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from educe.prob.algorithm import collapse
from educe.prob.discrete import Bernoulli, Finite, Uniform
from educe.prob.importance import importance
from educe.prob.program import Program, program
from educe.prob.requests import observe, score

__all__ = ["MODELS", "hidden_markov", "nested", "random_function", "sprinkler", "variable_length"]


@program
def sprinkler() -> Any:
    """Two causes of a wet lawn, seen through soft evidence."""
    rain = yield Bernoulli(Fraction(1, 5))
    sprinkler = yield Bernoulli(Fraction(1, 2))
    yield score(Fraction(9, 10) if rain or sprinkler else Fraction(1, 10))
    return rain


@program
def hidden_markov() -> Any:
    """Two hidden states, two observations; returns the last state."""
    state = yield Bernoulli(Fraction(1, 2))
    for seen in (True, False):
        state = yield Bernoulli(Fraction(3, 4) if state else Fraction(1, 4))
        yield observe(Bernoulli(Fraction(2, 3) if state else Fraction(1, 5)), seen)
    return state


@program
def variable_length() -> Any:
    """Draw until the first stop, at most twice; longer runs weigh more. Shows a missing length ratio."""
    length = 1
    while length < 3 and (yield Bernoulli(Fraction(1, 2))):
        yield score(Fraction(3, 2))
        length += 1
    yield score(Fraction(length, 3))
    return length


@program
def nested() -> Any:
    """A model that runs importance sampling inside itself and uses what it finds."""
    wet = yield from collapse(importance(2))(_soft())
    yield score(Fraction(1, 2) if wet else Fraction(3, 4))
    return wet


@program
def _soft() -> Any:
    wet = yield Finite({True: 1, False: 2})
    yield score(Fraction(4, 5) if wet else Fraction(1, 5))
    return wet


@program
def random_function() -> Any:
    """A random line over a small grid, seen at one point; the value is the function, as a table."""
    slope, offset = yield [Uniform([0, 1]), Uniform([0, 1])]

    def line(x: int) -> int:
        return int(slope * x + offset)

    yield score(Fraction(1, 1 + (line(1) - 1) ** 2))
    return tuple(line(x) for x in range(3))


MODELS: dict[str, Callable[[], Program]] = {
    "sprinkler": sprinkler,
    "hidden markov": hidden_markov,
    "variable length": variable_length,
    "nested": nested,
    "random function": random_function,
}
