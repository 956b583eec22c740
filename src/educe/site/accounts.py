"""What somebody who signed in finds under their name, and how they leave.

Deleting an account takes at once everything that names its person: the address, votes (papers are counted anew),
subscriptions, links, mails, and the questions that were asked; one that is being worked on stops. What stays names
nobody: papers that they submitted, and results of reproductions that they started.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from educe.site.letters import mail_note
from educe.site.pages import TheSite
from educe.site.rendering import page
from educe.site.schema import OPEN_STATES, Answered, Mail, Person, Run, Subscription, Vote
from educe.site.sign_in import forget, person_here, private
from educe.site.votes import recount

__all__ = ["delete_account", "router"]

router = APIRouter(include_in_schema=False)
NOBODY = "deleted"


def delete_account(session: Session, person: Person) -> None:
    """Delete a person and what names them.

    Parameters
    ----------
    session : Session
        To write with.
    person : Person
        Who leaves.
    """
    voted = list(session.scalars(select(Vote.paper_id).where(Vote.person_id == person.id).order_by(Vote.paper_id)))
    requester = f"person:{person.id}"
    session.execute(delete(Answered).where(Answered.requester == requester))
    session.execute(delete(Run).where(Run.requester == requester, Run.state.in_(OPEN_STATES)))
    session.execute(update(Run).where(Run.requester == requester).values(requester=NOBODY))
    session.execute(delete(Mail).where(Mail.address == person.email))
    # Votes, subscriptions and links go with the row that they belong to.
    session.execute(delete(Person).where(Person.id == person.id))
    for paper in voted:
        recount(session, paper)


@router.get("/account", response_class=HTMLResponse)
def account(request: Request, site: TheSite) -> Response:
    """Show who is signed in and what they get."""
    person = person_here(request, site)
    if person is None:
        return private(RedirectResponse("/sign-in?next=/account", 303))
    with site.database.read() as session:
        chosen = select(Subscription).where(Subscription.person_id == person.id, Subscription.ended.is_(None))
        subscriptions = list(session.scalars(chosen.order_by(Subscription.topic)))
    return private(page("account.html", person=person, subscriptions=subscriptions, note=mail_note(site.config)))


@router.get("/account/delete", response_class=HTMLResponse)
def ask(request: Request, site: TheSite) -> Response:
    """Say what goes and what stays, and show the button; nothing happens yet."""
    person = person_here(request, site)
    if person is None:
        return private(RedirectResponse("/sign-in?next=/account/delete", 303))
    return private(page("account_delete.html", person=person))


@router.post("/account/delete", response_class=HTMLResponse)
def leave(request: Request, site: TheSite) -> Response:
    """Delete the account of whoever is signed in."""
    person = person_here(request, site)
    if person is None:
        return private(RedirectResponse("/sign-in?next=/account/delete", 303))
    with site.database.write(visible=True) as session:
        delete_account(session, person)
    site.runner.wake()
    response = page("account_deleted.html")
    forget(request, site, response)
    return private(response)
