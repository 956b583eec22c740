"""Votes: one for each person and paper, and the order that they give."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from educe.site.listing import heat
from educe.site.pages import TheSite
from educe.site.paper_page import Slug, find_paper
from educe.site.rendering import page
from educe.site.schema import Paper, Person, Vote

__all__ = ["cast_vote", "recount", "router", "withdraw_vote"]

router = APIRouter(include_in_schema=False)


def cast_vote(session: Session, person: int, paper: int) -> bool:
    """Give a person's vote to a paper.

    Parameters
    ----------
    session : Session
        To write with.
    person, paper : int
        Row numbers.

    Returns
    -------
    bool
        False where the person had voted already; nothing changes then.
    """
    if session.get(Vote, (person, paper)) is not None:
        return False
    try:
        with session.begin_nested():
            session.add(Vote(person_id=person, paper_id=paper))
    except IntegrityError:
        # Two requests of one person at the same time: the key lets one through.
        return False
    recount(session, paper)
    return True


def withdraw_vote(session: Session, person: int, paper: int) -> bool:
    """Take a person's vote back.

    Parameters
    ----------
    session : Session
        To write with.
    person, paper : int
        Row numbers.

    Returns
    -------
    bool
        False where there was none.
    """
    gone = session.execute(
        delete(Vote).where(Vote.person_id == person, Vote.paper_id == paper).returning(Vote.paper_id)
    ).all()
    if gone:
        recount(session, paper)
    return bool(gone)


def recount(session: Session, paper: int) -> None:
    """Count a paper's votes anew.

    Parameters
    ----------
    session : Session
        To write with.
    paper : int
        Row number.
    """
    # Counted anew, not incremented: the row is locked first, so that two voters at once cannot count past each other.
    row = session.scalars(select(Paper).where(Paper.id == paper).with_for_update()).one()
    times = list(session.scalars(select(Vote.created).where(Vote.paper_id == paper)))
    row.votes, row.heat = len(times), heat(times)


@router.post("/papers/{slug}/vote")
def vote(request: Request, site: TheSite, slug: Slug, withdraw: Annotated[bool, Form()] = False) -> Response:
    """Vote for a paper, or take the vote back."""
    person = site.signer.person(request)
    with site.database.read() as session:
        paper = find_paper(session, slug)
        known = person is not None and session.scalar(
            select(func.count()).where(Person.id == person, Person.confirmed.is_not(None))
        )
    if person is None or not known:
        target = f"/sign-in?next=/papers/{slug}"
        if request.headers.get("hx-request"):
            return Response(status_code=204, headers={"hx-redirect": target})
        return RedirectResponse(target, 303)
    with site.database.write(visible=True) as session:
        (withdraw_vote if withdraw else cast_vote)(session, person, paper.id)
    if request.headers.get("hx-request"):
        with site.database.read() as session:
            return page("_vote.html", paper=find_paper(session, slug), voted=not withdraw)
    return RedirectResponse(f"/papers/{slug}", 303)
