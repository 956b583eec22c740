"""`educe methods`: the methods, their options and what they need of a model."""

from __future__ import annotations

import json

import click

from educe.reason import methods as known_methods
from educe.reason.strategy import options as method_options

__all__ = ["methods"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def methods(as_json: bool) -> None:
    """List the methods that `educe ask --method` takes, third parties' included."""
    rows = {}
    for name, cls in sorted(known_methods().items()):
        options = {option: getattr(value, "__name__", value) for option, value in method_options(cls).items()}
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        rows[name] = {"summary": summary, "options": options, "requires": list(cls.requires)}
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for name, row in rows.items():
        click.echo(f"{name}\n    {row['summary']}")
        shown = (f"{option}={value}".replace("\n", "\\n") for option, value in row["options"].items())  # type: ignore[attr-defined]
        click.echo("    " + ", ".join(shown))
        if row["requires"]:
            click.echo(f"    needs a model with {', '.join(row['requires'])}")
