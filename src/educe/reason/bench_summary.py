"""From the rows of a grid to a table: accuracy at what it cost, beside the vote at the same cost, with intervals.

Each cell (task and method) gives accuracy, coverage, tokens, seconds and calibration. Intervals are bootstrapped over
problems, seeds of one problem staying together. The plain vote at equal tokens is read off the vote's own curve
between its sizes, problem by problem, linear in the logarithm of the tokens spent on the task; beyond the largest
vote its accuracy there is taken. Since many cells are compared, differences are called real only after Benjamini and
Hochberg's (1995) control of the false-discovery rate, on sign-flip p-values of the paired differences.

What it does not do: extrapolate the vote, or compare across models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Budget, Seed, UsageError
from educe.reason.bench import VOTE, Grid, GridRow, check_rows
from educe.uncertainty import auroc, bootstrap, brier, ece

__all__ = ["Cell", "Recommendation", "Summary", "false_discovery", "recommend", "sign_flip", "summarize"]

Floats = npt.NDArray[np.float64]
ALL = "all tasks"
FLIPS = 4000
LEVEL = 0.05


@dataclass(frozen=True)
class Cell:
    """One method on one task, or on all of them.

    Parameters
    ----------
    task, method : str
        Which.
    baseline : bool
        Whether it stands in the grid to be beaten.
    accuracy, low, high : float
        Share of problems answered rightly, and the ends of its 95 % interval.
    coverage : float
        Share of problems with a right answer among those that have mass.
    tokens, prompt_tokens, seconds : float
        Mean per question: tokens drawn, prompt tokens, wall time.
    ece, brier, auroc : float
        Calibration of the confidence: expected calibration error over 10 bins of equal mass, Brier score, area under
        the curve; NaN where there is nothing to measure.
    vote : float
        Accuracy of the plain vote at the same tokens.
    gain, gain_low, gain_high : float
        Accuracy minus that, with the ends of its paired 95 % interval.
    p : float
        Two-sided sign-flip p-value of the gain.
    real : bool
        Whether the gain survives control of the false-discovery rate at 5 %.
    errors : int
        Questions that the method could not take.
    """

    task: str
    method: str
    baseline: bool
    accuracy: float
    low: float
    high: float
    coverage: float
    tokens: float
    prompt_tokens: float
    seconds: float
    ece: float
    brier: float
    auroc: float
    vote: float
    gain: float
    gain_low: float
    gain_high: float
    p: float
    real: bool = False
    errors: int = 0


@dataclass(frozen=True)
class Summary:
    """A grid's table.

    Parameters
    ----------
    grid : mapping
        What was run, see `Grid.to_json`.
    cells : tuple of Cell
        By task and method; the last task is all of them together.
    tasks, methods : tuple of str
        In the grid's order.
    """

    grid: Mapping[str, Any]
    cells: tuple[Cell, ...]
    tasks: tuple[str, ...] = field(default=())
    methods: tuple[str, ...] = field(default=())

    def cell(self, method: str, task: str = ALL) -> Cell:
        """Return one cell.

        Parameters
        ----------
        method, task : str
            Which.

        Raises
        ------
        UsageError
            There is none.
        """
        for cell in self.cells:
            if (cell.method, cell.task) == (method, task):
                return cell
        raise UsageError(f"The grid has no cell of {method!r} on {task!r}. Look at its methods and tasks.")

    def to_json(self) -> dict[str, Any]:
        """Return the table as a JSON value; NaN becomes null."""
        cells = [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(c).items()
            }
            for c in self.cells
        ]
        return {"grid": dict(self.grid), "tasks": list(self.tasks), "methods": list(self.methods), "cells": cells}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Summary:
        """Read what `to_json` gave.

        Parameters
        ----------
        data : mapping
            The JSON value.
        """
        numbers = {name for name, kind in Cell.__annotations__.items() if kind == "float"}

        def cell(item: dict[str, Any]) -> Cell:
            known: dict[str, Any] = {
                name: math.nan if value is None and name in numbers else value for name, value in item.items()
            }
            return Cell(**known)

        cells = tuple(cell(item) for item in data["cells"])
        return cls(data["grid"], cells, tuple(data["tasks"]), tuple(data["methods"]))


def summarize(grid: Grid, rows: Sequence[GridRow], *, replicates: int = 1000) -> Summary:
    """Make the table of a grid.

    Parameters
    ----------
    grid : Grid
        What was run.
    rows : sequence of GridRow
        All its rows.
    replicates : int
        Bootstrap replicates, >= 1.

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        There is no row.
    """
    check_rows(rows)
    table: dict[tuple[str, str], list[GridRow]] = {}
    for row in rows:
        table.setdefault((row.method, row.task), []).append(row)
    votes = {task: [table[method, task] for method in grid.baselines if method.startswith(VOTE)] for task in grid.tasks}
    seed = Seed(grid.seed).child("bench", "summary")
    cells = []
    for method in grid.all_methods:
        parts = []
        for task in grid.tasks:
            own = table[method, task]
            beside = _vote_at_equal_tokens(votes[task], float(np.mean([row.tokens for row in own])))
            parts.append((own, beside))
            cells.append(_cell(task, method, own, beside, replicates, seed))
        everything = [row for own, _ in parts for row in own]
        together = np.concatenate([beside for _, beside in parts])
        cells.append(_cell(ALL, method, everything, together, replicates, seed))
    tried = [index for index, cell in enumerate(cells) if not cell.baseline]
    kept = false_discovery([cells[index].p for index in tried], LEVEL)
    real = dict(zip(tried, kept, strict=True))
    cells = [Cell(**{**asdict(cell), "real": bool(real.get(index, False))}) for index, cell in enumerate(cells)]
    return Summary(grid.to_json(), tuple(cells), (*grid.tasks, ALL), grid.all_methods)


def _by_problem(rows: Sequence[GridRow], name: str) -> Floats:
    """Mean of a column for each problem, in the order in which they first come."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(f"{row.task}/{row.problem}", []).append(float(getattr(row, name)))
    return np.array([np.mean(found) for found in values.values()])


