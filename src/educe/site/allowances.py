"""Daily allowances, counted in the database so that they hold for all processes and after a restart.

A window is a day in UTC. Counting and reading are one statement: two requests at once cannot both take the last one.
"""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from educe.site.schema import Allowance, Base, now

__all__ = ["DAY", "charge", "insert_into", "take"]

DAY = 86400


def insert_into(session: Session, table: type[Base]) -> Any:
    """Return an INSERT that knows ``ON CONFLICT``, which SQLAlchemy has for each database apart.

    Parameters
    ----------
    session : Session
        Tells which database.
    table : type
        A table of the schema.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(table)


def charge(session: Session, name: str) -> int:
    """Count one more and return the day's count.

    Parameters
    ----------
    session : Session
        To write with; what it counted is undone where the transaction fails.
    name : str
        Whose allowance.
    """
    statement = insert_into(session, Allowance).values(name=name, day=now() // DAY, count=1)
    count: int = session.execute(
        statement.on_conflict_do_update(index_elements=["name", "day"], set_={"count": Allowance.count + 1}).returning(
            Allowance.count
        )
    ).scalar_one()
    return count


def take(session: Session, name: str, most: int, message: str) -> None:
    """Count one more, or refuse.

    Parameters
    ----------
    session : Session
        To write with.
    name : str
        Whose allowance.
    most : int
        Times a day.
    message : str
        What a visitor is told who is refused.

    Raises
    ------
    HTTPException
        The allowance is used up: status 429.
    """
    if charge(session, name) > most:
        # Tomorrow begins at midnight in UTC, for everybody.
        raise HTTPException(429, message, headers={"retry-after": str(DAY - now() % DAY)})
