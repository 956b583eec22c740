"""Figure of the particle-scaling report: accuracy against the number of answers in each regime, and one genealogy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#999999", "#56B4E9", "#E69F00", "#009E73", "#D55E00")


def figure(
    figure: Figure,
    *,
    curves: dict[str, dict[int, dict[str, Any]]],
    genealogy: list[list[int]],
    names: Sequence[str],
) -> None:
    """Fill an empty figure; bars are two standard errors."""
    panels = figure.subplots(2, 3)
    for place, (axes, (regime, by_n)) in enumerate(zip(panels.flat, curves.items(), strict=False)):
        _panel(axes, regime, by_n, names, first=place % 3 == 0, low=place >= 2)
    _legend(panels[1][1], names)
    _tree(panels[1][2], genealogy)


def _panel(
    axes: Axes, regime: str, by_n: dict[int, dict[str, Any]], names: Sequence[str], *, first: bool, low: bool
) -> None:
    widths = np.array(list(by_n))
    for number, name in enumerate(names):
        # Side by side, so that bars of equal heights can be told apart.
        places = np.log2(widths) + 0.07 * (number - (len(names) - 1) / 2)
        shares = [by_n[n][name]["accuracy"] for n in widths]
        errors = [2 * by_n[n][name]["error"] for n in widths]
        axes.errorbar(places, shares, errors, marker="o", markersize=4, color=COLOURS[number], linewidth=1.4)
    axes.set_xticks(np.log2(widths), [str(n) for n in widths])
    axes.set_ylim(0.0, 1.04)
    axes.set_title(regime[0].upper() + regime[1:], fontsize=10)
    if first:
        axes.set_ylabel("accuracy (bars: 2 s.e.)")
    if low:
        axes.set_xlabel("answers N")


def _legend(axes: Axes, names: Sequence[str]) -> None:
    axes.axis("off")
    for number, name in enumerate(names):
        axes.plot([0.1, 0.25], [0.85 - 0.15 * number] * 2, marker="o", markersize=4, color=COLOURS[number])
        axes.text(0.32, 0.85 - 0.15 * number, name, va="center", color=COLOURS[number], fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _tree(axes: Axes, genealogy: list[list[int]]) -> None:
    """Lines from parents to offspring; those with living descendants are dark."""
    rounds, size = len(genealogy), len(genealogy[0])
    living = set(range(size))
    kept = [living]
    for parents in reversed(genealogy):
        living = {parents[child] for child in living}
        kept.insert(0, living)
    for step, parents in enumerate(genealogy):
        for child, parent in enumerate(parents):
            dark = child in kept[step + 1]
            axes.plot(
                [step, step + 1],
                [parent, child],
                color="#D55E00" if dark else "#DDDDDD",
                linewidth=1.2,
                zorder=1 + dark,
            )
    axes.set_xlim(-0.2, rounds + 0.2)
    axes.set_xlabel("step")
    axes.set_yticks([])
    axes.grid(False)
    axes.set_title("Whose prefixes survive in one run", fontsize=10)
