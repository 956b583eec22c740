"""`Particle`: one weighted run of a program, suspended at a barrier, that can be cloned.

A particle keeps the answers that its generator got, and a clone is a fresh generator fed with the same answers: no
model is called and no random number drawn. Every replay checks that the program asks for the same things again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from educe.core import UsageError, canonical_key
from educe.prob.dist import Dist
from educe.prob.numbers import LogNumber, Weight
from educe.prob.program import Program, Steps, impure
from educe.prob.requests import Draw, Evaluate, Factor, Twist, leaves, rebuild, refuse

__all__ = ["CUT", "Particle", "Site"]

# The answer to a draw that a budget has cut: the run counts nothing from then on.
CUT = object()


class Site(NamedTuple):
    """A value that was drawn, and the law it has in the model."""

    dist: Dist
    value: Any
    via: Dist | None = None


class _Step(NamedTuple):
    kind: Any
    answer: Any


def _kind(request: Any) -> Any:
    if isinstance(request, list):
        return [_kind(item) for item in request]
    if isinstance(request, Draw):
        return (type(request.dist).__name__, request.name)
    return type(request).__name__


class Particle:
    """One weighted run of a program.

    Parameters
    ----------
    program : Program
        What to run.
    weight : Fraction or LogNumber
        What the run counts before any factor.
    keep : mapping of str to Site
        Draws whose values are reused where the run asks for the same name and class of distribution.

    Attributes
    ----------
    weight : Fraction or LogNumber
        What the particle counts in its population.
    score : Fraction or LogNumber
        Product of all factors of the run; resampling leaves it alone.
    kept : Fraction or LogNumber
        Product of density ratios, new over old, of the values in `keep` that were reused.
    sites : dict of str to Site
        Everything drawn so far, in order.
    passed : int
        Barriers passed.
    until : float
        The barrier it was last sent to.
    finished : bool
        Whether the program has returned, or the weight is zero, after which it is not run any further.
    value : object
        What the program returned.
    """

    def __init__(self, program: Program, weight: Weight = Fraction(1), keep: Mapping[str, Site] | None = None) -> None:
        self.program = program
        self.weight = weight
        self.score: Weight = Fraction(1)
        self.kept: Weight = Fraction(1)
        self.sites: dict[str, Site] = {}
        self.keep = keep or {}
        self.passed = 0
        self.until: float = 0
        self.finished = False
        self.value: Any = None
        # A program of steps begins anew after each: then only what came since has to be replayed.
        self._state, self._time = program.begin()
        self._twist: Weight = Fraction(1)
        self._log: list[_Step] = []
        self._names = program.names(0)
        self._generator: Steps | None = None

    def clone(self) -> Particle:
        """Return an independent copy; its generator is made by replay when it next runs."""
        copy = object.__new__(Particle)
        copy.__dict__.update(self.__dict__)
        copy.sites, copy._log, copy._names = dict(self.sites), list(self._log), self._names.copy()
        copy.keep, copy.kept, copy._generator = {}, Fraction(1), None
        return copy

    def state(self) -> tuple[Any, ...]:
        """What decides the rest of the run: the values drawn so far and where it stands."""
        drawn = tuple((name, canonical_key(site.value)) for name, site in self.sites.items())
        return drawn, self.weight, self.until, self.finished

    def advance(self, barriers: float = 1) -> Generator[Any, Any, Particle]:
        """Run on; yields requests without names, returns the particle.

        Parameters
        ----------
        barriers : float
            Stop when so many more factors were passed, ``inf`` runs to the end.
        """
        self.until += barriers
        while not self.finished and self.passed < self.until:
            request = self._resume()
            if not self.finished:
                self._log.append(_Step(_kind(request), (yield from self._answer(request))))
        return self

    def _resume(self) -> Any:
        """Return the next request; None once the program has ended."""
        try:
            if self._generator is None:
                self._generator = self.program.segment(self._state, self._time)
                answer = None
                for step in self._log:
                    request = self._generator.send(answer)
                    if _kind(request) != step.kind:
                        raise impure(self.program, step.kind, _kind(request))
                    answer = step.answer
            return self._generator.send(self._log[-1].answer if self._log else None)
        except StopIteration as stop:
            self._generator, self._log = None, []
            self._time += 1
            self._state, self.finished = self.program.after(stop.value, self._time)
            if self.finished:
                self.value = self._state
                self._untwist(Fraction(1))
                return None
            self._names = self.program.names(self._time)
        return self._resume()

    def _untwist(self, new: Weight) -> None:
        """Undo the last twist and put a new one in its place."""
        if new != self._twist:
            self._multiply(new / self._twist)
            self._twist = new

    def _answer(self, request: Any) -> Generator[Any, Any, Any]:
        if isinstance(request, Factor):
            weight = request.weight
            self._untwist(Fraction(1))
            self._multiply((yield weight) if isinstance(weight, Evaluate) else weight)
            self.passed += 1
            return None
        if isinstance(request, Twist):
            self._untwist(request.weight)
            self.passed += 1
            return None
        if isinstance(request, Dist) and not self.keep:
            name = self._names.name(None, self._generator)
            value = yield request
            self._record(name, Site(request, value))
            return value
        asked = [Draw(leaf) if isinstance(leaf, Dist) else leaf for leaf in leaves(request)]
        questions: list[Any] = []
        readers = [self._read(leaf, questions) for leaf in asked]
        answers = (yield questions) if questions else []
        values = [read(answers) for read in readers]
        for leaf, value in zip(asked, values, strict=True):
            if isinstance(leaf, Draw) and leaf.via is not None and value is not CUT:
                target, proposal = yield [Evaluate(leaf.dist, value), Evaluate(leaf.via, value)]
                self._multiply(target / proposal)
        return rebuild(request, iter(values))

    def _read(self, leaf: Any, questions: list[Any]) -> Callable[[list[Any]], Any]:
        """Add what must be asked to the questions; return how the value is read off the answers."""
        start = len(questions)
        if isinstance(leaf, Evaluate):
            questions.append(leaf)
            return lambda answers: answers[start]
        if not isinstance(leaf, Draw):
            raise refuse(leaf, self.program.name)
        name = self._names.name(leaf.name, self._generator)
        law = leaf.via or leaf.dist
        old = self.keep.get(name)
        if old is None or type(old.via or old.dist) is not type(law):
            questions.append(law)
            # The place is taken now, so that names stay in the order of the draws.
            self.sites[name] = Site(leaf.dist, None, leaf.via)

            def fresh(answers: list[Any]) -> Any:
                self._record(name, Site(leaf.dist, answers[start], leaf.via))
                return answers[start]

            return fresh
        self.sites[name] = Site(leaf.dist, old.value, leaf.via)
        before = old.via or old.dist
        changed = not law.same_as(before)
        if changed:
            questions += [Evaluate(law, old.value), Evaluate(before, old.value)]

        def reused(answers: list[Any]) -> Any:
            if changed:
                new, before_it = answers[start], answers[start + 1]
                # A density that rounds to zero where a value was drawn: count the reuse as impossible.
                self.kept = self.kept * new / before_it if before_it != 0 else Fraction(0)
            return old.value

        return reused

    def _record(self, name: str, site: Site) -> None:
        self.sites[name] = site
        if site.value is CUT:
            self._multiply(Fraction(0))

    def _multiply(self, weight: Weight) -> None:
        if isinstance(weight, LogNumber):
            weight = LogNumber(float(weight.log))
            if math.isnan(weight.log) or weight.log == math.inf:
                raise UsageError(
                    f"{self.program.name} has a factor of log-weight {weight.log} after drawing "
                    f"{ {name: site.value for name, site in list(self.sites.items())[-3:]} }. "
                    "Give finite log-weights or -inf."
                )
        self.weight = self.weight * weight
        self.score = self.score * weight
        # The value of a run that counts nothing is never looked at; not running it saves calls to models.
        if self.weight == 0:
            self.finished, self._generator = True, None
