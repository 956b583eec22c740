"""The figure of the pretraining report: risk against m, against n, and who wins where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(
    figure: Figure,
    rows_m: list[dict[str, Any]],
    rows_n: list[dict[str, Any]],
    supervised: list[dict[str, Any]],
    grid: list[dict[str, Any]],
    limit: float,
) -> None:
    """Draw excess risk against m and n with the theory's lines, and the map of the winner."""
    left, middle, right = figure.subplots(1, 3)
    m = np.array([row["m"] for row in rows_m])
    above = np.array([row["above floor"] for row in rows_m])
    left.errorbar(m, above, yerr=[2 * row["standard error"] for row in rows_m], marker="o", color="C0")
    left.plot(m, above[0] * m[0] / m, color="0.6", linestyle="--", linewidth=1)
    left.plot(m, above[0] * np.sqrt(m[0] / m), color="0.6", linestyle=":", linewidth=1)
    left.text(m[0], above[0] * 0.06, "dashed: 1/m", color="0.5", fontsize=9)
    left.text(
        m[-1], above[0] * np.sqrt(m[0] / m[-1]) * 1.25, "$m^{-1/2}$, the bound", color="0.5", fontsize=9, ha="right"
    )
    left.set(xscale="log", yscale="log", xlabel="unlabelled points m", ylabel="excess risk above floor (2 s.e.)")
    left.set_title("Falls as 1/m")

    n = np.array([row["n"] for row in rows_n])
    middle.plot(n, limit / n, color="0.6", linestyle="--", linewidth=1)
    for rows, key, error, colour, label in (
        (rows_n, "excess", "standard error", "C0", "pretrained"),
        (supervised, "ridge", "ridge standard error", "C1", "ridge (oracle)"),
        (supervised, "least squares", "least squares standard error", "C2", "least squares"),
    ):
        shown = [row for row in rows if row[key] is not None]
        if not shown:
            continue
        x, y = [row["n"] for row in shown], [row[key] for row in shown]
        middle.errorbar(x, y, yerr=[2 * row[error] for row in shown], marker="o", color=colour, label=label)
    middle.text(n[0], limit / n[-1] * 1.3, "dashed: r v / n", color="0.5", fontsize=9)
    middle.legend(fontsize=8, loc="upper right", handlelength=1.2)
    middle.set(xscale="log", yscale="log", xlabel="labels n", ylabel="excess risk (2 s.e.)")
    middle.set_title("Worth many labels")

    ms, ns = sorted({row["m"] for row in grid}), sorted({row["n"] for row in grid})
    ratio = np.zeros((len(ms), len(ns)))
    for row in grid:
        ratio[ms.index(row["m"]), ns.index(row["n"])] = np.log10(row["ridge"] / row["pretrained"])
    # Blue where pretraining wins, orange where ridge does, white where they tie.
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("winner", ["#D55E00", "#ffffff", "#0072B2"])
    right.imshow(ratio, origin="lower", aspect="auto", cmap=colours, vmin=-1.2, vmax=1.2)
    for i in range(len(ms)):
        for j in range(len(ns)):
            right.text(j, i, f"{10 ** ratio[i, j]:.2g}", ha="center", va="center", fontsize=7)
    right.set_xticks(range(len(ns)), [str(size) for size in ns], rotation=60, fontsize=8)
    right.set_yticks(range(len(ms)), [str(size) for size in ms], fontsize=8)
    right.set(xlabel="labels n; cells: ridge / pretrained", ylabel="unlabelled points m")
    right.grid(visible=False)
    right.set_title("Ridge wins where m is small")
