"""`educe methods`: the methods, their options and what they need of a model."""

from __future__ import annotations

import dataclasses
import json

import click

from educe.reason import methods as known_methods

__all__ = ["methods"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def methods(as_json: bool) -> None:
    """List the methods that `educe ask --method` takes, third parties' included."""
    rows = {}
    for name, cls in sorted(known_methods().items()):
        options = {}
        for field in dataclasses.fields(cls):
            default = None if field.default is dataclasses.MISSING else field.default
            options[field.name] = getattr(default, "__name__", default)
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        rows[name] = {"summary": summary, "options": options, "requires": list(cls.requires)}
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for name, row in rows.items():
        click.echo(f"{name}\n    {row['summary']}")
        click.echo("    " + ", ".join(f"{option}={value}" for option, value in row["options"].items()))  # type: ignore[attr-defined]
        if row["requires"]:
            click.echo(f"    needs a model with {', '.join(row['requires'])}")
