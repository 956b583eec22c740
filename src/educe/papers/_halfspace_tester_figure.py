"""The figure and the summary table of the halfspace tester-learner's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot", "summary"]


def summary(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each law and noise."""
    rows = []
    for law, noise in dict.fromkeys((cell["law"], cell["noise"]) for cell in cells):
        group = [cell for cell in cells if cell["law"] == law and cell["noise"] == noise]
        bounds = [cell["certified excess"] for cell in group if cell["accepted"]]
        reasons = sorted({cell["reason"] for cell in group if cell["reason"]})
        rows.append(
            {
                "law": law,
                "noise": noise,
                "runs": len(group),
                "accepted": len(bounds),
                "true excess mean": float(np.mean([cell["true excess"] for cell in group])),
                "true excess worst": max(cell["true excess"] for cell in group),
                "certified excess mean": float(np.mean(bounds)) if bounds else None,
                "certified excess worst": max(bounds) if bounds else None,
                "logistic excess": group[0]["logistic excess"],
                "perceptron excess": group[0]["perceptron excess"],
                "label-blind tester accepts": group[0]["moments accept"],
                "seconds mean": float(np.mean([cell["seconds"] for cell in group])),
                "reason": reasons[0] if reasons else "",
            }
        )
    return rows


def plot(figure: Figure, rows: list[dict[str, Any]], growth: list[dict[str, Any]]) -> None:
    """Draw certificates over the truth for each law, and the certificate against n."""
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    laws = list(dict.fromkeys(row["law"] for row in rows))
    colours = {"massart": "C0", "adversarial": "C1"}
    top = 0.37
    for row in rows:
        place = laws.index(row["law"]) + (-0.2 if row["noise"] == "massart" else 0.2)
        colour = colours[row["noise"]]
        if row["accepted"]:
            low = row["certified excess worst"] - row["certified excess mean"]
            left.bar(
                place, row["certified excess mean"], 0.36, color=colour, alpha=0.35, yerr=[[0], [low]], ecolor=colour
            )
            if row["accepted"] < row["runs"]:
                label = f"{row['accepted']} of {row['runs']}"
                height = row["certified excess worst"] + 0.006
                left.text(place, height, label, ha="center", fontsize=7, color=colour)
        else:
            left.bar(place, top, 0.36, facecolor="none", edgecolor=colour, alpha=0.35, hatch="///", linewidth=0)
        left.plot(place, row["true excess worst"], "o", color=colour, markersize=5)
    left.set_xticks(range(len(laws)), laws, rotation=30, ha="right")
    left.set(ylabel="excess error", ylim=(-0.008, top))
    left.grid(axis="x", visible=False)
    left.set_title("Where the learner errs, it was rejected")
    left.text(-0.4, 0.345, "Massart noise 20 %", color="C0", fontsize=9)
    left.text(-0.4, 0.322, "adversarial noise 3 %", color="C1", fontsize=9)
    left.text(-0.4, 0.265, "bar: certified, mean to worst\nhatched: all rejected\ndot: worst true excess", fontsize=8)
    for row in growth:
        right.plot([row["n"]] * len(row["bounds"]), row["bounds"], "o", color="C0", alpha=0.6, markeredgewidth=0)
        if len(row["bounds"]) < row["runs"]:
            refused = f"{row['runs'] - len(row['bounds'])} of {row['runs']}\nrefused"
            right.text(row["n"], 1.3, refused, ha="center", va="bottom", fontsize=6.5, color="0.4")
    sizes = np.array([row["n"] for row in growth])
    truths = [row["true excess mean"] for row in growth]
    right.plot(sizes, truths, marker="o", color="C2")
    right.set(xscale="log", yscale="log", xlabel="points n; sigma falls as $n^{-1/3}$", ylim=(1e-4, 4))
    right.set_xlim(sizes[0] * 0.65, sizes[-1] * 1.5)
    right.set_xticks(sizes, [f"$2^{{{round(np.log2(size))}}}$" for size in sizes])
    right.minorticks_off()
    right.text(sizes[0], truths[0] * 1.5, "true excess", color="C2", fontsize=9)
    known = [row for row in growth if row["bounds"]]
    if known:
        bound = float(np.mean(known[-1]["bounds"]))
        guide = 0.55 * bound * (sizes / sizes[-1]) ** (-1 / 3)
        right.plot(sizes, guide, color="0.6", linewidth=1, linestyle="--")
        right.text(sizes[0], guide[0] * 0.6, "slope -1/3", color="0.5", fontsize=9)
        right.text(sizes[0], 0.3, "certified, each run", color="C0", fontsize=9)
    right.set_title("More points, tighter certificate")
