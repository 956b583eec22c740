"""`@program`: a model is a generator that yields requests. `check_pure`: whether it may be replayed.

Generators cannot be copied; a copy of a run is made by feeding the same answers to a fresh generator. Programs have
to be pure for this: equal answers must lead to equal requests.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any

from educe.core import Seed, UsageError

__all__ = ["Names", "Program", "Steps", "check_pure", "impure", "program"]

Steps = Generator[Any, Any, Any]


class Program:
    """A model with its arguments, ready to run any number of times.

    Inside another program it runs by ``result = yield from it``.

    Parameters
    ----------
    function : callable
        A generator function.
    args : tuple
        Its arguments.
    kwargs : mapping
        Its keyword arguments.

    Attributes
    ----------
    traced : dict
        Graphs of the log-density that the vector engine has made, by shape.

    Examples
    --------
    >>> from educe.prob import Bernoulli
    >>> def flip(p):
    ...     return (yield Bernoulli(p))
    >>> Program(flip, (0.5,), {})
    flip(0.5)
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = dict(kwargs)
        self.traced: dict[Any, Any] = {}

    def __iter__(self) -> Steps:
        return self.segment(None, 0)

    def begin(self) -> tuple[Any, int]:
        """Return the state and the time at which a run begins; `steps` has more than this one."""
        return None, 0

    def segment(self, state: Any, time: int) -> Steps:
        """Return the generator that goes on from a state."""
        return self.function(*self.args, **self.kwargs)  # type: ignore[no-any-return]

    def after(self, returned: Any, time: int) -> tuple[Any, bool]:
        """Return the state after a segment, or the program's value, and whether it has ended."""
        return returned, True

    def names(self, time: int) -> Names:
        """Return what names the draws of a segment."""
        return Names(self)

    @property
    def name(self) -> str:
        """Name of the function."""
        return str(getattr(self.function, "__name__", "program"))

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.name}({', '.join(given)})"


def program(function: Callable[..., Any]) -> Callable[..., Program]:
    """Turn a generator function into a maker of programs.

    Parameters
    ----------
    function : callable
        Yields requests, returns the value of interest. Its arguments and everything it reads must stay unchanged.

    Returns
    -------
    callable
        Takes the same arguments, returns a `Program`.

    Raises
    ------
    UsageError
        The function does not yield.

    Examples
    --------
    >>> from educe.prob import Bernoulli, enumerate_exact
    >>> @program
    ... def both(p):
    ...     first = yield Bernoulli(p)
    ...     second = yield Bernoulli(p)
    ...     return first and second
    >>> enumerate_exact(both(0.5)).probability(bool)
    0.25
    """
    if not inspect.isgeneratorfunction(function):
        name = getattr(function, "__name__", function)
        raise UsageError(f"{name} is no generator function, so no program. Write `x = yield dist` for each draw.")

    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Program:
        return Program(function, args, kwargs)

    return make


class Names:
    """Give every draw of one run a name: its own, or its line and how often that line was passed."""

    def __init__(self, program: Program, suffix: str = "") -> None:
        self.program, self.suffix = program, suffix
        self.given: set[str] = set()
        self.counts: dict[str, int] = {}

    def copy(self) -> Names:
        """Return an independent copy."""
        copy = Names(self.program, self.suffix)
        copy.given, copy.counts = set(self.given), dict(self.counts)
        return copy

    def name(self, given: str | None, generator: Any) -> str:
        """Return the name of a draw at which a generator is waiting."""
        if given is None:
            lines = []
            while inspect.isgenerator(generator) and generator.gi_frame is not None:
                lines.append(f"{generator.gi_code.co_name}:{generator.gi_frame.f_lineno}")
                generator = generator.gi_yieldfrom
            base = "/".join(lines)
            self.counts[base] = count = self.counts.get(base, 0) + 1
            return f"{base}#{count}{self.suffix}"
        if given in self.given:
            raise UsageError(
                f'{self.program.name} draws two values under the name {given!r}. Number them, as in @ f"{given}{{i}}".'
            )
        self.given.add(given)
        return given + self.suffix


def impure(program: Program, first: Any, second: Any) -> UsageError:
    """Return the error for a program that asked for one thing and, replayed, for another."""
    return UsageError(
        f"{program.name} is not pure: it asked for {first} and, replayed with the same answers, for {second}. "
        "Take every random or changing thing by a yield."
    )


def check_pure(program: Program, seed: int | Seed = 0) -> None:
    """Run a program, replay it with the same answers, and refuse it when it asks for anything else.

    Parameters
    ----------
    program : Program
        What to check. One run is checked: a program that is impure elsewhere passes.
    seed : int or Seed
        Source of the run.

    Raises
    ------
    UsageError
        The replay asked for another request, distribution or parameter, or returned another value.

    Examples
    --------
    >>> import random
    >>> from educe.prob import Bernoulli
    >>> def cheat():
    ...     return (yield Bernoulli(random.random()))
    >>> check_pure(Program(cheat, (), {}))
    Traceback (most recent call last):
    ...
    educe.core.errors.UsageError: cheat is not pure: ...
    """
    from educe.prob.driver import run_steps
    from educe.prob.particle import Particle

    first = Particle(program)
    run_steps(first.advance(math.inf), seed)
    again = Particle(program, keep=first.sites)
    run_steps(again.advance(math.inf), seed)
    for name in [*first.sites, *again.sites]:
        before, after = first.sites.get(name), again.sites.get(name)
        if before is None or after is None or not before.dist.same_as(after.dist):
            raise impure(program, before and f"{name} ~ {before.dist}", after and f"{name} ~ {after.dist}")
    if first.passed != again.passed or first.score != again.score:
        raise impure(program, f"factors of {first.score}", f"factors of {again.score}")