def _vote_at_equal_tokens(votes: Sequence[Sequence[GridRow]], tokens: float) -> Floats:
    """Accuracy of the vote for each problem at a mean spending, between the two nearest sizes."""
    spent = np.array([np.mean([row.tokens for row in rows]) for rows in votes])
    right = np.stack([_by_problem(rows, "correct") for rows in votes])
    order = np.argsort(spent, kind="stable")
    spent, right = spent[order], right[order]
    above = int(np.searchsorted(spent, tokens))
    if above == 0:
        return np.asarray(right[0])
    if above == len(spent):
        return np.asarray(right[-1])
    low, high, here = (math.log(max(value, 1.0)) for value in (spent[above - 1], spent[above], tokens))
    share = (here - low) / (high - low) if high > low else 0.0
    return np.asarray((1 - share) * right[above - 1] + share * right[above])


def _cell(task: str, method: str, rows: Sequence[GridRow], vote: Floats, replicates: int, seed: Seed) -> Cell:
    right = _by_problem(rows, "correct")
    accuracy = bootstrap(np.mean, right, replicates=replicates, seed=seed)
    gain = bootstrap(lambda a, b: float(np.mean(a - b)), right, vote, replicates=replicates, seed=seed)
    confidence = np.array([row.confidence for row in rows])
    correct = np.array([row.correct for row in rows], dtype=float)
    both = 0 < correct.sum() < len(correct)
    return Cell(
        task, method, rows[0].baseline,
        accuracy.value, accuracy.low, accuracy.high,
        coverage=float(_by_problem(rows, "covered").mean()),
        tokens=float(np.mean([row.tokens for row in rows])),
        prompt_tokens=float(np.mean([row.prompt_tokens for row in rows])),
        seconds=float(np.mean([row.seconds for row in rows])),
        ece=ece(confidence, correct) if len(rows) >= 10 else math.nan,
        brier=brier(confidence, correct),
        auroc=auroc(confidence, correct) if both else math.nan,
        vote=float(vote.mean()), gain=gain.value, gain_low=gain.low, gain_high=gain.high,
        p=sign_flip(right - vote, seed),
        errors=sum(row.error is not None for row in rows),
    )  # fmt: skip


