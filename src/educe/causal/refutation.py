"""What should stand beside an effect computed from a graph and counts: support, a placebo, an E-value.

`refute` repeats `educe.causal.do` for two values of the cause. Support: how many cells of the table that the formula
conditions on were seen, and how often; empty ones are filled by the prior alone. Placebo: the cause is shuffled over
units, which destroys its effect and its ties to all causes of it, so that the difference must be near zero. E-value
(VanderWeele and Ding, 2017): the risk ratio that a further confounder would need with both cause and outcome to
explain the difference away. None of these proves a graph right; each can show it, or the data, to be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from educe.causal.effects import do_draws
from educe.causal.graph import as_dag
from educe.causal.mixed import Admg
from educe.causal.table import Table, as_table
from educe.core import Refusal, Seed, UsageError

__all__ = ["Refutation", "e_value", "refute"]

MOST_UNITS = 10_000_000


class Refutation(NamedTuple):
    """A difference of probabilities under two interventions, and what speaks for or against it.

    `effect` and `interval` are of P(of = outcome | do(second)) - P(of = outcome | do(first)); `cells`, `empty` and
    `fewest` count the cells of the observed table, those without a unit, and the fewest units in a cell; `placebo` and
    `placebo_interval` are the same difference with the cause shuffled, `passed` whether that interval holds zero.
    """

    effect: float
    interval: tuple[float, float]
    mass: float
    cells: int
    empty: int
    fewest: int
    placebo: float
    placebo_interval: tuple[float, float]
    passed: bool
    e_value: float


def refute(
    data: Any,
    edges: Any,
    hidden: str | Iterable[str] = (),
    *,
    do: tuple[str, Any, Any],
    of: tuple[str, Any],
    draws: int = 400,
    mass: float = 0.99,
    seed: int | Seed = 0,
) -> Refutation | Refusal:
    """Compute an effect with its overlap report, a placebo and a sensitivity check.

    Parameters
    ----------
    data, edges, hidden
        As in `educe.causal.do`; the data must be counts or observations.
    do : (str, object, object)
        The cause and the two values to compare.
    of : (str, object)
        The outcome and the value whose probability is meant.
    draws : int
        From the posterior of the law, >= 1.
    mass : float
        Probability inside the intervals, in (0, 1).
    seed : int or Seed
        Source of the draws and of the shuffle.

    Returns
    -------
    Refutation or Refusal
        The refusal is that of `identify`.

    Raises
    ------
    UsageError
        As in `educe.causal.do`, or the cause does not vary.

    Examples
    --------
    >>> trial = Table(("A", "B"), [[400, 100], [120, 280]])
    >>> found = refute(trial, [("A", "B")], do=("A", 0, 1), of=("B", 1))
    >>> round(found.effect, 2), found.passed, found.empty
    (0.5, True, 0)
    """
    if not 0 < mass < 1:
        raise UsageError(f"mass={mass} is no probability strictly between 0 and 1. Give for instance 0.99.")
    cause, first, second = do
    outcome, value = of
    graph = edges if isinstance(edges, Admg) else as_dag(edges).project(hidden)
    table = as_table(data)
    root = Seed.of(seed).child("refute")
    places = table.index(cause, first), table.index(cause, second), table.index(outcome, value)
    spread = table.marginal(cause).tensor
    if int((spread > 0).sum()) < 2:
        raise UsageError(f"{cause!r} has one value in all units, so nothing is compared. Give units of both values.")

    def difference(counts: Table, at: Seed) -> torch.Tensor | Refusal:
        found = do_draws(counts, graph, do=cause, of=outcome, draws=draws, seed=at)
        if isinstance(found, Refusal):
            return found
        assert isinstance(found.values, dict)
        effect = found.values["effect"]
        return torch.stack([effect[:, place, places[2]] for place in places[:2]])

    real = difference(table, root.child("real"))
    if isinstance(real, Refusal):
        return real
    observed = table.marginal(*graph.vertices)
    placebo = difference(_shuffled(observed, cause, root.child("shuffle")), root.child("placebo"))
    assert not isinstance(placebo, Refusal)
    low, high = _interval(real[1] - real[0], mass)
    false_low, false_high = _interval(placebo[1] - placebo[0], mass)
    return Refutation(
        float((real[1] - real[0]).mean()),
        (low, high),
        mass,
        observed.tensor.numel(),
        int((observed.tensor == 0).sum()),
        int(observed.tensor.min()),
        float((placebo[1] - placebo[0]).mean()),
        (false_low, false_high),
        false_low <= 0 <= false_high,
        e_value(float(real[1].mean() / real[0].mean())),
    )


def e_value(risk_ratio: float) -> float:
    """Return the least strength of a confounder that could explain a risk ratio away.

    Parameters
    ----------
    risk_ratio : float
        Above zero; below one it is inverted.

    Returns
    -------
    float
        The risk ratio, >= 1, that the confounder would need with the cause and with the outcome.

    Raises
    ------
    UsageError
        It is not a positive number.

    Examples
    --------
    >>> round(e_value(3.9), 2)  # the example of VanderWeele and Ding
    7.26
    """
    if not (math.isfinite(risk_ratio) and risk_ratio > 0):
        raise UsageError(f"A risk ratio of {risk_ratio} has no E-value. Give a number above zero.")
    ratio = max(risk_ratio, 1 / risk_ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))


def _interval(draws: torch.Tensor, mass: float) -> tuple[float, float]:
    low, high = torch.quantile(draws, torch.tensor([(1 - mass) / 2, (1 + mass) / 2], dtype=draws.dtype)).tolist()
    return low, high


def _shuffled(counts: Table, name: str, seed: Seed) -> Table:
    """Give the units' values of one variable to one another."""
    if float(counts.total) > MOST_UNITS:
        raise UsageError(f"{float(counts.total):.0f} units are too many to shuffle. Thin them to {MOST_UNITS}.")
    cells = counts.tensor.numpy().astype(np.int64)
    rows = np.repeat(np.arange(cells.size), cells.ravel())
    codes = list(np.unravel_index(rows, cells.shape))
    axis = counts.names.index(name)
    codes[axis] = seed.numpy().permutation(codes[axis])
    mixed = np.bincount(np.ravel_multi_index(codes, cells.shape), minlength=cells.size).reshape(cells.shape)
    return Table(counts.names, mixed, (), counts.levels)
