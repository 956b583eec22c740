"""The figure of the run of RPC: exact errors against samples, accuracy against samples, and a reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from educe.papers.figure import label_line
from educe.reason import reasoning_error
from educe.uncertainty import reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(
    figure: Figure,
    cells: Sequence[Any],
    accuracy: Sequence[dict[str, Any]],
    spread: dict[tuple[str, int], Any],
    replays: dict[tuple[str, int], Any],
    limit: float | None,
    names: dict[str, str],
) -> None:
    """Draw the three panels.

    Parameters
    ----------
    figure : Figure
        Empty.
    cells, accuracy, spread, replays, limit, names
        What the run found.
    """
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.35, 0.9))
    _theory(left, cells)
    ks = [row["K"] for row in accuracy]
    labels = {}
    for place, (how, name) in enumerate(names.items()):
        values = np.array([row[name] for row in accuracy])
        low = np.array([spread[how, k].low for k in ks])
        high = np.array([spread[how, k].high for k in ks])
        shift = 2 ** (0.06 * (place - 1.5))
        middle.errorbar(np.array(ks) * shift, values, yerr=[values - low, high - values], marker="o", color=f"C{place}")
        labels[name] = (values[-1], f"C{place}")
    values = np.array([row["coverage"] for row in accuracy])
    middle.set_xscale("log", base=2)
    middle.set_xticks(ks, [str(k) for k in ks])
    middle.set_xlim(ks[0] / 1.2, ks[-1] * 4.6)
    height = 2.0
    for name, (value, color) in sorted(labels.items(), key=lambda item: -item[1][0]):
        height = min(value, height - 0.022)
        text = name.replace("self-consistency", "votes")
        middle.annotate(text, (ks[-1] * 1.18, height), color=color, va="center", fontsize=9)
    if limit is not None:
        middle.axhline(limit, color="#888888", linewidth=0.8, linestyle=":")
        middle.annotate("all paths\nknown", (ks[-1] * 4.4, limit), ha="right", va="bottom", fontsize=8, color="#666666")
    middle.set_xlabel("samples K (bars: 95 % over questions)")
    middle.set_title("Accuracy", fontsize=10)
    k = ks[-1]
    right.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    for place, how in ((0, "sc"), (3, "rpc")):
        found = reliability(replays[how, k].confidence, replays[how, k].credit, 6, "equal")
        right.errorbar(
            found.confidence, found.accuracy, yerr=[found.accuracy - found.low, found.high - found.accuracy],
            marker="o", markersize=3, color=f"C{place}",
        )  # fmt: skip
    right.text(0.04, 0.93, f"votes, K = {k}", color="C0", fontsize=9)
    right.text(0.04, 0.85, f"RPC, K = {k}", color="C3", fontsize=9)
    right.set_xlim(0, 1)
    right.set_ylim(0, 1)
    right.set_xlabel("stated confidence")
    right.set_title("Right answers", fontsize=10)
    title = "RPC with K samples is ahead of votes with 2K; its error falls exponentially, theirs like 1/n"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _theory(axes: Axes, cells: Sequence[Any]) -> None:
    p, k = max({(cell.p, cell.k) for cell in cells}, key=lambda pair: (pair[0], pair[1] == 3))
    grid = np.arange(1, 65)
    for place, how in ((0, "sc"), (2, "pc")):
        exact = np.array([reasoning_error(p, k, int(n), True, how).estimation for n in grid])
        axes.plot(grid, exact, color=f"C{place}")
        if how == "sc":
            label_line(axes, "votes")
        else:
            # The line leaves the panel before its end.
            axes.text(38, reasoning_error(p, k, 34, True, "pc").estimation, "PC", color=f"C{place}", fontsize=9)
        mine = [cell for cell in cells if (cell.p, cell.k, cell.how, cell.correct) == (p, k, how, True)]
        dots = [cell.simulated - reasoning_error(p, k, cell.n, True, how).model for cell in mine]
        kept = [(cell.n, dot) for cell, dot in zip(mine, dots, strict=True) if dot > 1e-5]
        axes.plot([n for n, _ in kept], [dot for _, dot in kept], "o", color=f"C{place}", markersize=4)
    published = np.array([reasoning_error(p, k, int(n), True, "pc-published").estimation for n in grid])
    axes.plot(grid, published, color="#888888", linestyle="--", linewidth=0.9)
    axes.text(12, published[11] * 1.7, "as printed", color="#666666", fontsize=8)
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 1)
    axes.set_xlim(0, 82)
    axes.set_xlabel(f"samples n (p = {p}, {k} paths; dots: simulated)")
    axes.set_title("Estimation error", fontsize=10)
