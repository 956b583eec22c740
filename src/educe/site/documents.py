"""A paper as machines read it: one JSON object, or a Markdown page."""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import BaseModel, Field

from educe.papers.catalogue import find_card
from educe.site.code_links import code_link
from educe.site.listing import Listed
from educe.site.rendering import authors_line, date_line
from educe.site.results import committed_report
from educe.site.schema import Paper

__all__ = ["PaperList", "PaperObject", "arxiv_link", "day_of", "paper_markdown", "paper_object"]


class PaperObject(BaseModel):
    """One paper of the page."""

    slug: str
    title: str
    authors: list[str]
    date: str = Field(description="Date of publication, as exactly as it is known: 2025-02-03, 2025-02 or 2025.")
    added: str = Field(description="When it came onto the page, ISO 8601 in UTC.")
    arxiv: str | None
    arxiv_url: str | None
    code_url: str | None = Field(description="The authors' own code, where we know of it.")
    summary: str | None = Field(description="Our words.")
    claim: str | None = Field(description="The central claim, in our words.")
    abstract: str | None = Field(description="Of imported papers alone.")
    topics: list[str]
    source: str
    votes: int
    runs_here: bool
    bar: str = Field(description="Verdict of the committed report: shown, not shown, withheld; or not yet here.")
    url: str = Field(description="Path of the paper's page.")
    report: dict[str, Any] | None = Field(default=None, description="The committed report; of single papers alone.")


class PaperList(BaseModel):
    """One page of papers."""

    papers: list[PaperObject]
    cursor: str | None = Field(description="Names the next page; null on the last one.")


def arxiv_link(paper: Paper) -> str | None:
    """Return the address of a paper's abstract on arXiv.

    Parameters
    ----------
    paper : Paper
        The row.
    """
    return f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else None


def day_of(paper: Paper) -> str:
    """Return a paper's date in ISO form, as exactly as it is known.

    Parameters
    ----------
    paper : Paper
        The row.
    """
    day = datetime.datetime.fromtimestamp(paper.published, datetime.UTC).date().isoformat()
    return day[: {"year": 4, "month": 7}.get(paper.precision, 10)]


def paper_object(item: Listed, *, report: bool = False) -> PaperObject:
    """Return a paper as JSON.

    Parameters
    ----------
    item : Listed
        The paper with its topics.
    report : bool
        Put the committed report in.
    """
    paper = item.paper
    return PaperObject(
        slug=paper.slug,
        title=paper.title,
        authors=paper.authors,
        date=day_of(paper),
        added=datetime.datetime.fromtimestamp(paper.added, datetime.UTC).isoformat(),
        arxiv=paper.arxiv,
        arxiv_url=arxiv_link(paper),
        code_url=code_link(paper.slug),
        summary=paper.summary,
        claim=paper.claim,
        abstract=paper.abstract,
        topics=item.topics,
        source=paper.source,
        votes=paper.votes,
        runs_here=bool(paper.runs_here),
        bar=paper.verdict or "not yet here",
        url=f"/papers/{paper.slug}",
        report=committed_report(paper.slug) if report and paper.source == "card" else None,
    )


def paper_markdown(item: Listed) -> str:
    """Return a paper as Markdown.

    Parameters
    ----------
    item : Listed
        The paper with its topics.
    """
    paper = item.paper
    lines = [f"# {_inline(paper.title)}", "", f"{_inline(authors_line(paper.authors, 30))}, {_when(paper)}", ""]
    links = [("arXiv", arxiv_link(paper)), ("authors' code", code_link(paper.slug))]
    lines += [f"- {name}: <{address}>" for name, address in links if address]
    lines += [f"- topics: {', '.join(item.topics)}", f"- bar: {paper.verdict or 'not yet here'}", ""]
    for heading, text in (("Claim", paper.claim), ("Summary", paper.summary), ("Abstract", paper.abstract)):
        if text:
            lines += [f"## {heading}", "", _inline(text), ""]
    report = committed_report(paper.slug) if paper.source == "card" else None
    if report is not None:
        lines += _measured(report)
    if paper.source == "card":
        card = find_card(paper.slug)
        lines += ["## Where it lives", "", *(f"- `{name}`" for name in card.api), "", "```console"]
        lines += [f"$ educe read {card.slug}", f"$ educe run {card.slug} --scale small", "```", ""]
    return "\n".join(lines)


def _when(paper: Paper) -> str:
    return date_line(paper.published, paper.precision)


def _inline(text: str) -> str:
    """Make foreign text harmless in Markdown: one line, no links, no HTML."""
    flat = " ".join(text.split())
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>|#" else mark for mark in flat)


def _measured(report: dict[str, Any]) -> list[str]:
    lines = [
        f"## Measured: {report['verdict']}",
        "",
        f"Scale {report['scale']}, seed {report['seed']}, {report['date']}, {report['machine']}.",
        "",
        "| check | claimed | measured | bar | |",
        "|---|---|---|---|---|",
    ]
    for check in report["checks"]:
        cells = (check["name"], check["claimed"], check["measured"], check["bar"])
        mark = "passed" if check["passed"] else "FAILED"
        lines.append(f"| {' | '.join(_inline(str(cell)) for cell in cells)} | {mark} |")
    lines += ["", "| control | expected | measured | |", "|---|---|---|---|"]
    for control in report["controls"]:
        facts = (control["name"], control["expected"], control["measured"])
        mark = "passed" if control["passed"] else "FAILED"
        lines.append(f"| {' | '.join(_inline(str(fact)) for fact in facts)} | {mark} |")
    return [*lines, ""]
