"""`educe models`: what can be loaded by name, and what lies on this machine."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from educe.core import UsageError
from educe.lm import zoo

__all__ = ["models"]


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List, fetch and remove models."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


def _list(as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for name, entry in zoo.ZOO.items():
        path = zoo.model_path(name)
        rows.append(
            {
                "name": name,
                "present": path is not None,
                "path": None if path is None else str(path),
                "bytes": entry.size,
                "licence": entry.licence,
                "description": entry.description,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        state = "present" if row["present"] else "not fetched"
        click.echo(
            f"{row['name']:<14} {state:<11} {row['bytes'] / 1e6:>6,.0f} MB  {row['licence']}\n    {row['description']}"
        )
    click.echo(
        "\nAlso: path/to/model.gguf, path/to/folder (safetensors), hf:ORG/NAME, openai:http://host:port/v1#MODEL, "
        "fake:one answer|another"
    )


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(as_json: bool) -> None:
    """List the models of the zoo."""
    _list(as_json)


@models.command("get")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Accept the model's licence without being asked.")
@click.option("--quiet", is_flag=True, help="Say nothing when the model is there.")
def get_command(name: str, yes: bool, quiet: bool) -> None:
    """Fetch the model NAME into the cache folder, verified by its hash."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=Console(stderr=True), transient=True
    )
    task = bar.add_task(name, total=None)
    shown = False

    def progress(done: int, total: int) -> None:
        nonlocal shown
        shown = True
        bar.start()
        bar.update(task, completed=done, total=total)

    def confirm(text: str) -> bool:
        click.echo(text, err=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"Model {name!r} has a licence to accept. Read it above and give --yes.")
        return click.confirm("Accept this licence?", err=True)

    try:
        path = zoo.get(name, confirm_licence=confirm, progress=progress)
    finally:
        if shown:
            bar.stop()
    if not quiet:
        click.echo(str(path))


@models.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove the model NAME from the cache folder."""
    click.echo(f"removed {name}" if zoo.remove(name) else f"{name} was not there")
