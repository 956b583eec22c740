"""Causal effects from a graph and data, with the uncertainty of the data.

`do` asks whether the effect is identified (`educe.causal.identify`), and computes it: from a law exactly, from counts
with credible intervals. Counts get a Dirichlet posterior with `alpha` pseudo-counts per cell (one in all, spread
evenly, unless told otherwise), and every draw of the law is pushed through the same formula (Jacobs, Kissinger and
Zanasi, 2019, arXiv:1811.08338, for the formula; the posterior is our addition).

Intervals cover the uncertainty of sampling only. That the graph is right is an assumption that no interval covers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import torch

from educe.causal.graph import as_dag
from educe.causal.identification import identify
from educe.causal.mixed import Admg
from educe.causal.table import Table, as_table
from educe.core import Ledger, Posterior, Refusal, Seed, UsageError

__all__ = ["adjust", "do", "do_draws"]

DEFAULT_DRAWS = 400
# Below this the cells of a Dirichlet draw of a table with thousands of cells would be zero in float64.
SMALLEST = 1e-290


def do(
    data: Any,
    edges: Any,
    hidden: str | Iterable[str] = (),
    *,
    do: Mapping[str, Any],
    of: str | Iterable[str],
    draws: int | None = None,
    alpha: float | None = None,
    mass: float = 0.9,
    seed: int | Seed = 0,
) -> Posterior[Any] | Refusal:
    """Compute the law of an outcome under intervention.

    Parameters
    ----------
    data : Table, DataFrame, DataArray or mapping of columns
        An observed law, counts, or one row per observation; see `as_table`. Columns that are not in the graph are
        summed out.
    edges : Dag, networkx.DiGraph, iterable of (parent, child), or Admg
        The causal graph.
    hidden : str or iterable of str
        Its vertices that the data do not have.
    do : mapping of str to object
        Values to set, by vertex.
    of : str or iterable of str
        The outcome, or several.
    draws : int, optional
        Draws from the posterior of the law; 400 for counts when left out, none for an exact law.
    alpha : float, optional
        Prior pseudo-count per cell; one over the number of cells when left out.
    mass : float
        Probability inside the intervals, in (0, 1).
    seed : int or Seed
        Source of the draws.

    Returns
    -------
    Posterior or Refusal
        Over the outcome's values (tuples for several). ``details["intervals"]`` lists ``[low, high]`` for the
        probability of each value, ``details["formula"]`` is the estimand, ``details["overlap"]`` counts the cells of
        the observed table, the empty ones (filled by the prior alone), the fewest units in a cell, and the units that
        had the value by themselves. A refusal says which hidden tie makes the
        effect impossible to know from these data.

    Raises
    ------
    UsageError
        The data lack a vertex or are no law and no counts, or a value is unknown.

    Examples
    --------
    >>> graph = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]
    >>> law = Table(("S", "T", "C"), [[[0.5, 0.1], [0.01, 0.02]], [[0.1, 0.05], [0.02, 0.2]]])
    >>> answer = do(law, graph, hidden=["H"], do={"S": 1}, of="C")
    >>> round(answer.probability(lambda c: c == 1), 4)
    0.5423
    """
    start = time.perf_counter()
    outcomes = (of,) if isinstance(of, str) else tuple(of)
    table = as_table(data)
    for name, value in do.items():
        table.index(name, value)
    exact = _is_exact(table)
    wanted = _number_of_draws(draws, exact)
    answer = _effect(table, edges, hidden, tuple(do), outcomes, wanted, alpha, exact, seed)
    if isinstance(answer, Refusal):
        return answer
    effect, formula, observed = answer
    law = effect.fixed(do)
    values = [tuple(v) for v in product(*(law.levels[name] for name in law.names))]
    flat = law.tensor.reshape(-1, len(values)) if law.batched else law.tensor.reshape(1, -1)
    details: dict[str, Any] = {"formula": formula, "draws": wanted, "exact": exact}
    if not exact:
        units = observed.tensor
        details["overlap"] = {
            "cells": units.numel(),
            "empty": int((units == 0).sum()),
            "fewest": int(units.min()),
            "units with the value": int(observed.marginal(*do).fixed(do).tensor),
        }
    if wanted:
        tails = torch.tensor([(1 - mass) / 2, (1 + mass) / 2], dtype=torch.float64)
        if not 0 < mass < 1:
            raise UsageError(f"mass={mass} is no probability strictly between 0 and 1. Give for instance 0.9.")
        details |= {"mass": mass, "intervals": torch.quantile(flat, tails, dim=0).T.tolist()}
    ledger = Ledger(
        flops=float(max(1, wanted) * table.tensor.numel() * len(table.names)), seconds=time.perf_counter() - start
    )
    return Posterior(
        [value[0] for value in values] if isinstance(of, str) else values,
        flat.mean(0).log(),
        ledger=ledger,
        details=details,
    )


def do_draws(
    data: Any,
    edges: Any,
    hidden: str | Iterable[str] = (),
    *,
    do: str | Iterable[str],
    of: str | Iterable[str],
    draws: int = DEFAULT_DRAWS,
    alpha: float | None = None,
    seed: int | Seed = 0,
) -> Posterior[Any] | Refusal:
    """Draw whole effect tables from their posterior, to ask about differences and ratios.

    Parameters
    ----------
    data, edges, hidden
        As in `do`; the data must be counts or observations.
    do : str or iterable of str
        What is acted on; all its values are kept.
    of : str or iterable of str
        The outcomes.
    draws : int
        How many, >= 1.
    alpha : float, optional
        As in `do`.
    seed : int or Seed
        Source of the draws.

    Returns
    -------
    Posterior or Refusal
        Over mappings with one entry ``"effect"``: a tensor with an axis per vertex in `do`, then per outcome.
        ``details["names"]`` and ``details["levels"]`` name them.

    Raises
    ------
    UsageError
        As in `do`, or the data are an exact law.

    Examples
    --------
    >>> trial = {"A": [0] * 50 + [1] * 50, "B": [0] * 40 + [1] * 20 + [0] * 10 + [1] * 30}
    >>> drawn = do_draws(trial, [("A", "B")], do="A", of="B", draws=200)
    >>> low, high, _ = drawn.interval(lambda d: d["effect"][1, 1] - d["effect"][0, 1], 0.9)
    >>> 0.4 < low < 0.6 < high < 0.8
    True
    """
    start = time.perf_counter()
    if draws < 1:
        raise UsageError(f"draws={draws} leaves nothing to return. Give draws >= 1.")
    table = as_table(data)
    if _is_exact(table):
        raise UsageError("An exact law has no posterior to draw from. Give counts, or ask `do` for the one answer.")
    acted = (do,) if isinstance(do, str) else tuple(do)
    outcomes = (of,) if isinstance(of, str) else tuple(of)
    answer = _effect(table, edges, hidden, acted, outcomes, draws, alpha, False, seed)
    if isinstance(answer, Refusal):
        return answer
    effect, formula, _ = answer
    details = {
        "formula": formula,
        "names": list(effect.names),
        "levels": {name: list(levels) for name, levels in effect.levels.items()},
    }
    ledger = Ledger(flops=float(draws * table.tensor.numel() * len(table.names)), seconds=time.perf_counter() - start)
    return Posterior({"effect": effect.tensor}, torch.zeros(draws), ledger=ledger, details=details)


def adjust(data: Any, *, do: str, of: str, by: Iterable[str] = ()) -> Table:
    """Adjust for covariates: sum_z P(y | x, z) P(z), Pearl's back-door formula.

    The plain formula, for comparison; whether the covariates close every back door is not checked.

    Parameters
    ----------
    data : Table, DataFrame or mapping
        A law or counts; see `as_table`.
    do, of : str
        Cause and outcome.
    by : iterable of str
        Covariates; without any this is plain conditioning.

    Returns
    -------
    Table
        The adjusted law of `of` given `do`.

    Raises
    ------
    UsageError
        A variable is unknown, or some values of cause and covariates never occur together.

    Examples
    --------
    >>> law = Table(("S", "T", "C"), [[[0.5, 0.1], [0.01, 0.02]], [[0.1, 0.05], [0.02, 0.2]]])
    >>> [round(p, 3) for p in adjust(law, do="S", of="C").tensor[:, 1].tolist()]
    [0.19, 0.676]
    """
    covariates = tuple(by)
    law = as_table(data).normalised()
    channel = law.condition(of, (do, *covariates))
    if not covariates:
        return channel
    whole = channel * law.marginal(*covariates)
    return Table(whole.names, whole.tensor, (do,), whole.levels).marginal(do, of)


def _is_exact(table: Table) -> bool:
    if table.batched:
        raise UsageError("The table has batch axes. Give one law, or use identify(...).apply for a batch.")
    if table.given:
        raise UsageError(
            f"The table is a law given {list(table.given)}. Give the joint law or counts of all variables."
        )
    if table.is_law:
        return True
    if bool((table.tensor != table.tensor.round()).any()):
        raise UsageError(
            f"The table sums to {float(table.total):.6g} and is not made of whole numbers. "
            "Give probabilities that sum to one, or counts."
        )
    return False


def _number_of_draws(draws: int | None, exact: bool) -> int:
    if draws is None:
        return 0 if exact else DEFAULT_DRAWS
    if draws < 0:
        raise UsageError(f"draws={draws} is negative. Give draws >= 0.")
    if draws and exact:
        raise UsageError("An exact law has no posterior to draw from. Give counts, or leave draws out.")
    return draws


def _effect(
    table: Table,
    edges: Any,
    hidden: str | Iterable[str],
    acted: tuple[str, ...],
    outcomes: tuple[str, ...],
    draws: int,
    alpha: float | None,
    exact: bool,
    seed: int | Seed,
) -> tuple[Table, str, Table] | Refusal:
    unseen = (hidden,) if isinstance(hidden, str) else tuple(hidden)
    graph = edges if isinstance(edges, Admg) else as_dag(edges).project(unseen)
    missing = [name for name in graph.vertices if name not in table.names]
    if missing:
        raise UsageError(
            f"The data have no column for {missing}. Add them, or declare them hidden, which asks for less."
        )
    plan = identify(graph, do=acted, of=outcomes)
    if isinstance(plan, Refusal):
        return plan
    observed = table.marginal(*graph.vertices)
    law = observed if exact else _posterior_draws(observed, draws, alpha, seed)
    return plan.apply(law), plan.formula, observed


def _posterior_draws(counts: Table, draws: int, alpha: float | None, seed: int | Seed) -> Table:
    prior = 1.0 / math.prod(counts.tensor.shape) if alpha is None else alpha
    if not (math.isfinite(prior) and prior > 0):
        raise UsageError(f"alpha={alpha} is no prior count. Give a number above zero.")
    shape = counts.tensor + prior
    if not draws:
        return Table(counts.names, shape / shape.sum(), (), counts.levels)
    generator = Seed.of(seed).child("do", "dirichlet").numpy()
    gammas = torch.as_tensor(generator.standard_gamma(shape.numpy(), size=(draws, *shape.shape)))
    return Table(counts.names, gammas.clamp(min=SMALLEST), (), counts.levels).normalised()
