"""The tables of the page: papers, people, votes, subscriptions, mails, runs and answers.

One declarative schema for SQLite and PostgreSQL; the migrations in ``migrations/versions`` build the same tables, and a
test compares the two. Times are whole seconds since 1970 in UTC, so that they sort and compare alike in both databases.
JSON columns hold what the rest of educe prints as JSON (reports, ledgers, posteriors), unchanged.

Full-text indexes are made by the migrations alone, because each database has its own kind.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Float, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "OPEN_STATES",
    "STATES",
    "Allowance",
    "Answered",
    "Base",
    "Mail",
    "Paper",
    "PaperTopic",
    "Person",
    "Run",
    "State",
    "Subscription",
    "Token",
    "Vote",
    "now",
]

OPEN_STATES = ("queued", "running")
STATES = (*OPEN_STATES, "finished", "failed", "cancelled", "interrupted")
_KNOWN_STATE = f"state IN ({', '.join(map(repr, STATES))})"
# One run and one question at a time for each visitor, kept by the database itself.
_OPEN = text(f"state IN ({', '.join(map(repr, OPEN_STATES))})")

# SQLite gives out row numbers by itself only for a column declared INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


PERSON_BITS = 52  # JSON numbers hold them exactly.


def now() -> int:
    """Return the time in whole seconds since 1970, UTC."""
    return int(time.time())


class Base(DeclarativeBase):
    """Base of all tables."""


class State(Base):
    """Named values of the site as a whole; ``content`` counts the changes that readers can see.

    Parameters
    ----------
    name : str
        The value's name.
    value : int
        The value.
    """

    __tablename__ = "state"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


class Paper(Base):
    """A paper on the page: one of the sixty cards, an import, or a submission.

    Parameters
    ----------
    id : int
        Row number.
    slug : str
        Name in addresses: the card's slug, or for an import the arXiv id with ``/`` written ``-``.
    arxiv : str or None
        Identifier without version.
    title, authors : str, list of str
        As the paper has them.
    abstract : str or None
        Of imported papers alone; cards carry a summary of ours instead.
    summary : str or None
        Our words.
    claim : str or None
        The central claim in our words; cards alone.
    published : int
        Start of the day on which the paper came out; of the month or year where only that is known.
    precision : str
        ``"day"``, ``"month"`` or ``"year"``: how exactly `published` is known.
    source : str
        ``"card"``, ``"arxiv"``, ``"oai"``, ``"daily"`` or ``"submission"``.
    added : int
        When it came onto the page.
    submitter : int or None
        The person who submitted it.
    hidden : bool as int
        1 keeps it off every page.
    runs_here : bool as int
        1 where its reproduction can be run.
    verdict : str or None
        Verdict of the committed report: ``"shown"``, ``"not shown"``, ``"withheld"``; None while there is none.
    votes : int
        Number of its rows in `Vote`, kept in step in the same transaction.
    heat : float
        Base-2 logarithm of the sum over its votes of 2^(time / half-life): its order is that of the decayed votes at
        any moment, so that *trending* is an index and nothing has to be recomputed as time goes by.
    """

    __tablename__ = "papers"
    __table_args__ = (
        Index("papers_by_date", "hidden", "published", "id"),
        Index("papers_by_heat", "hidden", "heat", "id"),
        Index("papers_by_run", "hidden", "runs_here", "published", "id"),
        CheckConstraint("precision IN ('day', 'month', 'year')", name="papers_precision"),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    arxiv: Mapped[str | None] = mapped_column(String(40), unique=True)
    title: Mapped[str] = mapped_column(Text)
    authors: Mapped[list[str]] = mapped_column(JSON)
    abstract: Mapped[str | None] = mapped_column(Text)
    summary: Mapped[str | None] = mapped_column(Text)
    claim: Mapped[str | None] = mapped_column(Text)
    published: Mapped[int] = mapped_column(BigInteger)
    precision: Mapped[str] = mapped_column(String(5), default="day")
    source: Mapped[str] = mapped_column(String(12))
    added: Mapped[int] = mapped_column(BigInteger, default=now)
    submitter: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"))
    hidden: Mapped[int] = mapped_column(Integer, default=0)
    runs_here: Mapped[int] = mapped_column(Integer, default=0)
    verdict: Mapped[str | None] = mapped_column(String(12))
    votes: Mapped[int] = mapped_column(Integer, default=0)
    heat: Mapped[float] = mapped_column(Float, default=0.0)


class PaperTopic(Base):
    """One topic of one paper.

    Parameters
    ----------
    topic : str
        From `educe.core.TOPICS`, or an arXiv category of an imported paper.
    published : int
        Copy of the paper's, for an index in the order in which the page reads.
    paper_id : int
        The paper.
    """

    __tablename__ = "paper_topics"
    __table_args__ = (Index("paper_topics_by_paper", "paper_id"),)

    topic: Mapped[str] = mapped_column(String(60), primary_key=True)
    published: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    paper_id: Mapped[int] = mapped_column(ForeignKey("papers.id", ondelete="CASCADE"), primary_key=True)


class Person(Base):
    """Somebody who signed in by e-mail.

    Parameters
    ----------
    id : int
        Random, so that whoever comes after a deleted account never gets its number, which old cookies still name.
    email : str
        Normalised address.
    created : int
        When the address was first given.
    confirmed : int or None
        When its owner followed the link; rows without it are deleted after 7 days.
    """

    __tablename__ = "people"
    __table_args__ = (Index("people_unconfirmed", "confirmed", "created"),)

    id: Mapped[int] = mapped_column(Number, primary_key=True, default=lambda: secrets.randbits(PERSON_BITS))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    created: Mapped[int] = mapped_column(BigInteger, default=now)
    confirmed: Mapped[int | None] = mapped_column(BigInteger)


class Vote(Base):
    """One person's vote for one paper; the key allows one.

    Parameters
    ----------
    person_id, paper_id : int
        Who and what.
    created : int
        When.
    """

    __tablename__ = "votes"
    __table_args__ = (Index("votes_by_paper", "paper_id", "created"),)

    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    paper_id: Mapped[int] = mapped_column(ForeignKey("papers.id", ondelete="CASCADE"), primary_key=True)
    created: Mapped[int] = mapped_column(BigInteger, default=now)


class Subscription(Base):
    """A digest that somebody wants.

    Parameters
    ----------
    id : int
        Row number.
    person_id : int
        Who gets it.
    rhythm : str
        ``"daily"`` or ``"weekly"``.
    topic : str
        A topic, or ``""`` for all papers.
    created : int
        When it was asked for.
    confirmed : int or None
        When it was confirmed (double opt-in); nothing is sent before.
    ended : int or None
        When it was ended; nothing is sent after.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Unique("person_id", "topic", name="subscriptions_once"),
        CheckConstraint("rhythm IN ('daily', 'weekly')", name="subscriptions_rhythm"),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    rhythm: Mapped[str] = mapped_column(String(6))
    topic: Mapped[str] = mapped_column(String(60), default="")
    created: Mapped[int] = mapped_column(BigInteger, default=now)
    confirmed: Mapped[int | None] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger)