def sign_flip(differences: npt.ArrayLike, seed: int | Seed = 0) -> float:
    """Two-sided p-value of a mean difference: how often it is as large when signs are drawn by lot.

    Parameters
    ----------
    differences : array-like
        One paired difference per problem.
    seed : int or Seed
        Root of the lots; up to 12 differences that are not zero all signs are tried instead.

    Returns
    -------
    float
        1 where all differences are zero.

    Examples
    --------
    >>> sign_flip([1.0, 1.0, 1.0, 1.0, 1.0])
    0.0625
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    if len(values) <= 12:
        signs = 1 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
    else:
        signs = 1 - 2 * Seed.of(seed).child("sign-flip").numpy().integers(2, size=(FLIPS, len(values)))
        signs[0] = 1  # the data themselves are one of the ways
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= abs(values.sum()) - 1e-12))


def false_discovery(p: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Benjamini and Hochberg's selection: at most this share of what is selected is expected to be false.

    Parameters
    ----------
    p : sequence of float
        P-values, in [0, 1].
    level : float
        The share, in (0, 1).

    Returns
    -------
    list of bool
        Which are selected, in the order given.

    Examples
    --------
    >>> false_discovery([0.01, 0.02, 0.03, 0.5])
    [True, True, True, False]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    passed = np.flatnonzero(values[order] <= level * np.arange(1, len(values) + 1) / max(len(values), 1))
    chosen = np.zeros(len(values), dtype=bool)
    if len(passed):
        chosen[order[: passed[-1] + 1]] = True
    return [bool(value) for value in chosen]


@dataclass(frozen=True)
class Recommendation:
    """What to use, and why.

    Parameters
    ----------
    method : str
        Text for `make_method`.
    reason : str
        One sentence for people.
    """

    method: str
    reason: str


def recommend(summary: Summary, budget: Budget, kind: str | None = None) -> Recommendation:
    """Choose a method by what a grid found.

    A method is preferred to the plain vote only where its gain at equal tokens is real; among those the most
    accurate one that fits the budget is taken. Else it is the largest vote that fits.

    Parameters
    ----------
    summary : Summary
        The grid's table.
    budget : Budget
        Tokens and samples that may be spent on a question.
    kind : str, optional
        Kind of the answer; tasks of that kind count alone where the grid has any.

    Returns
    -------
    Recommendation
    """
    from educe.tasks import FAMILIES

    tasks = [task for task in summary.tasks if kind is not None and task in FAMILIES and FAMILIES[task].kind == kind]
    where = tasks or [ALL]
    scored = []
    for method in summary.methods:
        cells = [summary.cell(method, task) for task in where]
        tokens = max(cell.tokens for cell in cells)
        size = int(method.rpartition("=")[2]) if method.startswith(f"{VOTE}:n=") else 0
        if (budget.tokens is not None and tokens > budget.tokens) or (budget.samples or size) < size:
            continue
        scored.append((method, float(np.mean([cell.accuracy for cell in cells])), tokens, cells))
    known = "on " + ", ".join(where)
    better = [
        item for item in scored if all(cell.real and cell.gain > 0 for cell in item[3]) and not item[3][0].baseline
    ]
    if better:
        method, accuracy, tokens, cells = max(better, key=lambda item: item[1])
        gain = float(np.mean([cell.gain for cell in cells]))
        return Recommendation(
            method,
            f"{known} it was right on {accuracy:.0%} with {tokens:.0f} tokens a question, {gain:+.0%} against the "
            "plain vote at equal tokens, beyond chance",
        )
    votes = [item for item in scored if item[0].startswith(VOTE)]
    if votes:
        method, accuracy, tokens, _ = max(votes, key=lambda item: (round(item[1], 9), -item[2]))
        return Recommendation(
            method,
            f"{known} no method beat the plain vote at equal tokens beyond chance; this vote was right on "
            f"{accuracy:.0%} with {tokens:.0f} tokens a question",
        )
    return Recommendation("greedy", f"{known} nothing else fits the budget")
