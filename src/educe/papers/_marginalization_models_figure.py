"""The figure of the report on marginalization models: predicted against exact marginals, and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from educe.papers.figure import label_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(
    figure: Figure, queries: tuple[torch.Tensor, torch.Tensor, torch.Tensor], times: dict[int, dict[str, float]]
) -> None:
    """Draw both panels."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    mine, exact, size = queries
    low = float(exact.min()) - 0.3
    left.plot([low, 0.3], [low, 0.3], color="#888888", linewidth=0.8)
    points = left.scatter(exact, mine, c=size, s=9, cmap="viridis")
    figure.colorbar(points, ax=left, label="variables known")
    left.set_xlabel("exact log-marginal, nats")
    left.set_ylabel("marginal model")
    left.set_title(f"{len(mine)} random marginals of a 3 x 3 Ising model", fontsize=10)
    counts = list(times)
    for name, label in (("autoregressive, one order", "one order"), ("marginal model", "marginal model")):
        right.plot(counts, [1e3 * times[d][name] for d in counts], marker="o")
        label_line(right, label)
    right.set_xscale("log", base=2)
    right.set_yscale("log")
    right.set_xticks(counts, [str(d) for d in counts])
    right.set_xlim(counts[0] * 0.85, counts[-1] * 3.2)
    right.set_xlabel("variables")
    right.set_ylabel("ms for 16 marginals (median)")
    right.set_title("Time of marginals, one pass against one order", fontsize=10)
    title = "One network call gives any marginal; an autoregressive model needs one for each variable"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
