"""The figure of the report on attention bottlenecks: the graph found, likelihood by data, attention by objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from educe.papers._consciousness_prior_worlds import CONCEPTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(figure: Figure, runs: list[dict[str, Any]], rows: dict[int, list[dict[str, float]]]) -> None:
    """Draw the three panels."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.1, 1.1))
    truth, found = runs[0]["truth"], runs[0]["found"]
    for edges, marker, color, size in ((truth, "s", "#bbbbbb", 60), (found, "o", "C0", 18)):
        left.scatter([p for _, p in edges], [t for t, _ in edges], marker=marker, color=color, s=size)
    left.set_xlim(-0.7, CONCEPTS + 0.5)
    left.set_ylim(CONCEPTS - 0.3, -0.7)
    left.set_xlabel("explaining element")
    left.set_ylabel("concept explained")
    left.set_title("Found (dots) and true (squares)", fontsize=10)
    counts = list(rows)
    for k, (name, label) in enumerate((("bottleneck", "bottleneck"), ("dense", "dense network"))):
        values = np.array([[item[name] for item in rows[n]] for n in counts])
        bars = [values.mean(1) - values.min(1), values.max(1) - values.mean(1)]
        middle.errorbar(counts, values.mean(1), yerr=bars, marker="o", color=f"C{k}")
        middle.annotate(label, (counts[0], values[0].max()), xytext=(4, 8), textcoords="offset points", color=f"C{k}")
    middle.axhline(0.2788, color="#888888", linewidth=0.8)
    middle.text(counts[-1], 0.270, "Bayes-optimal", color="#666666", fontsize=8, ha="right", va="top")
    middle.set_xscale("log")
    middle.set_xticks(counts, [str(n) for n in counts])
    middle.minorticks_off()
    middle.set_ylim(0.22, 0.62)
    middle.set_xlabel("transitions (bars: range of seeds)")
    middle.set_title("Negative log-likelihood, nats", fontsize=10)
    groups = {"concepts": slice(0, CONCEPTS), "coins": slice(CONCEPTS, -4), "near-\nconstants": slice(-4, None)}
    for k, (name, label) in enumerate((("information", "information"), ("accuracy", "accuracy only"))):
        shares = np.array([[float(run["weights"][name][part].sum()) for part in groups.values()] for run in runs])
        places = np.arange(3) + 0.38 * (k - 0.5)
        spread = [shares.mean(0) - shares.min(0), shares.max(0) - shares.mean(0)]
        right.bar(places, shares.mean(0), 0.36, yerr=spread, color=f"C{k}")
        right.text(0.98, 0.93 - 0.08 * k, label, color=f"C{k}", transform=right.transAxes, ha="right")
    right.set_xticks(range(3), list(groups))
    right.set_ylim(0, 1.25)
    right.grid(axis="x", visible=False)
    right.set_title("Attention to targets", fontsize=10)
    title = "A bottleneck finds which few variables explain which, from few transitions"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
