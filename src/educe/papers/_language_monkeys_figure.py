"""The figure of repeated sampling: coverage and selectors against samples, rates of problems, exact mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from educe.papers.figure import label_line
from educe.reason import CoverageLaw, Curve, fit_coverage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(
    figure: Figure,
    curve: Curve,
    law: CoverageLaw,
    points: Sequence[int],
    selectors: Mapping[str, Any],
    rates: Any,
    exact: Mapping[Any, Any],
) -> None:
    """Draw both panels.

    Parameters
    ----------
    figure : Figure
        Empty.
    curve, law, points, selectors, rates, exact
        What the run found.
    """
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
    left.fill_between(curve.ks, curve.low, curve.high, color="C0", alpha=0.2, linewidth=0)
    left.plot(curve.ks, curve.mean, color="C0")
    label_line(left, "coverage")
    left.plot(curve.ks, law.predict(curve.ks), color="#444444", linestyle="--", linewidth=0.9)
    left.annotate(
        f"exp({law.parameters[0]:.2g} k^{law.parameters[1]:.2g})", (curve.ks[-1], float(law.predict(curve.ks[-1]))),
        xytext=(5, -13), textcoords="offset points", fontsize=8, color="#444444", va="center",
    )  # fmt: skip
    ends = sorted(((float(values[-1]), how, place) for place, (how, values) in enumerate(selectors.items(), 1)))
    height = -1.0
    for value, how, place in ends:
        left.plot(points, selectors[how], marker="o", markersize=3, color=f"C{place}")
        height = max(value, height + 0.05)
        name = {"majority": "majority", "best": "best by reward", "weighted": "weighted vote"}[how]
        left.annotate(name, (points[-1], height), xytext=(5, 0), textcoords="offset points", color=f"C{place}",
                      va="center", fontsize=9)  # fmt: skip
    left.set_xscale("log")
    left.set_xlim(1, points[-1] * 6)
    left.set_ylim(0, 1)
    left.set_xlabel("samples (band: 95 % over problems)")
    left.set_title("Share of problems solved", fontsize=10)
    inset = left.inset_axes((0.08, 0.62, 0.3, 0.3))
    inset.hist(rates, bins=np.linspace(0, max(0.05, float(np.max(rates))), 25), color="C0")
    inset.tick_params(labelsize=7)
    inset.set_title("rates of the problems", fontsize=8)
    grid = np.unique(np.geomspace(1, 10_000, 40).round().astype(int))
    for place, (key, values) in enumerate((key, exact[key]) for key in ((0.15, 1.0), (0.3, 3.0), 0.002)):
        right.plot(grid, values, color=f"C{place + 4}")
        middle = {0: 25, 1: 12, 2: 24}[place]
        text = f"rates Beta({key[0]:g}, {key[1]:g})" if isinstance(key, tuple) else f"all rates {key:g}"
        below = {0: -0.085, 1: 0.05, 2: -0.02}[place]
        right.annotate(text, (grid[middle], values[middle] + below), color=f"C{place + 4}", fontsize=8)
        right.plot(grid, fit_coverage(grid, values).predict(grid), color="#444444", linestyle="--", linewidth=0.9)
    right.set_xscale("log")
    right.set_ylim(0, 1)
    right.set_xlabel("samples (dashed: fits)")
    right.set_title("The law fits spread-out rates, not even ones", fontsize=10)
    title = "Coverage climbs long after every selector has stopped"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
