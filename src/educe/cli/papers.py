"""`educe papers`, `educe read`, `educe run`: the papers, one of them, and its reproduction."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from educe.core import Card, Scale, Store
from educe.papers.catalogue import find_card, find_run, list_cards, runs_here

__all__ = ["papers", "read", "run"]


def _object(card: Card) -> dict[str, Any]:
    return {**asdict(card), "url": card.url, "runs_here": runs_here(card.slug)}


@click.command()
@click.option("--topic", default=None, help="Only papers on this topic.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def papers(topic: str | None, as_json: bool) -> None:
    """List the papers and say which run here."""
    cards = list_cards(topic)
    if as_json:
        for card in cards:
            click.echo(json.dumps(_object(card), ensure_ascii=False))
        return
    width = max(len(card.slug) for card in cards)
    for card in cards:
        state = "runs here" if runs_here(card.slug) else "not yet"
        click.echo(f"{card.slug:<{width}}  {state:<9}  {card.year}  {card.title}")
    here = sum(runs_here(card.slug) for card in cards)
    click.echo(f"\n{len(cards)} papers, {here} run here. `educe read SLUG` shows one.")


@click.command()
@click.argument("slug")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def read(slug: str, as_json: bool) -> None:
    """Show the paper SLUG: its claim, our summary, where the method lives, and our last stored result."""
    card = find_card(slug)
    with Store() as store:
        reports = list(store.reports(slug))
    if as_json:
        click.echo(json.dumps({**_object(card), "reports": reports}, ensure_ascii=False))
        return
    authors = (
        ", ".join(card.authors) if len(card.authors) <= 6 else f"{card.authors[0]} and {len(card.authors) - 1} more"
    )
    click.echo(f"{card.title}\n{authors}, {card.year}{f', {card.venue}' if card.venue else ''}")
    if card.url:
        click.echo(card.url)
    for heading, text in (("Summary", card.summary), ("Claim", card.claim), ("Topics", ", ".join(card.topics))):
        click.echo(f"\n{heading}\n{textwrap.indent(textwrap.fill(text, 96), '  ')}")
    state = "Runs here" if runs_here(slug) else "Does not run here yet; planned"
    click.echo(f"\n{state}\n  {', '.join(card.api)}")
    if reports:
        last = reports[-1]
        click.echo(f"\nOur last run ({last['scale']}, seed {last['seed']}): {last['verdict']}")


@click.command()
@click.argument("slug")
@click.option("--scale", type=click.Choice([str(scale) for scale in Scale]), default="small", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all draws.")
@click.option("--lm", default=None, help="Model to run on, for papers that take one.")
@click.option("--out", type=click.Path(file_okay=False), default=None, help="Folder for the report's JSON and figure.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(slug: str, scale: str, seed: int, lm: str | None, out: str | None, as_json: bool) -> int:
    """Run the reproduction of the paper SLUG and hold it against its claim.

    smoke takes seconds, small minutes on two cores, full a GPU and real models.
    """
    reproduce = find_run(slug)
    with Store() as store:
        model = None
        if lm is not None:
            from educe.lm import load

            model = load(lm)
        report = reproduce(Scale(scale), seed, lm=model)
        shown = report.to_json()
        if as_json:
            click.echo(json.dumps(shown, ensure_ascii=False))
        else:
            for check in report.checks:
                mark = "passed" if check.passed else "FAILED"
                click.echo(f"{mark}  {check.name}: measured {check.measured}, claimed {check.claimed}, bar {check.bar}")
            for control in report.controls:
                mark = "passed" if control.passed else "FAILED"
                click.echo(f"{mark}  control {control.name}: measured {control.measured}, expected {control.expected}")
            click.echo(f"verdict: {report.verdict}")
        store.put_report(shown)
    if out is not None:
        for path in report.write(Path(out)):
            click.echo(f"wrote {path}", err=True)
    return 0
