"""The queue of runs and questions, which is two tables: put in, claim, report, end.

What waits, runs and ended stands in the database and nowhere else, so that a server that dies forgets nothing and any
process can show how far a run is. A unique index allows each visitor one open run and one open question.
"""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from educe.core import EduceError
from educe.site.database import Database
from educe.site.schema import OPEN_STATES, Answered, Run, now

__all__ = [
    "BusyError",
    "FullError",
    "ask_to_cancel",
    "claim",
    "enqueue",
    "finish",
    "interrupt_all",
    "open_count",
    "open_one",
    "report_progress",
    "wanted_cancel",
]

Work = Run | Answered
Kind = type[Run] | type[Answered]
W = TypeVar("W", Run, Answered)


class BusyError(EduceError):
    """The visitor's previous run or question has not ended."""


class FullError(EduceError):
    """As many runs or questions wait as may."""


def enqueue(database: Database, work: W, most: int) -> str:
    """Put a run or a question into the queue.

    Parameters
    ----------
    database : Database
        Where to.
    work : Run or Answered
        The row, without id and state.
    most : int
        How many may wait.

    Returns
    -------
    str
        Its id.

    Raises
    ------
    BusyError
        The visitor has one that has not ended.
    FullError
        The queue is full.
    """
    kind = type(work)
    noun = "run" if kind is Run else "question"
    work.id = secrets.token_urlsafe(12)
    work.state, work.created = "queued", now()
    try:
        with database.write(visible=kind is Run) as session:
            waiting = session.scalar(select(func.count()).select_from(kind).where(kind.state == "queued")) or 0
            if waiting >= most:
                raise FullError(f"{waiting} {noun}s wait already, which is all that may. Try again in a few minutes.")
            session.add(work)
    except IntegrityError:
        raise BusyError(f"Your previous {noun} has not ended. Wait for it, or cancel it.") from None
    return work.id


def open_one(session: Session, kind: Kind, requester: str) -> str | None:
    """Return the id of a visitor's open run or question.

    Parameters
    ----------
    session : Session
        To read with.
    kind : type
        `Run` or `Answered`.
    requester : str
        The visitor.
    """
    return session.scalar(select(kind.id).where(kind.requester == requester, kind.state.in_(OPEN_STATES)))


def open_count(session: Session, kind: Kind) -> int:
    """Return how many wait or are worked on.

    Parameters
    ----------
    session : Session
        To read with.
    kind : type
        `Run` or `Answered`.
    """
    return session.scalar(select(func.count()).select_from(kind).where(kind.state.in_(OPEN_STATES))) or 0


def claim(database: Database, kind: Kind) -> Work | None:
    """Take the oldest waiting run or question.

    Parameters
    ----------
    database : Database
        Where from.
    kind : type
        `Run` or `Answered`.
    """
    oldest = select(kind.id).where(kind.state == "queued").order_by(kind.created, kind.id).limit(1)
    with database.read() as session:
        # Looked at first: the usual answer is that nothing waits, and a reader disturbs no writer.
        if session.scalar(oldest) is None:
            return None
    with database.write(visible=kind is Run) as session:
        number = session.scalar(oldest)
        taken = session.scalar(
            update(kind)
            .where(kind.id == number, kind.state == "queued")
            .values(state="running", started=now())
            .returning(kind.id)
        )
        found: Work | None = None if taken is None else session.scalars(select(kind).where(kind.id == taken)).one()  # type: ignore[assignment]
        return found


def report_progress(database: Database, kind: Kind, number: str, progress: dict[str, Any]) -> None:
    """Write down how far one is.

    Parameters
    ----------
    database : Database
        Where to.
    kind : type
        `Run` or `Answered`.
    number : str
        Its id.
    progress : dict
        What readers are shown.
    """
    with database.write() as session:
        session.execute(update(kind).where(kind.id == number, kind.state == "running").values(progress=progress))


def finish(database: Database, kind: Kind, number: str, state: str, **values: Any) -> None:
    """Write down how one ended, and everything that came out, in one step.

    Parameters
    ----------
    database : Database
        Where to.
    kind : type
        `Run` or `Answered`.
    number : str
        Its id.
    state : str
        One of `educe.site.schema.STATES`.
    **values
        Further columns.
    """
    with database.write(visible=kind is Run) as session:
        session.execute(update(kind).where(kind.id == number).values(state=state, ended=now(), **values))


def ask_to_cancel(database: Database, kind: Kind, number: str) -> None:
    """Cancel one that waits, and ask whoever works on it to stop.

    Parameters
    ----------
    database : Database
        Where to.
    kind : type
        `Run` or `Answered`.
    number : str
        Its id.
    """
    with database.write(visible=kind is Run) as session:
        session.execute(
            update(kind).where(kind.id == number, kind.state == "queued").values(state="cancelled", ended=now())
        )
        session.execute(update(kind).where(kind.id == number, kind.state == "running").values(cancel=1))


def wanted_cancel(database: Database, kind: Kind, number: str) -> bool:
    """Whether somebody asked to cancel one, or it was deleted.

    Parameters
    ----------
    database : Database
        Where to look.
    kind : type
        `Run` or `Answered`.
    number : str
        Its id.
    """
    with database.read() as session:
        return session.scalar(select(kind.cancel).where(kind.id == number)) != 0


def interrupt_all(database: Database) -> int:
    """Mark what a dead server was working on; called by the one that takes its place.

    Parameters
    ----------
    database : Database
        Where to.

    Returns
    -------
    int
        How many were marked. What waited goes on waiting.
    """
    with database.read() as session:
        running = sum(
            session.scalar(select(func.count()).select_from(kind).where(kind.state == "running")) or 0
            for kind in (Run, Answered)
        )
    if running:
        with database.write(visible=True) as session:
            for kind in (Run, Answered):
                session.execute(
                    update(kind)
                    .where(kind.state == "running")
                    .values(state="interrupted", ended=now(), error="The server ended while this was worked on.")
                )
    return running
