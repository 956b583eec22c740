"""The page that `educe bench --html` writes: one file without any outside part, readable by itself."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from educe.papers.figure import draw
from educe.reason.bench import GridRow
from educe.reason.bench_summary import ALL, Cell, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bench_page"]

COLUMNS = ["method", "right", "interval", "covered", "tokens", "prompt", "s", "vote", "gain", "ECE", "Brier", "AUROC"]
GAIN = COLUMNS.index("gain") - 1
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --dim: #666; --line: #ddd; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --dim: #aaa; --line: #444; --page: #161616; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .dim { color: var(--dim); } .real { font-weight: 700; }
figure { margin: 1rem 0; background: #fff; border-radius: 6px; padding: .5rem; } svg { width: 100%; height: auto; }
"""


def bench_page(summary: Summary, rows: Sequence[GridRow]) -> str:
    """Make the page.

    Parameters
    ----------
    summary : Summary
        The table.
    rows : sequence of GridRow
        The rows it came from.

    Returns
    -------
    str
        A whole HTML document.
    """
    grid = summary.grid
    asked = [method for method in summary.methods if not summary.cell(method).baseline]
    real = [method for method in asked if summary.cell(method).real and summary.cell(method).gain > 0]
    title = (
        f"{', '.join(real)} beat{'s' if len(real) == 1 else ''} the plain vote at equal tokens"
        if real
        else "No method beats the plain vote at equal tokens beyond chance"
    )
    limits = ", ".join(f"{name}={value}" for name, value in grid["budget"].items()) or "none"
    errors = sum(row.error is not None for row in rows)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>educe bench: {html.escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{grid['problems']} problems of each of {len(grid['tasks'])} tasks, {grid['seeds']} answer(s) to each, on "
        f"<b>{html.escape(str(grid['lm']))}</b>; limits of a question: {html.escape(limits)}; seed {grid['seed']}.</p>",
        "<h2>All tasks together</h2>",
        _table([summary.cell(method) for method in summary.methods]),
        "<p class=dim>right: share of problems with a right answer, with a 95 % bootstrap interval over problems. "
        "vote: the plain vote at the same tokens, read off its curve. gain: the difference, paired; bold where it is "
        "beyond chance with false discoveries held at 5 % over all cells. ECE: 10 bins of equal mass.</p>",
        f"<figure>{draw(partial(_pareto, summary=summary), width=9.0, height=4.4)}</figure>",
        "<h2>Gain over the plain vote, task by task</h2>",
        f"<figure>{draw(partial(_heat, summary=summary), width=9.0, height=1.4 + 0.36 * len(asked))}</figure>",
        *(
            f"<h2>{html.escape(task)}</h2>" + _table([summary.cell(method, task) for method in summary.methods])
            for task in summary.tasks
            if task != ALL
        ),
        f"<p class=dim>{len(rows)} answers, {errors} of them refused by their method.</p></html>",
    ]
    return "\n".join(parts)


def _table(cells: Sequence[Cell]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "method",
            "right",
            "interval",
            "covered",
            "tokens",
            "prompt",
            "s",
            "vote",
            "gain",
            "ECE",
            "Brier",
            "AUROC",
        )
    )
    body = []
    for cell in cells:
        gain = "" if cell.baseline else f"{cell.gain:+.1%} [{cell.gain_low:+.1%}, {cell.gain_high:+.1%}]"
        values = (
            f"{cell.accuracy:.1%}", f"{cell.low:.1%} - {cell.high:.1%}", f"{cell.coverage:.1%}", f"{cell.tokens:.0f}",
            f"{cell.prompt_tokens:.0f}", f"{cell.seconds:.2f}", f"{cell.vote:.1%}", gain,
            *("" if math.isnan(value) else f"{value:.2f}" for value in (cell.ece, cell.brier, cell.auroc)),
        )  # fmt: skip
        columns = "".join(
            f"<td class={'real' if cell.real and place == GAIN else 'plain'}>{value}</td>"
            for place, value in enumerate(values)
        )
        kind = "dim" if cell.baseline else "asked"
        body.append(f"<tr class={kind}><td>{html.escape(cell.method)}</td>{columns}</tr>")
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def _pareto(figure: Figure, summary: Summary) -> None:
    axes = figure.subplots()
    cells = [summary.cell(method) for method in summary.methods]
    votes = sorted((c for c in cells if c.method.startswith("self-consistency:n=")), key=lambda c: c.tokens)
    axes.plot([c.tokens for c in votes], [c.accuracy for c in votes], color="#888888", marker=".")
    if votes:
        axes.annotate("plain vote", (votes[-1].tokens, votes[-1].accuracy), xytext=(6, 0), textcoords="offset points",
                      color="#666666", va="center", fontsize=9)  # fmt: skip
    others = [c for c in cells if c not in votes]
    for place, cell in enumerate(sorted(others, key=lambda c: c.accuracy)):
        colour = f"C{place % 8}"
        spread = [[cell.accuracy - cell.low], [cell.high - cell.accuracy]]
        axes.errorbar([cell.tokens], [cell.accuracy], yerr=spread, fmt="o", color=colour)
        axes.annotate(cell.method.partition(":")[0], (cell.tokens, cell.accuracy), xytext=(7, 5 if place % 2 else -11),
                      textcoords="offset points", color=colour, fontsize=9)  # fmt: skip
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 2)
    axes.set_xlabel("tokens drawn per question (bars: 95 % over problems)")
    axes.set_ylabel("share of problems answered rightly")
    axes.set_title("Above the grey line a method is worth its tokens")


def _heat(figure: Figure, summary: Summary) -> None:
    methods = [method for method in summary.methods if not summary.cell(method).baseline]
    tasks = list(summary.tasks)
    gains = np.array([[summary.cell(method, task).gain for task in tasks] for method in methods]) * 100
    axes = figure.subplots()
    most = max(5.0, float(np.abs(gains).max()))
    axes.imshow(gains, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
    for y, method in enumerate(methods):
        for x, task in enumerate(tasks):
            real = summary.cell(method, task).real
            axes.text(x, y, f"{gains[y, x]:+.0f}{'*' if real else ''}", ha="center", va="center", fontsize=8,
                      color="white" if abs(gains[y, x]) > 0.65 * most else "black")  # fmt: skip
    axes.set_xticks(range(len(tasks)), [task.replace("_", "\n") for task in tasks], fontsize=8)
    axes.set_yticks(range(len(methods)), [method.partition(":")[0] for method in methods], fontsize=8)
    axes.grid(False)
    axes.set_title("Points gained over the plain vote at equal tokens (* beyond chance)")
