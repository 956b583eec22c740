"""An algorithm is a composition of moves, and itself a program: `compose` makes it, `collapse` turns it into a model.

Source: Ścibior et al. (2018), arXiv:1711.03219, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import torch

from educe.core import EvidenceKind, Posterior
from educe.prob.discrete import Finite
from educe.prob.driver import drive
from educe.prob.moves import Move, Population
from educe.prob.numbers import Weight, log_of
from educe.prob.program import Program, Steps
from educe.prob.requests import Factor
from educe.prob.source import Source

__all__ = ["Algorithm", "Weighted", "collapse", "compose"]


class Weighted(NamedTuple):
    """A value and what it counts."""

    weight: Weight
    value: Any


@dataclass(frozen=True)
class Algorithm:
    """A function from programs to weighted values, itself written as a program.

    Parameters
    ----------
    steps : callable
        ``steps(program)`` is a generator that yields requests and returns a list of `Weighted`.
    name : str
        Shown in errors and results.
    evidence : EvidenceKind
        What the sum of the weights is worth.
    start : callable or None
        How `compose` starts a population; None for algorithms written otherwise.
    moves : tuple of callable
        What `compose` applies to it; the laws enumerate move by move and merge what is equal between.

    Examples
    --------
    >>> from educe.prob import importance
    >>> importance(10).name
    'importance'
    """

    steps: Callable[[Program], Steps]
    name: str = "algorithm"
    evidence: EvidenceKind = EvidenceKind.UNBIASED
    start: Callable[[Program], Population] | None = None
    moves: tuple[Move, ...] = ()

    def __repr__(self) -> str:
        return f"<algorithm {self.name}>"

    def __call__(self, program: Program) -> Program:
        """Return the program that runs this algorithm on a program; its value is a list of `Weighted`."""
        return Program(self.steps, (program,), {})

    async def infer(self, program: Program, source: Source) -> Posterior[Any]:
        """Run on a program by drawing; see `educe.prob.run`."""
        population = await drive(self.steps(program), source)
        alive = [item for item in population if item.weight != 0]
        logs = torch.tensor([log_of(item.weight) for item in alive], dtype=torch.float64)
        kind = EvidenceKind.NONE if source.total().stopped_by else self.evidence
        evidence = float(torch.logsumexp(logs, 0)) if alive else -math.inf
        return Posterior(
            [item.value for item in alive],
            logs,
            None if kind is EvidenceKind.NONE else evidence,
            kind,
            details={"algorithm": self.name, "particles": len(population)},
        )


def compose(
    start: Callable[[Program], Population],
    *moves: Move,
    name: str = "composition",
    evidence: EvidenceKind = EvidenceKind.UNBIASED,
) -> Algorithm:
    """Make an algorithm from a way to start and moves, applied in the order given.

    Parameters
    ----------
    start : callable
        Usually ``spawn(n)``.
    *moves : callable
        The last ones must leave all particles finished.
    name : str
        Shown in results.
    evidence : EvidenceKind
        What the sum of the weights is worth.

    Examples
    --------
    >>> from educe.prob import advance, ess_below, repeat, resample, spawn
    >>> compose(spawn(8), repeat(advance(), resample(when=ess_below(0.5)))).name
    'composition'
    """

    def steps(program: Program) -> Steps:
        population = start(program)
        for move in moves:
            population = yield from move(population)
        return [Weighted(particle.weight, particle.value) for particle in population]

    return Algorithm(steps, name, evidence, start, moves)


def collapse(algorithm: Algorithm) -> Callable[[Program], Program]:
    """Turn an algorithm back into a model: draw one of its values by weight, factor in the total.

    The result means the same as the program, with less varying weights, and may stand wherever a program may:
    inside another algorithm this is the pseudo-marginal construction.

    Parameters
    ----------
    algorithm : Algorithm
        Must be unbiased.

    Returns
    -------
    callable
        Takes a program, returns a program.

    Examples
    --------
    >>> from educe.prob import importance
    >>> collapse(importance(4)).__name__
    'collapsed'
    """

    def steps(program: Program) -> Steps:
        population = yield from algorithm(program)
        total = sum((item.weight for item in population), Fraction(0))
        yield Factor(total)
        # A total of zero has ended the run at the factor.
        return population[(yield Finite(enumerate(item.weight for item in population)))].value

    def collapsed(program: Program) -> Program:
        return Program(steps, (program,), {})

    return collapsed
