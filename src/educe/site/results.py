"""The committed results: ``results/<slug>.json`` and ``.svg``, found in an installed copy and in a checkout."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import educe

__all__ = ["committed_figure", "committed_report", "figure_size", "results_folder"]


def results_folder() -> Path:
    """Return the folder of committed results.

    Returns
    -------
    Path
        ``educe/results`` inside an installed package, else ``results`` beside ``src`` of a checkout; it may be missing.

    Examples
    --------
    >>> results_folder().name
    'results'
    """
    package = Path(educe.__file__).parent
    installed = package / "results"
    return installed if installed.is_dir() else package.parents[1] / "results"


@lru_cache(maxsize=256)
def committed_report(slug: str) -> dict[str, Any] | None:
    """Return a paper's committed report, None where there is none.

    Parameters
    ----------
    slug : str
        The paper; a name that no card has gives None.

    Examples
    --------
    >>> committed_report("no-such-paper") is None
    True
    """
    text = _read(slug, "json")
    if text is None:
        return None
    report: dict[str, Any] = json.loads(text)
    return report


@lru_cache(maxsize=256)
def committed_figure(slug: str) -> str | None:
    """Return a paper's committed figure as SVG text, None where there is none.

    Parameters
    ----------
    slug : str
        The paper.
    """
    return _read(slug, "svg")


def _read(slug: str, kind: str) -> str | None:
    # Slugs come from addresses: nothing but a plain name may become a path.
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        return None
    path = results_folder() / f"{slug}.{kind}"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def figure_size(svg: str) -> tuple[int, int]:
    """Return width and height of a figure in pixels, so that the page keeps its place while it loads.

    Parameters
    ----------
    svg : str
        SVG text.

    Returns
    -------
    tuple of int
        From the ``viewBox``; (600, 380) where there is none.

    Examples
    --------
    >>> figure_size('<svg viewBox="0 0 432 273.6"></svg>')
    (432, 274)
    """
    found = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', svg[:4000])
    return (round(float(found[1])), round(float(found[2]))) if found else (600, 380)
