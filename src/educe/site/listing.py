"""Which papers a reader sees, in which order: new, trending, by topic, by period, page by page.

Pages are cut by key, not by offset: the address of the next page names the last row of this one, so that every page
costs the same and a paper that arrives in between repeats nothing.

Trending: the score of a paper at time t is the sum over its votes of 2^(-(t - t_vote) / 7 days). All scores shrink by
the same factor as time goes by, so their order is that of the sum of 2^(t_vote / 7 days), whose base-2 logarithm stands
in ``papers.heat``.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from educe.core import UsageError
from educe.site.schema import Paper, PaperTopic

__all__ = [
    "HALF_LIFE",
    "PAGE",
    "Listed",
    "Page",
    "Period",
    "Selection",
    "heat",
    "list_papers",
    "list_topics",
    "neighbours",
    "with_topics",
]

HALF_LIFE = 7 * 86400  # Seconds after which a vote counts half.
PAGE = 20
MOST = 200  # Rows of one page of the machine-readable list.


@dataclass(frozen=True)
class Period:
    """A day, a week (from Monday) or a month, in UTC.

    Parameters
    ----------
    by : str
        ``"day"``, ``"week"`` or ``"month"``.
    first : datetime.date
        Any day in it, in the years 1900 to 2999; kept as its first day.

    Raises
    ------
    UsageError
        The year is out of range.

    Examples
    --------
    >>> Period("month", datetime.date(2025, 2, 14)).label
    'February 2025'
    """

    by: Literal["day", "week", "month"]
    first: datetime.date

    def __post_init__(self) -> None:
        day = self.first
        if not 1900 <= day.year <= 2999:
            # The week of 1 January of year 1 and the month after 9999 have no dates.
            raise UsageError(f"The year {day.year} is out of range. Give one from 1900 to 2999.")
        if self.by == "week":
            day -= datetime.timedelta(days=day.weekday())
        elif self.by == "month":
            day = day.replace(day=1)
        object.__setattr__(self, "first", day)

    @property
    def end(self) -> datetime.date:
        """First day after it."""
        if self.by == "month":
            return (self.first.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)
        return self.first + datetime.timedelta(days=1 if self.by == "day" else 7)

    @property
    def label(self) -> str:
        """What readers call it."""
        if self.by == "month":
            return f"{self.first:%B %Y}"
        prefix = "Week of " if self.by == "week" else ""
        return f"{prefix}{self.first.day} {self.first:%B %Y}"

    def seconds(self) -> tuple[int, int]:
        """Return start and end in seconds since 1970."""
        first, last = (
            int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp())
            for day in (self.first, self.end)
        )
        return first, last


@dataclass(frozen=True)
class Selection:
    """What to list.

    Parameters
    ----------
    sort : str
        ``"new"`` (latest first) or ``"trending"``.
    topic : str or None
        Only papers on this topic.
    runs : bool
        Only papers whose reproduction runs here.
    period : Period or None
        Only papers of this time.
    cursor : str or None
        `Page.cursor` of the page before.
    limit : int
        Rows, 1 to 200.

    Raises
    ------
    UsageError
        The cursor is malformed or the limit out of range.
    """

    sort: Literal["new", "trending"] = "new"
    topic: str | None = None
    runs: bool = False
    period: Period | None = None
    cursor: str | None = None
    limit: int = PAGE

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST:
            raise UsageError(f"limit={self.limit} is out of range. Give a number from 1 to {MOST}.")
        if self.cursor is not None:
            _parse(self.cursor)


@dataclass(frozen=True)
class Listed:
    """A paper with its topics.

    Parameters
    ----------
    paper : Paper
        The row.
    topics : list of str
        In alphabetical order.
    """

    paper: Paper
    topics: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Parameters
    ----------
    papers : list of Listed
        The rows in order.
    cursor : str or None
        Names the next page; None on the last one.
    """

    papers: list[Listed]
    cursor: str | None


def heat(votes: Iterable[int]) -> float:
    """Return what orders papers by decayed votes.

    Parameters
    ----------
    votes : iterable of int
        Times of the votes in seconds since 1970.

    Returns
    -------
    float
        log2 of the sum of 2^(time / half-life); 0 without votes, which is below that of any vote since 1970.

    Examples
    --------
    >>> week = 7 * 86400
    >>> heat([week * 3000, week * 3000]) == 3001 and heat([]) == 0
    True
    """
    times = [time / HALF_LIFE for time in votes]
    if not times:
        return 0.0
    last = max(times)
    return last + math.log2(math.fsum(2.0 ** (time - last) for time in times))


