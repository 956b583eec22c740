"""Figures of reports: one style, SVG text out, the same bytes for the same data.

A figure's title says what it shows ("Particles pass majority vote from 8 samples on"), not what it plots; lines carry
their labels at their ends; error bars say in the caption what they are.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from educe.core import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "label_line"]

STYLE = Path(__file__).with_name("educe.mplstyle")


def draw(plot: Callable[[Figure], None], *, width: float = 6.0, height: float = 3.8) -> str:
    """Draw a figure in the project's style and return it as SVG text.

    Parameters
    ----------
    plot : callable
        Takes an empty matplotlib `Figure` and fills it.
    width, height : float
        In inches; 6 inches are 600 pixels on the page.

    Returns
    -------
    str
        A standalone SVG document without date or random ids.

    Raises
    ------
    UsageError
        matplotlib is not installed.

    Examples
    --------
    >>> svg = draw(lambda figure: figure.subplots().plot([0, 1], [0, 1]) and None)
    >>> "<svg" in svg
    True
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("Figures need matplotlib. Install it with `pip install 'educe[figures]'`.") from None
    with matplotlib.style.context(str(STYLE)):
        # A Figure of its own, not pyplot's: no global state, no display, safe in threads.
        figure = Figure(figsize=(width, height))
        plot(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "educe"})
    return buffer.getvalue()


def label_line(axes: Axes, text: str, line: int = -1) -> None:
    """Write a line's label at its right end, in its colour, instead of a legend.

    Parameters
    ----------
    axes : Axes
        Where the line was drawn.
    text : str
        The label.
    line : int
        Which of the axes' lines; the last one when left out.
    """
    drawn = axes.lines[line]
    x, y = float(np.asarray(drawn.get_xdata())[-1]), float(np.asarray(drawn.get_ydata())[-1])
    axes.annotate(
        text, (x, y), xytext=(5, 0), textcoords="offset points", color=drawn.get_color(), va="center", fontsize=9
    )
