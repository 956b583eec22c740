"""Is this sampler valid? Decided by `==` over fractions, not by statistics.

An algorithm is a program, so the enumerator runs it over all of its own randomness. It is valid when the expected
weight that it gives to each value equals the weight that the model gives, on models chosen to show the usual
mistakes. Source: Ścibior et al. (2018), arXiv:1711.03219, definition 4.1. Passing is a proof for the models tried,
not for all models.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from educe.core import UsageError, canonical_key
from educe.prob.algorithm import Algorithm
from educe.prob.discrete import Finite
from educe.prob.enumeration import paths
from educe.prob.finite_models import MODELS
from educe.prob.moves import Each, Move, Population, Repeat
from educe.prob.numbers import Weight
from educe.prob.program import Program, Steps
from educe.prob.requests import score

__all__ = ["MODELS", "Verdict", "check", "condensed", "exact", "gap", "meaning"]

Law = dict[Hashable, tuple[Weight, Population]]


def exact(program: Program) -> dict[Hashable, Weight]:
    """Return the unnormalised measure that a program means: the total weight of each value.

    Parameters
    ----------
    program : Program
        All its draws have finite support; weights stay fractions where it uses fractions.

    Returns
    -------
    dict
        By canonical key of the value; values of weight zero are left out.

    Examples
    --------
    >>> from educe.prob.finite_models import sprinkler
    >>> exact(sprinkler())
    {True: Fraction(9, 50), False: Fraction(2, 5)}
    """
    table: dict[Hashable, Weight] = {}
    for probability, weight, value in paths(program):
        key = canonical_key(value)
        table[key] = table.get(key, Fraction(0)) + probability * weight
    return table


def meaning(algorithm: Algorithm, model: Program) -> dict[Hashable, Weight]:
    """Return the measure that an algorithm gives on average over all of its own randomness.

    Parameters
    ----------
    algorithm : Algorithm
        Run on the model by enumeration.
    model : Program
        All its draws have finite support.

    Returns
    -------
    dict
        By canonical key of the value: expectation of the summed weights of the particles that carry it.

    Examples
    --------
    >>> from educe.prob import importance
    >>> from educe.prob.finite_models import sprinkler
    >>> meaning(importance(2), sprinkler()) == exact(sprinkler())
    True
    """
    table: dict[Hashable, Weight] = {}
    for probability, population in _outcomes(algorithm, model):
        for item in population:
            if item.weight != 0:
                key = canonical_key(item.value)
                table[key] = table.get(key, Fraction(0)) + probability * item.weight
    return table


def _outcomes(algorithm: Algorithm, model: Program) -> Iterable[tuple[Weight, list[Any]]]:
    """List the populations that an algorithm ends with, each with its probability."""
    if algorithm.start is None:
        return ((probability * weight, value) for probability, weight, value in paths(algorithm(model)))
    law: Law = _merged([(Fraction(1), algorithm.start(model))])
    for move in algorithm.moves:
        law = _after(move, law)
    return law.values()


def _merged(outcomes: Iterable[tuple[Weight, Population]]) -> Law:
    """Add up the probabilities of populations that are equal, particle by particle."""
    law: Law = {}
    for probability, population in outcomes:
        key = tuple(particle.state() for particle in population)
        before = law[key][0] if key in law else Fraction(0)
        law[key] = (before + probability, population)
    return law


def _after(move: Move, law: Law) -> Law:
    """Return the law of the populations after a move."""
    if isinstance(move, Repeat):
        ended: list[tuple[Weight, Population]] = []
        done = 0
        while law:
            going = [item for item in law.values() if move.goes_on(item[1], done)]
            ended += [item for item in law.values() if not move.goes_on(item[1], done)]
            law = _merged(going)
            for each in move.moves:
                law = _after(each, law)
            done += 1
        return _merged(ended)

    if isinstance(move, Each):
        # Particles move independently of each other, so they may as well move in turn; merging between saves most.
        for index in range(max((len(population) for _, population in law.values()), default=0)):
            law = _merged(_paths_of(_only(move, index), law))
        return law
    return _merged(_paths_of(move, law))


def _paths_of(move: Move, law: Law) -> Iterator[tuple[Weight, Population]]:
    for probability, population in law.values():
        # Every path needs particles of its own, since a move may change them in place.
        step = Program(lambda old: move([particle.clone() for particle in old]), (population,), {})
        yield from ((probability * p * weight, new) for p, weight, new in paths(step))


def _only(move: Each, index: int) -> Move:
    def one(population: Population) -> Steps:
        if index < len(population):
            population[index] = yield from move.step(population[index])
        return population

    return one


def condensed(program: Program) -> Program:
    """Return a program with the same law of value and weight, and a single draw.

    What only looks at the outcome of whole runs (`independent`, `importance`) cannot tell the two apart, and is
    enumerated far faster.

    Parameters
    ----------
    program : Program
        All its draws have finite support with fractions, and its values are hashable.

    Raises
    ------
    UsageError
        A probability is no fraction.

    Examples
    --------
    >>> from educe.prob.finite_models import sprinkler
    >>> exact(condensed(sprinkler())) == exact(sprinkler())
    True
    """
    law: dict[tuple[Any, Weight], Weight] = {}
    for probability, weight, value in paths(program):
        law[value, weight] = law.get((value, weight), Fraction(0)) + probability
    missing = Fraction(1)
    for mass in law.values():
        if not isinstance(mass, Fraction):
            raise UsageError(f"{program.name} has probabilities that are no fractions. Write for instance 1/2 exactly.")
        missing -= mass
    outcomes = Finite({**law, (None, Fraction(0)): missing})

    def run() -> Steps:
        value, weight = yield outcomes
        yield score(weight)
        return value

    return Program(run, (), {})


def gap(expected: Mapping[Hashable, Weight], found: Mapping[Hashable, Weight]) -> float:
    """Total variation distance between two measures; for fractions it is zero only where they are equal.

    Parameters
    ----------
    expected, found : mapping
        As `exact` and `meaning` return them.

    Examples
    --------
    >>> gap({"a": Fraction(1, 2)}, {"a": Fraction(1, 4), "b": Fraction(1, 4)})
    0.25
    """
    total = 0.0
    for value in {**expected, **found}:
        before, after = expected.get(value, Fraction(0)), found.get(value, Fraction(0))
        if isinstance(before, Fraction) and isinstance(after, Fraction):
            total += float(abs(after - before))
        else:
            total += abs(float(after) - float(before))
    return total / 2


@dataclass(frozen=True)
class Verdict:
    """Outcome of `check`.

    Parameters
    ----------
    valid : bool
        Whether both measures were equal on every model.
    model : str
        The model of the first difference, empty if there is none.
    value : object
        The value whose weights differ.
    expected, found : Fraction or LogNumber
        Its weight by the model and by the algorithm.
    gaps : mapping
        Total variation distance between the two measures, by model.
    """

    valid: bool
    model: str = ""
    value: Any = None
    expected: Weight = Fraction(0)
    found: Weight = Fraction(0)
    gaps: Mapping[str, float] | None = None

    def __str__(self) -> str:
        if self.valid:
            return "valid on every model tried"
        return f"invalid: on {self.model} the value {self.value!r} weighs {self.found} instead of {self.expected}"


def check(algorithm: Algorithm, models: Mapping[str, Callable[[], Program]] | None = None) -> Verdict:
    """Compare the meaning of an algorithm with that of the models it runs on, exactly.

    Parameters
    ----------
    algorithm : Algorithm
        Two or three particles and a step or two; enumeration grows fast.
    models : mapping of str to callable
        Makers of programs; `MODELS` when left out.

    Returns
    -------
    Verdict
        With a counter-example when the algorithm is invalid.

    Examples
    --------
    >>> from educe.prob import importance
    >>> from educe.prob.finite_models import sprinkler
    >>> print(check(importance(2), {"sprinkler": sprinkler}))
    valid on every model tried
    """
    gaps: dict[str, float] = {}
    first: tuple[str, Any, Weight, Weight] | None = None
    for name, make in (MODELS if models is None else models).items():
        expected, found = exact(make()), meaning(algorithm, make())
        differing = []
        for value in {**expected, **found}:
            before, after = expected.get(value, Fraction(0)), found.get(value, Fraction(0))
            if before != after:
                differing.append((name, value, before, after))
        gaps[name] = gap(expected, found)
        first = first or (differing[0] if differing else None)
    if first is None:
        return Verdict(True, gaps=gaps)
    model, value, weight, wrong = first
    return Verdict(False, model, value, weight, wrong, gaps)