class Token(Base):
    """A link in a mail: works once, and only until it expires. The database holds its hash, never the token.

    Parameters
    ----------
    digest : str
        SHA-256 of the token, in hexadecimal.
    purpose : str
        What following it does: ``"sign-in"``, ``"subscribe"``, ``"unsubscribe"``.
    person_id : int
        Whose it is.
    payload : dict
        What else the purpose needs.
    created, expires : int
        When it was made and when it stops working.
    used : int or None
        When it was used; set by one UPDATE that asks for NULL, so that two readers cannot both use it.
    """

    __tablename__ = "tokens"
    __table_args__ = (Index("tokens_by_expiry", "expires"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created: Mapped[int] = mapped_column(BigInteger, default=now)
    expires: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[int | None] = mapped_column(BigInteger)


class Mail(Base):
    """A mail to one address; at most one for each (address, issue).

    Parameters
    ----------
    id : int
        Row number.
    address : str
        To whom; kept as text, so that deleting a person does not allow a second sending.
    issue : str
        What: ``"digest:daily:2026-11-25"``, ``"confirm:2026-11-25"``, ...
    state : str
        ``"waiting"``, ``"sending"`` (claimed; a sender that died here is never repeated), ``"sent"``, ``"failed"``.
    created, changed : int
        When the row was made, and when its state last changed.
    message_id : str or None
        Of the mail, once it is built.
    error : str or None
        What the server said.
    payload : dict
        What the mail is made of when its turn comes; no token stands in it.
    """

    __tablename__ = "mails"
    __table_args__ = (
        Unique("address", "issue", name="mails_once"),
        Index("mails_by_state", "state", "created"),
        CheckConstraint("state IN ('waiting', 'sending', 'sent', 'failed')", name="mails_state"),
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    address: Mapped[str] = mapped_column(String(254))
    issue: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(8), default="waiting")
    created: Mapped[int] = mapped_column(BigInteger, default=now)
    changed: Mapped[int] = mapped_column(BigInteger, default=now)
    message_id: Mapped[str | None] = mapped_column(String(200))
    error: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default=text("'{}'"))


class Allowance(Base):
    """How much of a daily allowance is used.

    Parameters
    ----------
    name : str
        Whose: ``"mail:all"``, ``"mail:domain:example.org"``, ``"submit:7"``; addresses of the network as a keyed hash.
    day : int
        Days since 1970, UTC.
    count : int
        How often.
    """

    __tablename__ = "allowances"

    name: Mapped[str] = mapped_column(String(300), primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True)
    count: Mapped[int] = mapped_column(Integer, default=0)


class Run(Base):
    """One run of a paper's reproduction, asked for on the page.

    Parameters
    ----------
    id : str
        Random name in addresses.
    slug, scale, seed : str, str, int
        What is run.
    state : str
        One of `STATES`; ``interrupted`` means that the server died while it ran.
    requester : str
        Who asked: a person or an address of the network, see `educe.site.sessions.visitor`.
    progress : dict
        ``step`` (what is being computed), ``seconds``, ``expected`` seconds.
    report : dict or None
        The report as JSON, once finished.
    figure : str or None
        The report's figure as SVG text.
    error : str or None
        Why it failed, one line.
    cancel : int
        1 once somebody asked to cancel it.
    created, started, ended : int
        Times; None until reached.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_by_state", "state", "created"),
        Index("runs_by_paper", "slug", "created"),
        Index("runs_one_open", "requester", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        CheckConstraint(_KNOWN_STATE, name="runs_state"),
    )

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    slug: Mapped[str] = mapped_column(String(80))
    scale: Mapped[str] = mapped_column(String(5))
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(11), default="queued")
    requester: Mapped[str] = mapped_column(String(80))
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    figure: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    cancel: Mapped[int] = mapped_column(Integer, default=0)
    created: Mapped[int] = mapped_column(BigInteger, default=now)
    started: Mapped[int | None] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger)


class Answered(Base):
    """A question put on the page and what came out; its address is the permalink.

    Parameters
    ----------
    id : str
        Random name in addresses.
    question : dict
        ``text``, ``kind`` and ``choices``.
    method, lm, budget : str
        As the command takes them.
    seed : int
        Root of all draws.
    state : str
        One of `STATES`.
    requester : str
        Who asked.
    progress : dict
        ``samples`` (the finished ones as they came), ``tally``, ``ledger``.
    result : dict or None
        The object that ``educe ask --json`` prints, once finished.
    error : str or None
        Why it failed, one line.
    cancel : int
        1 once somebody asked to cancel it.
    created, started, ended : int
        Times; None until reached.
    """

    __tablename__ = "answers"
    __table_args__ = (
        Index("answers_by_state", "state", "created"),
        Index("answers_one_open", "requester", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        CheckConstraint(_KNOWN_STATE, name="answers_state"),
    )

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    question: Mapped[dict[str, Any]] = mapped_column(JSON)
    method: Mapped[str] = mapped_column(String(200))
    lm: Mapped[str] = mapped_column(String(200))
    budget: Mapped[str] = mapped_column(String(200), default="")
    seed: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(11), default="queued")
    requester: Mapped[str] = mapped_column(String(80))
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    cancel: Mapped[int] = mapped_column(Integer, default=0)
    created: Mapped[int] = mapped_column(BigInteger, default=now)
    started: Mapped[int | None] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger)
