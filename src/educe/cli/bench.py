"""`educe bench`: methods against the plain vote at equal cost, on tasks with checkable answers."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import io
import json
import math
import sys
from contextlib import aclosing
from pathlib import Path

import click

from educe.core import Budget, Executor, Store, StoredUnit, UsageError, content_hash, make_executor
from educe.lm import LanguageModel, load
from educe.reason.bench import Grid, GridRow
from educe.reason.bench_summary import Summary, summarize

__all__ = ["bench", "latest_summary"]

EIGHT = (
    "chain_arithmetic,large_arithmetic,linear_equations,two_hop_facts,three_hop_facts,claims,implications,list_programs"
)
METHODS = "best-of-n,weighted-self-consistency,rpc,beam-search,particle-filter"


@click.command()
@click.option("--methods", default=METHODS, show_default=True, help="Methods with options, separated by commas or ;.")
@click.option("--tasks", default=EIGHT, show_default=True, help="Families of problems, separated by commas.")
@click.option("--lm", default="abacus", show_default=True, help="Model, as for `educe ask`.")
@click.option("--budget", default="samples=16", show_default=True, metavar="NAME=N,…", help="Limits of one question.")
@click.option("--problems", type=click.IntRange(1), default=40, show_default=True, help="Problems of each task.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Answers to each problem.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Root of problems and draws.")
@click.option("--difficulty", type=int, default=None, help="Setting of the tasks' dials; their own when left out.")
@click.option("--dtype", default="float32", show_default=True, help="Numbers of a local model.")
@click.option("--executor", "executor_spec", default="local", help="local, dask, dask://HOST:PORT or ray://HOST:PORT.")
@click.option("--html", type=click.Path(path_type=Path), default=None, help="Write a page with figures here.")
@click.option("--rows", "rows_file", type=click.Path(path_type=Path), default=None, help="Write every row as CSV here.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON object.")
def bench(
    methods: str,
    tasks: str,
    lm: str,
    budget: str,
    problems: int,
    seeds: int,
    seed: int,
    difficulty: int | None,
    dtype: str,
    executor_spec: str,
    html: Path | None,
    rows_file: Path | None,
    as_json: bool,
) -> int:
    """Compare methods with the plain vote at equal cost.

    \b
    educe bench --problems 20 --html bench.html
    educe bench --methods "best-of-n;beam-search:n=8,width=4" --tasks chain_arithmetic --budget tokens=4096

    Greedy decoding and votes of growing size are always in the table. Finished answers lie in the store: the same
    command goes on where it was stopped, and costs nothing once it is done. `educe ask --method auto` uses the
    latest table of its model.
    """
    grid = Grid(_names(methods), _names(tasks), lm, Budget.parse(budget), problems, seeds, difficulty, seed, dtype)
    for file in (html, rows_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"The folder of {file} does not exist. Make it, or write elsewhere.")
    model = load(lm, dtype=dtype)
    with Store() as store:
        rows, whole = asyncio.run(_run(grid, model, make_executor(executor_spec), store))
        if not whole:
            click.echo("educe: interrupted; finished answers are stored. Run the same command to go on.", err=True)
            return 1
        summary = summarize(grid, rows)
        shown = summary.to_json()
        # Shown first and stored second: a full disk must not cost the table.
        click.echo(json.dumps(shown, ensure_ascii=False) if as_json else _table(summary))
        if rows_file is not None:
            rows_file.write_text(_csv(rows))
            click.echo(f"wrote {rows_file}", err=True)
        if html is not None:
            from educe.cli.bench_page import bench_page

            html.write_text(bench_page(summary, rows))
            click.echo(f"wrote {html}", err=True)
        digest = content_hash("bench", shown["grid"], model.fingerprint, shown["cells"])
        store.put(StoredUnit(digest, "bench", "bench", shown["grid"], seed, lm=lm, result=shown))
    return 0


def _names(text: str) -> tuple[str, ...]:
    """Split a list; one with semicolons may hold commas inside its items."""
    separator = ";" if ";" in text else ","
    if separator == "," and "=" in text:
        # "beam-search:n=8,width=4" is one method, and "a:n=8,b" are two: options have a sign, names have none.
        parts: list[str] = []
        for part in text.split(","):
            if parts and "=" in part and ":" not in part:
                parts[-1] += f",{part}"
            else:
                parts.append(part)
        return tuple(filter(None, (part.strip() for part in parts)))
    return tuple(filter(None, (part.strip() for part in text.split(separator))))


async def _run(grid: Grid, lm: LanguageModel, executor: Executor, store: Store) -> tuple[list[GridRow], bool]:
    """Run the grid with a line of progress; the second result says whether it came to its end."""
    total = len(grid.all_methods) * len(grid.tasks) * grid.problems * grid.seeds
    rows: list[GridRow] = []
    shown = -1
    try:
        async with executor, aclosing(grid.run(lm, executor, store)) as found:
            async for row in found:
                rows.append(row)
                percent = 100 * len(rows) // total
                if percent != shown and sys.stderr.isatty():
                    shown = percent
                    click.echo(f"\r{percent:3d} %  {row.method}  {row.task}\x1b[K", err=True, nl=False)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return rows, False
    finally:
        if shown >= 0:
            click.echo("\r\x1b[K", err=True, nl=False)
    return rows, True


def _csv(rows: list[GridRow]) -> str:
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(GridRow)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()


def _table(summary: Summary) -> str:
    """The rows of all tasks together, and each method's best and worst task."""
    lines = [
        f"{'method':<34}{'right':>7}{'95 % interval':>16}{'covered':>9}{'tokens':>8}{'vote':>7}{'gain':>8}  {'ECE':>5}"
    ]
    for method in summary.methods:
        cell = summary.cell(method)
        mark = "*" if cell.real else " "
        gain = "" if cell.baseline else f"{cell.gain:+8.1%}{mark}"
        calibration = "" if math.isnan(cell.ece) else f"{cell.ece:5.2f}"
        lines.append(
            f"{method[:33]:<34}{cell.accuracy:>7.1%}{f'{cell.low:.1%} - {cell.high:.1%}':>16}{cell.coverage:>9.1%}"
            f"{cell.tokens:>8.0f}{cell.vote:>7.1%}{gain:>9}  {calibration:>5}"
        )
    grid = summary.grid
    total = grid["problems"] * len(grid["tasks"])
    lines.append("")
    lines.append(f"{total} problems of {len(grid['tasks'])} tasks, {grid['seeds']} seed(s), on {grid['lm']}.")
    lines.append("vote: the plain vote at the same tokens. ECE: 10 bins of equal mass.")
    lines.append("*: the gain is beyond chance, false discoveries held at 5 % over all tasks and methods.")
    return "\n".join(lines)


def latest_summary(store: Store, lm: str) -> Summary | None:
    """Return the newest table of a model.

    Parameters
    ----------
    store : Store
        Where tables lie.
    lm : str
        The model's name, as it was given.
    """
    found = None
    for unit in store.units(kind="bench"):
        if unit.lm == lm and unit.result:
            found = unit.result
    return None if found is None else Summary.from_json(found)
