"""Links in mails: signed, good once, and only for a while.

A token is random, signed by `itsdangerous` with the site's secret under a salt of its own for each purpose; the
database holds its SHA-256, its purpose, its owner and when it expires. Signature and row must both agree: who reads the
database cannot make a link of it, and who has the secret alone cannot either. Using it is one UPDATE that asks for an
unused row.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Literal

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from educe.site.schema import Person, Token, now

__all__ = ["GONE", "Purpose", "make_token", "read_token", "use_token"]

Purpose = Literal["sign-in", "subscribe", "unsubscribe"]
GONE = "This link was used already, has expired, or is incomplete."
LONGEST = 300


def _serializer(secret: str, purpose: Purpose) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt=f"educe.link.{purpose}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def make_token(
    session: Session, secret: str, purpose: Purpose, person: int, payload: dict[str, Any], seconds: int
) -> str:
    """Make a token and store its hash.

    Parameters
    ----------
    session : Session
        To write with.
    secret : str
        The site's.
    purpose : str
        What following the link does.
    person : int
        Row number of its owner.
    payload : dict
        What else the purpose needs.
    seconds : int
        How long it is good.
    """
    token = str(_serializer(secret, purpose).dumps(secrets.token_urlsafe(18)))
    session.add(
        Token(digest=_digest(token), purpose=purpose, person_id=person, payload=payload, expires=now() + seconds)
    )
    return token


def _signed(secret: str, purpose: Purpose, token: str) -> bool:
    if len(token) > LONGEST:
        return False
    try:
        _serializer(secret, purpose).loads(token)
    except BadData:
        return False
    return True


def read_token(session: Session, secret: str, purpose: Purpose, token: str) -> tuple[Token, Person] | None:
    """Return a good token and its owner without using it; None where it is forged, used, expired or of another purpose.

    Parameters
    ----------
    session : Session
        To read with.
    secret : str
        The site's.
    purpose : str
        What the page is for.
    token : str
        From a link.
    """
    if not _signed(secret, purpose, token):
        return None
    found = session.execute(
        select(Token, Person)
        .join(Person, Person.id == Token.person_id)
        .where(Token.digest == _digest(token), Token.purpose == purpose)
        .where(Token.used.is_(None), Token.expires > now())
    ).first()
    return None if found is None else (found[0], found[1])


def use_token(session: Session, secret: str, purpose: Purpose, token: str) -> tuple[Token, Person] | None:
    """Use a token: of several who try at once, one gets it and the others get None.

    Parameters
    ----------
    session : Session
        To write with.
    secret : str
        The site's.
    purpose : str
        What the link is for.
    token : str
        From a link.
    """
    if not _signed(secret, purpose, token):
        return None
    taken = session.execute(
        update(Token)
        .where(Token.digest == _digest(token), Token.purpose == purpose)
        .where(Token.used.is_(None), Token.expires > now())
        .values(used=now())
        .returning(Token.person_id)
    ).first()
    if taken is None:
        return None
    return session.get_one(Token, _digest(token)), session.get_one(Person, taken[0])
