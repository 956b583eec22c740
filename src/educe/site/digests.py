"""Digests: what came onto the page in a day or a week, by mail, to those who confirmed that they want it.

An issue is named by its rhythm and its day: ``digest:daily:2026-11-25`` holds what came on the 24th,
``digest:weekly:2026-11-23`` (a Monday) what came in the seven days before. It is due at 6:00 UTC of its day and goes to
those who had confirmed by then, so that asking twice for one issue finds the same readers and the same papers. A site
that was down sends the newest issue when it is back, and leaves older ones out.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.orm import Session

from educe.core import UsageError
from educe.site.allowances import DAY, insert_into
from educe.site.letters import mail_base
from educe.site.links import make_token
from educe.site.listing import Listed, with_topics
from educe.site.mail import new_message
from educe.site.rendering import render
from educe.site.schema import Mail, Paper, PaperTopic, Person, Subscription, now
from educe.site.state import Site

__all__ = ["RHYTHMS", "Issue", "compose_digest", "due_issues", "enqueue", "new_papers"]

RHYTHMS = ("daily", "weekly")
DUE_HOUR = 6
MOST_PAPERS = 25  # of one topic; the page has the others
UNSUBSCRIBE_SECONDS = 90 * DAY
BATCH = 200


@dataclass(frozen=True)
class Issue:
    """One issue.

    Parameters
    ----------
    rhythm : str
        ``"daily"`` or ``"weekly"``.
    day : datetime.date
        The day it is due; of a weekly one a Monday.

    Raises
    ------
    UsageError
        The rhythm is unknown, or the day of a weekly issue is no Monday.

    Examples
    --------
    >>> Issue("daily", datetime.date(2026, 11, 25)).name
    'digest:daily:2026-11-25'
    """

    rhythm: str
    day: datetime.date

    def __post_init__(self) -> None:
        if self.rhythm not in RHYTHMS:
            raise UsageError(f"Rhythm {self.rhythm!r} is unknown. Say daily or weekly.")
        if self.rhythm == "weekly" and self.day.weekday():
            raise UsageError(f"{self.day} is no Monday. Weekly issues are named by theirs.")

    @classmethod
    def parse(cls, name: str) -> Issue:
        """Read a name.

        Parameters
        ----------
        name : str
            From `name`.
        """
        _, rhythm, day = name.split(":")
        return cls(rhythm, datetime.date.fromisoformat(day))

    @property
    def name(self) -> str:
        """The key that keeps it to one mail for each address."""
        return f"digest:{self.rhythm}:{self.day}"

    @property
    def end(self) -> int:
        """Papers that came before this moment are in it."""
        return int(datetime.datetime(self.day.year, self.day.month, self.day.day, tzinfo=datetime.UTC).timestamp())

    @property
    def start(self) -> int:
        """Papers that came before this moment were in an earlier one."""
        return self.end - (7 if self.rhythm == "weekly" else 1) * DAY

    @property
    def due(self) -> int:
        """When it goes out."""
        return self.end + DUE_HOUR * 3600


def due_issues(moment: int) -> list[Issue]:
    """Return the newest issue of each rhythm that is due.

    Parameters
    ----------
    moment : int
        Seconds since 1970, UTC.

    Examples
    --------
    >>> noon = int(datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC).timestamp())
    >>> [issue.name for issue in due_issues(noon)]
    ['digest:daily:2026-11-25', 'digest:weekly:2026-11-23']
    """
    today = datetime.datetime.fromtimestamp(moment - DUE_HOUR * 3600, datetime.UTC).date()
    return [Issue("daily", today), Issue("weekly", today - datetime.timedelta(days=today.weekday()))]


def new_papers(session: Session, issue: Issue, topic: str) -> tuple[list[Paper], int]:
    """Return the papers of an issue on one topic, those with most votes first, and how many there are in all.

    Parameters
    ----------
    session : Session
        To read with.
    issue : Issue
        Which days.
    topic : str
        A topic, or ``""`` for all.
    """
    wanted = select(Paper).where(Paper.hidden == 0, Paper.added >= issue.start, Paper.added < issue.end)
    if topic:
        wanted = wanted.where(
            Paper.id.in_(select(PaperTopic.paper_id).where(PaperTopic.topic == topic))
        )
    wanted = wanted.order_by(Paper.heat.desc(), Paper.published.desc(), Paper.id.desc())
    papers = list(session.scalars(wanted))
    return papers[:MOST_PAPERS], len(papers)


def _subscriptions(issue: Issue) -> Any:
    """Select (address, topic) of everybody whom an issue is for."""
    return (
        select(Person.email, Subscription.topic)
        .join(Person, Person.id == Subscription.person_id)
        .where(Subscription.rhythm == issue.rhythm, Subscription.ended.is_(None), Person.confirmed.is_not(None))
        .where(Subscription.confirmed.is_not(None), Subscription.confirmed < issue.due)
    )


def enqueue(site: Site, issue: Issue) -> int:
    """Put an issue's mails into the queue; those that are there, sent or not, are left as they are.

    Parameters
    ----------
    site : Site
        Whose readers.
    issue : Issue
        Which issue.

    Returns
    -------
    int
        How many were added: readers for whom there is nothing new get no mail.
    """
    with site.database.read() as session:
        wanted: dict[str, list[str]] = {}
        for address, topic in session.execute(_subscriptions(issue).order_by(Subscription.id)):
            wanted.setdefault(address, []).append(topic)
        if not wanted:
            return 0
        topics = {topic for chosen in wanted.values() for topic in chosen}
        with_news = {topic for topic in topics if new_papers(session, issue, topic)[1]}
    addresses = [address for address, chosen in wanted.items() if with_news.intersection(chosen)]
    base = mail_base(site.config) if addresses else ""
    made = 0
    for start in range(0, len(addresses), BATCH):
        with site.database.write() as session:
            rows = [
                {"address": address, "issue": issue.name, "state": "waiting", "payload": {"base": base},
                 "created": now(), "changed": now()}
                for address in addresses[start : start + BATCH]
            ]  # fmt: skip
            statement = insert_into(session, Mail).values(rows).on_conflict_do_nothing()
            made += len(session.execute(statement.returning(Mail.id)).all())
    return made


@dataclass(frozen=True)
class Section:
    """The papers of one topic in a digest."""

    title: str
    papers: list[Listed]
    left_out: int


def _sections(session: Session, issue: Issue, topics: Iterable[str]) -> list[Section]:
    """Gather the sections, each paper in the first that has it."""
    shown: set[int] = set()
    sections = []
    for topic in sorted(set(topics), key=lambda topic: (topic != "", topic)):
        papers, count = new_papers(session, issue, topic)
        fresh = [paper for paper in papers if paper.id not in shown]
        shown |= {paper.id for paper in fresh}
        if fresh:
            sections.append(Section(topic or "All papers", with_topics(session, fresh), count - len(papers)))
    return sections


def compose_digest(site: Site, session: Session, mail: Mail) -> Any:
    """Make one reader's digest, None where there is nothing in it any more or the reader has unsubscribed.

    Parameters
    ----------
    site : Site
        Whose.
    session : Session
        To write the row of the unsubscribe link with.
    mail : Mail
        The row; its ``message_id`` is set.
    """
    issue = Issue.parse(mail.issue)
    topics = [topic for _, topic in session.execute(_subscriptions(issue).where(Person.email == mail.address))]
    sections = _sections(session, issue, topics)
    person = session.scalars(select(Person).where(Person.email == mail.address)).first()
    if not sections or person is None:
        return None
    base = mail.payload["base"]
    token = make_token(
        session, site.secret, "unsubscribe", person.id, {"rhythm": issue.rhythm}, UNSUBSCRIBE_SECONDS
    )
    unsubscribe = f"{base}/unsubscribe?token={quote(token, safe='')}"
    count = len({item.paper.id for section in sections for item in section.papers})
    day = f"{issue.day.day} {issue.day:%b %Y}"
    values: dict[str, Any] = {
        "sections": sections, "site": base, "unsubscribe": unsubscribe, "rhythm": issue.rhythm, "day": day,
        "period": f"{issue.day - datetime.timedelta(days=1)}" if issue.rhythm == "daily"
        else f"the week before {issue.day}",
    }  # fmt: skip
    assert mail.message_id is not None
    return new_message(
        site.config.mail,
        mail.address,
        f"educe {issue.rhythm}: {count} paper{'' if count == 1 else 's'}, {day}",
        render("mail/digest.txt", **values),
        render("mail/digest.html", **values),
        mail.message_id,
        {
            "List-Id": f"educe {issue.rhythm} digest <{issue.rhythm}.digest.{mail.message_id.strip('<>').partition('@')[2]}>",
            "List-Unsubscribe": f"<{unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
