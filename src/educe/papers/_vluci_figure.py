"""The figure of the VLUCI reproduction: errors by strength, inferred against true confounder, wrong assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]

EMPHASISED = "VLUCI + TARNet"


def plot(
    figure: Figure,
    rows: Sequence[dict[str, Any]],
    wrong: Sequence[dict[str, Any]],
    shown: dict[str, Any],
    methods: Sequence[str],
) -> None:
    """Fill the figure."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 0.9, 1.1))
    _errors(left, rows, methods)
    for arm, color in ((0, "C2"), (1, "C3")):
        chosen = shown["t"] == arm
        middle.plot(shown["true"][chosen], shown["inferred"][chosen], ".", color=color, markersize=2, alpha=0.5)
        middle.text(0.04, 0.97 - 0.08 * arm, ("untreated", "treated")[arm], transform=middle.transAxes, color=color,
                    fontsize=8, va="top")  # fmt: skip
    middle.axline((0, 0), slope=1, color="black", linewidth=0.8)
    middle.set_xlabel("true confounder")
    middle.set_ylabel("posterior mean")
    middle.set_title(f"Inferred, strength {rows[-1]['strength']}", fontsize=10)
    _wrong(right, wrong)
    title = "An inferred confounder repairs effects under confounding and does harm without it (bars: range)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _errors(axes: Axes, rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    strengths = np.array(list(dict.fromkeys(row["strength"] for row in rows)))
    # The style has seven colours; the crudest of eight methods is grey.
    colors = {name: "grey" if k == 0 else f"C{k - 1}" for k, name in enumerate(methods)}
    ends: dict[str, float] = {}
    for k, name in enumerate(methods):
        values = [[row["pehe"] for row in rows if (row["strength"], row["method"]) == (s, name)] for s in strengths]
        means = np.array([np.mean(item) for item in values])
        spread = [means - [min(item) for item in values], [max(item) for item in values] - means]
        look: dict[str, Any] = {"lw": 2.2, "markersize": 4} if name == EMPHASISED else {"lw": 1.0, "markersize": 2.5}
        axes.errorbar(strengths + (k - 4) * 0.012, means, yerr=spread, color=colors[name], marker="o", **look)
        ends[name] = float(means[-1])
    low = 0.7 * min(row["pehe"] for row in rows if row["method"] in methods)
    high = 1.4 * max(row["pehe"] for row in rows if row["method"] in methods)
    # On a logarithmic axis labels keep apart by a factor.
    gap = (high / low) ** 0.055
    heights = np.array(sorted(ends.values()))
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] * gap)
    for height, name in zip(heights, sorted(ends, key=lambda item: ends[item]), strict=True):
        axes.annotate(name, (strengths[-1], height), xytext=(9, 0), textcoords="offset points", va="center",
                      color=colors[name], fontsize=8)  # fmt: skip
    axes.set_xlim(strengths[0] - 0.1, strengths[-1] * 1.75)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    marks = [mark for mark in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= mark <= high]
    axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
    axes.minorticks_off()
    axes.set_xticks(strengths)
    axes.set_xlabel("strength of the hidden confounder")
    axes.set_title("Error of individual effects (root PEHE)", fontsize=10)


def _wrong(axes: Axes, wrong: Sequence[dict[str, Any]]) -> None:
    laws = list(dict.fromkeys(row["confounder"] for row in wrong))
    methods = list(dict.fromkeys(row["method"] for row in wrong))
    for k, name in enumerate(methods):
        color = "C4" if name == EMPHASISED else "C0"
        for i, law in enumerate(laws):
            values = [row["pehe"] for row in wrong if (row["confounder"], row["method"]) == (law, name)]
            mean = float(np.mean(values))
            spread = [[mean - min(values)], [max(values) - mean]]
            axes.errorbar([mean], [i + 0.12 * (2 * k - 1)], xerr=spread, color=color, marker="o", markersize=4)
        axes.text(
            0.97, 0.985 - 0.065 * k, name, transform=axes.transAxes, color=color, fontsize=8, ha="right", va="top"
        )
    axes.set_yticks(range(len(laws)), laws)
    axes.set_ylim(len(laws) - 0.5, -1.2)
    axes.set_xlim(left=0)
    axes.set_xlabel("root PEHE")
    axes.set_title("Confounder of another kind", fontsize=10)
