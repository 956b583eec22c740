"""`simulate` and `assess`: the two uses of a generative program inside an objective.

`simulate` runs it and returns what it chose with the log-density of that; `assess` returns the log-density of given
choices. Both count observations and factors. Where a density cannot be computed, as for `marginal`, they return
unbiased estimates in its place: of 1 / density when simulating, of the density when assessing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from educe.core import UsageError
from educe.prob.dist import Dist
from educe.prob.numbers import log_of
from educe.prob.program import Names, Program
from educe.prob.requests import Draw, Evaluate, Factor, leaves, rebuild, refuse
from educe.prob.vi.strategies import Choice, Strategy

__all__ = ["Generative", "StochasticDensity", "Trace", "assess", "made", "simulate", "trace"]

Choices = dict[str, Any]


class StochasticDensity(Protocol):
    """A distribution over named choices whose density is estimated; `marginal` and `normalize` make them."""

    def random_weighted(self, strategy: Strategy | None = None) -> Generator[Any, Any, tuple[Choices, torch.Tensor]]:
        """Draw choices with an estimate whose inverse is unbiased for the inverse density.

        Parameters
        ----------
        strategy : Strategy or None
            Used at every draw, if given.
        """
        ...

    def estimate_logpdf(self, choices: Mapping[str, Any]) -> Generator[Any, Any, torch.Tensor]:
        """Return the logarithm of an unbiased estimate of the density.

        Parameters
        ----------
        choices : mapping
            Values by name.
        """
        ...


Generative = Program | StochasticDensity


@dataclass
class Trace:
    """One run of a program: what it chose and what that counts.

    Parameters
    ----------
    choices : dict
        Values by name, in order.
    log_densities : dict of str to Tensor
        Of each choice, by name.
    factors : Tensor or float
        Sum of the log-weights of observations and factors.
    """

    choices: Choices = field(default_factory=dict)
    log_densities: dict[str, torch.Tensor] = field(default_factory=dict)
    factors: Any = 0.0

    def total(self, names: Any = None) -> Any:
        """Sum log-densities and factors.

        Parameters
        ----------
        names : iterable of str or None
            Count these choices only.
        """
        chosen = self.log_densities if names is None else names
        return sum((self.log_densities[name] for name in chosen), self.factors)


def trace(
    program: Program, given: Mapping[str, Any] | None = None, draw: bool = True, strategy: Strategy | None = None
) -> Generator[Any, Any, Trace]:
    """Run a program with some choices given.

    Parameters
    ----------
    program : Program
        What to run.
    given : mapping or None
        Values by name; what is not given is drawn.
    draw : bool
        False refuses draws that are not given.
    strategy : Strategy or None
        Used at every draw instead of the program's own.
    """
    given = given or {}
    run, steps, names, answer = Trace(), iter(program), Names(program), None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return run
        values: list[Any] = []
        for leaf in leaves(request):
            if isinstance(leaf, Factor):
                weight = leaf.weight
                run.factors = run.factors + ((yield weight) if isinstance(weight, Evaluate) else log_of(weight))
                values.append(None)
                continue
            if hasattr(leaf, "random_weighted"):
                values.append((yield from _nested(leaf, run, given, draw, strategy)))
                continue
            asked = Draw(leaf) if isinstance(leaf, Dist) else leaf
            if not isinstance(asked, Draw):
                raise refuse(leaf, program.name)
            if asked.via is not None:
                raise UsageError(f"{program.name} draws {asked.name!r} via a proposal. A guide takes that role here.")
            name = names.name(asked.name, steps)
            if name in given:
                value = given[name]
            elif draw:
                chosen = strategy or (asked.strategy if isinstance(asked, Choice) else None)
                value = yield Choice(asked.dist, strategy=chosen)
            else:
                raise UsageError(
                    f"{program.name} draws {name!r}, which is not among the choices {sorted(given)}. "
                    "Give model and guide the same names."
                )
            run.choices[name] = value
            run.log_densities[name] = yield Evaluate(asked.dist, value)
            values.append(value)
        answer = rebuild(request, iter(values))


def _nested(
    part: Any, run: Trace, given: Mapping[str, Any], draw: bool, strategy: Strategy | None
) -> Generator[Any, Any, Choices]:
    """Answer a program that draws from a stochastic density: its choices join the program's own."""
    names = part.keep
    known = {name: given[name] for name in names if name in given}
    if len(known) == len(names):
        found, log = known, (yield from part.estimate_logpdf(known))
    elif not known and draw:
        found, log = yield from part.random_weighted(strategy)
    else:
        raise UsageError(f"Of the choices {list(names)} only {sorted(known)} are given. Give all of them or none.")
    run.choices.update(found)
    run.log_densities.update(dict.fromkeys(names, torch.zeros_like(log)) | {names[0]: log})
    return found


def simulate(
    program: Generative, strategy: Strategy | None = None
) -> Generator[Any, Any, tuple[Choices, torch.Tensor]]:
    """Run a program; use it by ``choices, log_density = yield from simulate(program)``.

    Parameters
    ----------
    program : Program, marginal or normalize
        What to run.
    strategy : Strategy or None
        Used at every draw instead of the program's own.

    Returns
    -------
    (dict, Tensor)
        Values by name, and the log-density of all of them together with the program's factors.

    Examples
    --------
    >>> from educe.prob import Normal, program
    >>> from educe.prob.vi import E
    >>> @program
    ... def guide():
    ...     yield Normal(0.0, 1.0) @ "x"
    >>> def minus_entropy():
    ...     choices, log_q = yield from simulate(guide())
    ...     return log_q
    >>> round(float(E(minus_entropy).surrogate(n=20_000)), 1)  # exactly -1.419
    -1.4
    """
    if not isinstance(program, Program):
        return (yield from program.random_weighted(strategy))
    run = yield from trace(program, strategy=strategy)
    return run.choices, torch.as_tensor(run.total())


def assess(program: Generative, choices: Mapping[str, Any]) -> Generator[Any, Any, torch.Tensor]:
    """Return the log-density of given choices; use it by ``log_p = yield from assess(program, choices)``.

    Parameters
    ----------
    program : Program, marginal or normalize
        The model.
    choices : mapping
        A value for each of its draws, by name.

    Raises
    ------
    UsageError
        A draw has no value, or a value belongs to no draw.
    """
    if not isinstance(program, Program):
        return (yield from program.estimate_logpdf(choices))
    run = yield from trace(program, choices, draw=False)
    unused = set(choices) - set(run.choices)
    if unused:
        raise UsageError(
            f"{program.name} draws no {sorted(unused)}, which were chosen. Give model and guide the same names, "
            "or remove what is only the guide's with marginal."
        )
    return torch.as_tensor(run.total())


def made(maker: Program | StochasticDensity | Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Return a program: the thing itself, or what its maker makes of the objective's arguments."""
    if isinstance(maker, Program) or hasattr(maker, "random_weighted"):
        return maker
    result = maker(*args)
    if not isinstance(result, Program) and not hasattr(result, "random_weighted"):
        raise UsageError(f"{maker!r} made {result!r}, which is no program. Decorate models and guides with @program.")
    return result
