"""The figure of what models know: P(IK) in and out of distribution, P(True) of right and wrong answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from educe.uncertainty import reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(figure: Figure, found: Any, samples: int, longest: int) -> None:
    """Draw calibration of P(IK) and histograms of P(True).

    Parameters
    ----------
    figure : Figure
        Empty.
    found : Found
        What one training seed gave.
    samples : int
        Samples behind each rate.
    longest : int
        Most steps of a question.
    """
    left, middle, right = figure.subplots(1, 3)
    far = found.lengths == longest
    left.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    for place, (p, y, name) in enumerate(
        (
            (found.known, found.rates, "all lengths, trained on all"),
            (found.narrow[far], found.rates[far], f"{longest} steps, trained on one"),
        )
    ):
        table = reliability(p, y)
        bars = 2 * np.sqrt(np.maximum(table.accuracy * (1 - table.accuracy), 1e-4) / (table.counts * samples))
        left.errorbar(table.confidence, table.accuracy, yerr=bars, marker="o", markersize=3, color=f"C{place}")
        left.text(0.04, 0.93 - 0.08 * place, name, color=f"C{place}", fontsize=8)
    left.set_xlim(0, 1)
    left.set_ylim(0, 1)
    left.set_xlabel("P(IK) (bars: 2 standard errors)")
    left.set_title("Share answered right", fontsize=10)
    bins = np.linspace(0, 1, 21)
    for axes, values, name in ((middle, found.alone, "alone"), (right, found.beside, "beside 5 others")):
        for truth, color, label in ((1, "C2", "right"), (0, "C1", "wrong")):
            mine = values[found.right == truth]
            axes.hist(mine, bins=bins, color=color, alpha=0.6, weights=np.full(len(mine), 1 / max(1, len(mine))))
            axes.text(
                0.97, 0.93 - 0.08 * (1 - truth), label, color=color, fontsize=9, ha="right", transform=axes.transAxes
            )
        axes.set_yticks([])
        axes.set_xlabel("P(True)")
        axes.set_title(f"Answers judged {name}", fontsize=10)
    title = "What a model says of its knowledge is calibrated where it was trained, and far off elsewhere"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
