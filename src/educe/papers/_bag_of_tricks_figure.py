"""Figure of the bag-of-tricks report: gains by task, accuracy against tokens, and what two knobs do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from educe.reason.ablation import Ablation
from educe.reason.bench_summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(
    figure: Figure,
    *,
    summary: Summary,
    methods: Mapping[str, str],
    heat: Ablation,
    top_p: Ablation,
    names: Sequence[str],
    title: str,
) -> None:
    """Fill an empty figure; bars are 95 % intervals over problems."""
    (table, spent), (one, two) = figure.subplots(2, 2, width_ratios=(1.25, 1.0), height_ratios=(1.2, 1.0))
    _table(table, summary, methods, names)
    _spent(spent, summary, methods)
    _knob(one, heat, "temperature of the vote")
    _knob(two, top_p, "top-p of the vote")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _table(axes: Axes, summary: Summary, methods: Mapping[str, str], names: Sequence[str]) -> None:
    gains = np.array(
        [[summary.cell(m, t).accuracy - summary.cell("greedy", t).accuracy for t in names] for m in methods.values()]
    )
    axes.imshow(gains, cmap="PuOr", vmin=-0.6, vmax=0.6, aspect="auto")
    for (row, column), gain in np.ndenumerate(gains):
        axes.text(column, row, f"{100 * gain:+.0f}", ha="center", va="center", fontsize=8,
                  color="white" if abs(gain) > 0.4 else "black")  # fmt: skip
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=7)
    axes.set_yticks(range(len(methods)), list(methods), fontsize=8)
    axes.grid(False)
    axes.set_title("Accuracy minus greedy, points", fontsize=10)


def _spent(axes: Axes, summary: Summary, methods: Mapping[str, str]) -> None:
    votes = [summary.cell(method) for method in summary.methods if method.startswith("self-consistency")]
    axes.plot(
        [cell.tokens for cell in votes], [cell.accuracy for cell in votes], color="#888888", marker="o", markersize=3
    )
    axes.annotate("votes of 1 to 8", (votes[1].tokens, votes[1].accuracy), xytext=(4, 8), textcoords="offset points",
                  fontsize=8, color="#666666")  # fmt: skip
    others = [(name, summary.cell(method)) for name, method in methods.items() if method not in summary.methods[:5]]
    others = sorted(
        ((name, cell) for name, cell in others if cell.method != votes[-1].method), key=lambda o: o[1].accuracy
    )
    below = -1.0
    for place, (name, cell) in enumerate(others):
        bars = [[cell.accuracy - cell.low], [cell.high - cell.accuracy]]
        axes.errorbar(cell.tokens, cell.accuracy, bars, fmt="o", color=f"C{place}")
        # Names are kept apart, for points of nearly the same height.
        below = max(cell.accuracy, below + 0.03)
        axes.annotate(name, (cell.tokens, below), xytext=(6, -3), textcoords="offset points", fontsize=8,
                      color=f"C{place}")  # fmt: skip
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 2.0)
    axes.set_xlabel("tokens drawn for each question")
    axes.set_title("Accuracy, mean of the tasks", fontsize=10)


def _knob(axes: Axes, ablation: Ablation, label: str) -> None:
    values = [float(setting.value) for setting in ablation.settings]
    for number, task in enumerate(ablation.settings[0].tasks):
        axes.plot(values, [setting.tasks[task] for setting in ablation.settings], color="#cccccc", linewidth=0.9)
        if number == 0:
            axes.annotate("each task", (values[0], ablation.settings[0].tasks[task]), xytext=(0, 4), fontsize=8,
                          textcoords="offset points", color="#888888")  # fmt: skip
    means: list[Any] = [setting.accuracy for setting in ablation.settings]
    bars = [[m.value - m.low for m in means], [m.high - m.value for m in means]]
    axes.errorbar(values, [m.value for m in means], bars, marker="o", color="C0")
    axes.set_ylim(0, 1.02)
    axes.set_xticks(values)
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy (bars: 95 %)")
