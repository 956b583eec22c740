"""The figure of `dynamic_connectome`: one row per motif with time course, animals and sorted adjacency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_motifs"]

COLOURS = ("#0072B2", "#D55E00", "#009E73")


def draw_motifs(figure: Figure, recording: Any, found: Any, chosen: list[int], scores: dict[str, list[float]]) -> None:
    """Fill the figure.

    Parameters
    ----------
    figure : Figure
        Empty.
    recording : SimulatedRecording
        With the true windows, animals and communities.
    found : DynamicConnectome
        Of that recording.
    chosen : list of int
        The motif that was matched to each window.
    scores : dict of str to list of float
        Mean NMI per seed by method.
    """
    rows = len(chosen)
    grid = figure.add_gridspec(rows, 4, width_ratios=(1.5, 0.85, 0.95, 1.35))
    for row, number in enumerate(chosen):
        motif, colour = found.motifs[number], COLOURS[row % len(COLOURS)]
        _time(figure.add_subplot(grid[row, 0]), found.frames, motif, recording.windows[row], colour, row, rows)
        _animals(figure.add_subplot(grid[row, 1]), motif, recording.present[row], colour, row, rows)
        _adjacency(figure.add_subplot(grid[row, 2]), motif, recording.labels[row], row)
    _scores(figure.add_subplot(grid[:, 3]), scores)


def _time(axes: Axes, frames: Any, motif: Any, window: tuple[int, int], colour: str, row: int, rows: int) -> None:
    axes.axvspan(*window, color="#dddddd", linewidth=0)
    axes.fill_between(frames, motif.time, color=colour, alpha=0.35, linewidth=0)
    axes.plot(frames, motif.time, color=colour, linewidth=1.2)
    axes.set_ylim(0, float(motif.time.max()) * 1.08)
    axes.set_xlim(0, int(frames[-1]))
    axes.set_yticks([])
    axes.grid(False)
    axes.set_ylabel(f"motif {row + 1}")
    if row == 0:
        axes.set_title("Active when? (grey: true window)", fontsize=9)
    if row == rows - 1:
        axes.set_xlabel("frame")
    else:
        axes.set_xticklabels([])


def _animals(axes: Axes, motif: Any, present: Any, colour: str, row: int, rows: int) -> None:
    for animal, (loading, here) in enumerate(zip(motif.animals, present, strict=True)):
        axes.bar(animal + 1, loading, width=0.7, color=colour if here else "white", edgecolor=colour, linewidth=1.0)
    axes.set_yticks([])
    axes.set_xticks(range(1, len(motif.animals) + 1))
    axes.grid(False)
    if row == 0:
        axes.set_title("In which animals?", fontsize=9)
    if row == rows - 1:
        axes.set_xlabel("animal (open: truly silent)")


def _adjacency(axes: Axes, motif: Any, truth: Any, row: int) -> None:
    # Neurons sorted by true community, found blocks drawn along the side: a wrong one breaks the bar.
    order = np.lexsort((np.array(motif.blocks), np.where(truth == 0, 9, truth)))
    image = motif.adjacency[np.ix_(order, order)]
    axes.imshow(image, cmap="Greys", vmin=0, vmax=float(np.percentile(image, 98)), interpolation="nearest")
    sides = np.array(motif.blocks)[order]
    size = len(order)
    palette = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#000000")
    names = {block: palette[i % len(palette)] for i, block in enumerate(dict.fromkeys(sides.tolist()))}
    for place, block in enumerate(sides.tolist()):
        axes.add_patch(_box(axes, (-2.6, place - 0.5), 1.6, names[block]))
    for edge in np.flatnonzero(np.diff(truth[order])) + 0.5:
        axes.axhline(edge, color="#D55E00", linewidth=0.8)
        axes.axvline(edge, color="#D55E00", linewidth=0.8)
    axes.set_xlim(-2.8, size - 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if row == 0:
        axes.set_title("Who? (bar: block)", fontsize=9)


def _box(axes: Axes, corner: tuple[float, float], width: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, 1.0, facecolor=colour, edgecolor="none", clip_on=False)


def _scores(axes: Axes, scores: dict[str, list[float]]) -> None:
    names = sorted(scores, key=lambda name: float(np.mean(scores[name])))
    for place, name in enumerate(names):
        values = scores[name]
        colour = "#0072B2" if name.startswith("pipeline") else "#777777"
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.8)
        axes.plot([np.mean(values)] * 2, [place - 0.18, place + 0.18], color=colour, linewidth=2)
        # The label stands above its own row, so that long names need no margin.
        axes.text(0.0, place + 0.24, name, fontsize=8, color=colour, va="bottom", ha="left")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.6, len(names) - 0.2)
    axes.set_yticks([])
    axes.set_xlabel("NMI with the true communities\n(dots: recordings, bar: mean)")
    axes.set_title("How well?", fontsize=9)