def _parse(cursor: str) -> tuple[float, int]:
    found = re.fullmatch(r"(-?\d{1,15}(?:\.\d{1,20})?)_(\d{1,15})", cursor)
    if found is None:
        raise UsageError(f"Cursor {cursor[:40]!r} is malformed. Take it from the page before, or leave it out.")
    return float(found[1]), int(found[2])


def list_papers(session: Session, selection: Selection) -> Page:
    """Return one page of papers.

    Parameters
    ----------
    session : Session
        To read with.
    selection : Selection
        What to list.
    """
    order = Paper.published if selection.sort == "new" else Paper.heat
    query: Select[Paper] = select(Paper).where(Paper.hidden == 0)
    if selection.topic is not None:
        query = query.join(PaperTopic, PaperTopic.paper_id == Paper.id).where(PaperTopic.topic == selection.topic)
    if selection.runs:
        query = query.where(Paper.runs_here == 1)
    if selection.sort == "trending":
        query = query.where(Paper.heat > 0)
    if selection.period is not None:
        first, end = selection.period.seconds()
        query = query.where(Paper.published >= first, Paper.published < end)
    if selection.cursor is not None:
        value, number = _parse(selection.cursor)
        query = query.where(tuple_(order, Paper.id) < (int(value) if selection.sort == "new" else value, number))
    rows = session.scalars(query.order_by(order.desc(), Paper.id.desc()).limit(selection.limit + 1)).all()
    kept = rows[: selection.limit]
    cursor = None
    if len(rows) > len(kept):
        last = kept[-1]
        cursor = f"{last.published if selection.sort == 'new' else repr(last.heat)}_{last.id}"
    return Page(with_topics(session, kept), cursor)


def with_topics(session: Session, papers: Sequence[Paper]) -> list[Listed]:
    """Attach their topics to papers, with one query for all of them.

    Parameters
    ----------
    session : Session
        To read with.
    papers : sequence of Paper
        In the order to keep.
    """
    topics: dict[int, list[str]] = {paper.id: [] for paper in papers}
    if papers:
        found = session.execute(
            select(PaperTopic.paper_id, PaperTopic.topic)
            .where(PaperTopic.paper_id.in_(topics))
            .order_by(PaperTopic.topic)
        )
        for number, topic in found:
            topics[number].append(topic)
    return [Listed(paper, topics[paper.id]) for paper in papers]


def list_topics(session: Session) -> list[tuple[str, int]]:
    """Return all topics with their number of papers, largest first.

    Parameters
    ----------
    session : Session
        To read with.
    """
    count = func.count().label("papers")
    query = (
        select(PaperTopic.topic, count)
        .join(Paper, Paper.id == PaperTopic.paper_id)
        .where(Paper.hidden == 0)
        .group_by(PaperTopic.topic)
        .order_by(count.desc(), PaperTopic.topic)
    )
    return [(topic, papers) for topic, papers in session.execute(query)]


def neighbours(session: Session, by: Literal["day", "week", "month"], period: Period | None) -> list[Period | None]:
    """Return the period itself, and the nearest ones before and after it that have papers.

    Parameters
    ----------
    session : Session
        To read with.
    by : str
        Kind of period.
    period : Period or None
        Where the reader is; the latest one with papers where left out.

    Returns
    -------
    list
        This period (None when there are no papers at all), the one before, the one after.
    """
    seen = select(func.max(Paper.published)).where(Paper.hidden == 0)
    if period is None:
        period = _period(by, session.scalar(seen))
        if period is None:
            return [None, None, None]
    first, end = period.seconds()
    before = session.scalar(seen.where(Paper.published < first))
    after = session.scalar(select(func.min(Paper.published)).where(Paper.hidden == 0, Paper.published >= end))
    return [period, _period(by, before), _period(by, after)]


def _period(by: Literal["day", "week", "month"], seconds: int | None) -> Period | None:
    if seconds is None:
        return None
    return Period(by, datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())
