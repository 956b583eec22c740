"""The figure of the report on programmable variational inference: draws of two guides, variances of estimators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(figure: Figure, draws: dict[str, dict[str, torch.Tensor]], variances: dict[str, torch.Tensor]) -> None:
    """Draw both panels."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    angle = torch.linspace(0, 2 * math.pi, 200)
    left.plot(math.sqrt(5) * angle.cos(), math.sqrt(5) * angle.sin(), color="#888888", linewidth=0.8)
    for name, color, label, height in (
        ("DIWHVI, n = m = 5", "C0", "angle integrated out (DIWHVI)", 3.75),
        ("ELBO", "C1", "independent normals (ELBO)", 3.25),
    ):
        drawn = draws[name]
        left.plot(drawn["x"], drawn["y"], ".", markersize=3, color=color)
        left.text(-3.9, height, label, color=color, fontsize=9)
    left.set_xlim(-4, 4)
    left.set_ylim(-3.4, 4.3)
    left.set_aspect("equal")
    left.set_title("Draws from two fitted guides, n = 400", fontsize=10)
    names = list(variances)
    width = 0.38
    for k, (entry, label) in enumerate(((0, "by the log-odds of b"), (1, "by the mean of x"))):
        values = [float(variances[name][entry]) for name in names]
        places = [row + (k - 0.5) * width for row in range(len(names))]
        right.barh(places, values, height=width, color=f"C{k + 2}")
        right.text(0.98, 0.94 - 0.06 * k, label, color=f"C{k + 2}", transform=right.transAxes, ha="right", fontsize=9)
    right.set_yticks(range(len(names)), [name.replace(", ", " for b, ") + " for x" for name in names], fontsize=7.5)
    right.set_xscale("log")
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    right.set_xlabel("variance of one gradient estimate (relative s.e. about 1 %)", fontsize=9)
    right.set_title("Twelve pairs of estimators, one gradient", fontsize=10)
    figure.suptitle("Integrating out the angle finds the whole circle", x=0.01, ha="left", fontsize=11,
                    fontweight="bold")  # fmt: skip
