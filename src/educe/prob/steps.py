"""`@steps`: a program that is one step, repeated, with its state in the open.

A run is then known by its state and what was answered since the last step, so that cloning it is a copy, whatever
its length, and the vector engine can resample it (`particle_filter`). All algorithms take it like any other program.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from educe.core import UsageError
from educe.prob.dist import Dist
from educe.prob.program import Names, Program, Steps
from educe.prob.requests import Draw

__all__ = ["Done", "StepProgram", "steps"]


class Done(NamedTuple):
    """What a step returns to end the program before its inputs do.

    Parameters
    ----------
    value : object
        The program's value.
    """

    value: Any


class StepProgram(Program):
    """A program of steps with its arguments; `steps` makes it.

    Parameters
    ----------
    function : callable
        A generator function of state, input and further arguments; returns the next state.
    state : object
        The first state.
    inputs : sequence or None
        One for each step; None goes on until a step returns `Done` and gives it the number of the step.
    args : tuple
        Further arguments.
    kwargs : mapping
        Further keyword arguments.
    """

    def __init__(
        self, function: Callable[..., Any], state: Any, inputs: Sequence[Any] | None, args: Any, kwargs: Any
    ) -> None:
        super().__init__(function, args, kwargs)
        if inputs is not None and not (hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")):
            raise UsageError(f"Inputs {inputs!r} cannot be indexed. Give a list, a tensor or a range.")
        self.first, self.inputs = state, inputs

    def __repr__(self) -> str:
        given = [repr(self.first), repr(self.inputs), *map(repr, self.args)]
        return f"{self.name}({', '.join(given)})"

    def __iter__(self) -> Steps:
        (state, time), ended = self.begin(), False
        while not ended:
            state = yield from self._named(self.segment(state, time), self.names(time))
            time += 1
            state, ended = self.after(state, time)
        return state

    def begin(self) -> tuple[Any, int]:
        """Return the first state, at time zero."""
        if self.inputs is not None and len(self.inputs) == 0:
            raise UsageError(f"{self.name} has no inputs, so no steps. Give at least one.")
        return self.first, 0

    def segment(self, state: Any, time: int) -> Steps:
        """Return the generator of one step."""
        given = time if self.inputs is None else self.inputs[time]
        return self.function(state, given, *self.args, **self.kwargs)  # type: ignore[no-any-return]

    def after(self, returned: Any, time: int) -> tuple[Any, bool]:
        """Return the next state, or the value, and whether there is nothing left to do."""
        if isinstance(returned, Done):
            return returned.value, True
        return returned, self.inputs is not None and time == len(self.inputs)

    def names(self, time: int) -> Names:
        """Return names that end in the number of the step, so that steps may use the same ones."""
        return Names(self, f"[{time}]")

    def _named(self, generator: Steps, names: Names) -> Steps:
        """Run one step as a part of a larger generator, with the names that a particle would give."""
        answer = None
        while True:
            try:
                request = generator.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = yield _renamed(request, names, generator)


def _renamed(request: Any, names: Names, generator: Steps) -> Any:
    if isinstance(request, list):
        return [_renamed(item, names, generator) for item in request]
    if isinstance(request, Dist):
        return Draw(request, names.name(None, generator))
    if isinstance(request, Draw):
        return Draw(request.dist, names.name(request.name, generator), request.via)
    return request


def steps(function: Callable[..., Any]) -> Callable[..., StepProgram]:
    """Turn the generator function of one step into a maker of programs.

    Parameters
    ----------
    function : callable
        ``function(state, input, ...)`` yields requests and returns the next state, or `Done`. A state must not be
        changed in place. The last state is the program's value.

    Returns
    -------
    callable
        Takes the first state, the inputs (None for steps without end) and the further arguments.

    Raises
    ------
    UsageError
        The function does not yield.

    Examples
    --------
    >>> from educe.prob import Normal, observe, run, smc
    >>> @steps
    ... def walk(place, seen):
    ...     place = yield Normal(0.0 if place is None else place, 0.5) @ "place"
    ...     yield observe(Normal(place, 1.0), seen)
    ...     return place
    >>> posterior = run(walk(None, [0.3, 0.9, 1.4]), smc(500), seed=0)
    >>> 0.3 < float(posterior.expect(lambda place: place)) < 0.9
    True
    """
    if not inspect.isgeneratorfunction(function):
        name = getattr(function, "__name__", function)
        raise UsageError(f"{name} is no generator function, so no step. Write `x = yield dist` for each draw.")

    @functools.wraps(function)
    def make(state: Any, inputs: Sequence[Any] | None, *args: Any, **kwargs: Any) -> StepProgram:
        return StepProgram(function, state, inputs, args, kwargs)

    return make
