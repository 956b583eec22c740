"""Puts the sixty cards into the database, and brings them up to date at every start."""

from __future__ import annotations

import datetime
import re
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from educe.core import Card
from educe.papers.catalogue import list_cards, runs_here
from educe.site.database import Database
from educe.site.results import committed_report
from educe.site.schema import Paper, PaperTopic

__all__ = ["card_date", "seed_cards"]


def card_date(card: Card) -> tuple[int, str]:
    """Return the date of a card and how exactly it is known.

    Parameters
    ----------
    card : Card
        The paper.

    Returns
    -------
    tuple
        Seconds since 1970 at the start of the month that the arXiv id names, and ``"month"``; the start of the card's
        year and ``"year"`` where it has no arXiv id.

    Examples
    --------
    >>> from educe.papers.catalogue import find_card
    >>> card_date(find_card("rpc"))
    (1738368000, 'month')
    """
    found = re.match(r"(?:[a-z-]+/)?(\d\d)(\d\d)", card.arxiv or "")
    if found is None:
        return _start(card.year, 1), "year"
    # The archive began in 1991: two digits from 91 on are of the last century.
    year = int(found[1]) + (1900 if int(found[1]) >= 91 else 2000)
    return _start(year, int(found[2])), "month"


def _start(year: int, month: int) -> int:
    return int(datetime.datetime(year, month, 1, tzinfo=datetime.UTC).timestamp())


def _values(card: Card) -> dict[str, Any]:
    published, precision = card_date(card)
    report = committed_report(card.slug)
    return {
        "arxiv": card.arxiv,
        "title": card.title,
        "authors": list(card.authors),
        "summary": card.summary,
        "claim": card.claim,
        "published": published,
        "precision": precision,
        "source": "card",
        "runs_here": int(runs_here(card.slug)),
        "verdict": None if report is None else report["verdict"],
    }


def seed_cards(database: Database) -> int:
    """Bring every card into the database.

    Parameters
    ----------
    database : Database
        Where to; an imported paper with a card's arXiv id becomes that card.

    Returns
    -------
    int
        How many papers were added or changed; 0 when called again.
    """
    with database.read() as session:
        changed = _bring(session, dry=True)
    if changed:
        with database.write(visible=True) as session:
            changed = _bring(session, dry=False)
    return changed


def _bring(session: Session, *, dry: bool) -> int:
    cards = list_cards()
    numbers = [card.arxiv for card in cards if card.arxiv]
    found = session.scalars(
        select(Paper).where(Paper.slug.in_([card.slug for card in cards]) | Paper.arxiv.in_(numbers))
    ).all()
    by_slug = {paper.slug: paper for paper in found}
    by_arxiv = {paper.arxiv: paper for paper in found if paper.arxiv}
    topics: dict[int, set[str]] = {}
    for row in session.scalars(select(PaperTopic).where(PaperTopic.paper_id.in_([paper.id for paper in found]))):
        topics.setdefault(row.paper_id, set()).add(row.topic)
    changed = 0
    for card in cards:
        values = {"slug": card.slug, **_values(card)}
        paper = by_slug.get(card.slug) or by_arxiv.get(card.arxiv or "")
        known = paper is not None and all(getattr(paper, name) == value for name, value in values.items())
        if known and paper is not None and topics.get(paper.id) == set(card.topics):
            continue
        changed += 1
        if dry:
            continue
        if paper is None:
            paper = Paper(**values)
            session.add(paper)
        else:
            for name, value in values.items():
                setattr(paper, name, value)
        session.flush()
        session.execute(delete(PaperTopic).where(PaperTopic.paper_id == paper.id))
        session.add_all(
            PaperTopic(topic=topic, published=paper.published, paper_id=paper.id) for topic in sorted(card.topics)
        )
    return changed
