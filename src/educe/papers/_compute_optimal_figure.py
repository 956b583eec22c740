"""Figure of the compute-optimal report: accuracy against generations, accuracy by bin, and revisions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#999999", "#E69F00", "#56B4E9", "#CC79A7")
CHOSEN, PREDICTED = "#D55E00", "#009E73"


def figure(
    figure: Figure,
    *,
    curves: dict[str, dict[int, float]],
    chosen: dict[str, dict[int, list[float]]],
    pooled: list[dict[str, Any]],
    names: Sequence[str],
    revised: dict[str, Any] | None,
) -> None:
    """Fill an empty figure; bars of the chosen lines are the spread of the replicates."""
    panels = figure.subplots(1, 3 if revised else 2)
    _curves(panels[0], curves, chosen, names)
    _bins(panels[1], pooled, names)
    if revised:
        _revisions(panels[2], revised)


def _curves(
    axes: Axes, curves: dict[str, dict[int, float]], chosen: dict[str, dict[int, list[float]]], names: Sequence[str]
) -> None:
    for name, colour in zip(names, COLOURS, strict=True):
        axes.plot(np.log2(list(curves[name])), list(curves[name].values()), marker="o", markersize=4, color=colour)
    for how, colour in (("oracle", CHOSEN), ("verifier", PREDICTED)):
        counts = list(chosen[how])
        means = [fmean(chosen[how][n]) for n in counts]
        errors = [stdev(chosen[how][n]) if len(chosen[how][n]) > 1 else 0.0 for n in counts]
        axes.errorbar(np.log2(counts), means, errors, marker="s", markersize=4, color=colour, linewidth=2)
    lines = [*zip(names, COLOURS, strict=True), ("chosen, oracle bins", CHOSEN), ("chosen, predicted bins", PREDICTED)]
    for place, (name, colour) in enumerate(lines):
        axes.text(0.97, 0.05 + 0.065 * place, name, color=colour, fontsize=8, ha="right", transform=axes.transAxes)
    ticks = sorted({n for row in curves.values() for n in row})
    axes.set_xticks(np.log2(ticks), [str(n) for n in ticks])
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.8 * (high - low), high)
    axes.set_xlabel("generations N")
    axes.set_ylabel("accuracy (bars: s.d. of replicates)")
    axes.set_title("All questions", fontsize=10)


def _bins(axes: Axes, pooled: list[dict[str, Any]], names: Sequence[str]) -> None:
    budgets = sorted({row["budget"] for row in pooled})
    middle = budgets[min(1, len(budgets) - 1)]
    rows = [row for row in pooled if row["budget"] == middle]
    for place, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        shares = np.array([row[name] for row in rows])
        errors = np.sqrt(shares * (1 - shares) / np.array([row["questions"] for row in rows]))
        places = np.array([row["bin"] for row in rows]) + 0.2 * (place - 1.5)
        axes.bar(places, shares, 0.19, yerr=errors, color=colour, error_kw={"linewidth": 0.8})
    axes.set_xlabel("difficulty bin (1 easiest)")
    axes.set_title(f"By bin at N = {middle} (bars: 1 s.e.)", fontsize=10)


def _revisions(axes: Axes, revised: dict[str, Any]) -> None:
    count = np.arange(1, len(revised["by position"]) + 1)
    for key, label, colour in (
        ("by position", "the last answer", "#999999"),
        ("chosen from so many", "majority over the chain", CHOSEN),
    ):
        shares = np.array(revised[key])
        errors = np.sqrt(shares * (1 - shares) / revised["questions"])
        axes.errorbar(count, shares, errors, marker="o", markersize=4, color=colour)
        place = 0.95 if colour == CHOSEN else 0.88
        axes.text(0.97, place, label, color=colour, fontsize=8, ha="right", transform=axes.transAxes)
    axes.set_xticks(count)
    axes.set_ylim(0, 1)
    axes.set_xlabel("answers in the chain")
    axes.set_title("Revisions (bars: 1 s.e.)", fontsize=10)
