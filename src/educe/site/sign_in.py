"""Signing in by a link in a mail: no passwords, and no telling who is known here.

The link's page shows a button, and only pressing it signs in: programs that look at every link of a mail sign nobody
in.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select

from educe.core import UsageError
from educe.site.addresses import parse_address, safe_path
from educe.site.letters import ask_for_letter, mail_note
from educe.site.links import GONE, read_token, use_token
from educe.site.pages import TheSite
from educe.site.postman import Postman, postman_of
from educe.site.rendering import page
from educe.site.schema import Person, now
from educe.site.state import Site

__all__ = ["ThePostman", "forget", "gone", "person_here", "private", "router"]

router = APIRouter(include_in_schema=False)
ThePostman = Annotated[Postman, Depends(postman_of)]
AddressField = Annotated[str, Form(max_length=400)]
TokenText = Annotated[str, Form(max_length=400)]


def person_here(request: Request, site: Site) -> Person | None:
    """Return who is signed in, None for everyone else and for those whose address was not confirmed.

    Parameters
    ----------
    request : Request
        Carries the session.
    site : Site
        Knows the people.
    """
    number = site.signer.person(request)
    if number is None:
        return None
    with site.database.read() as session:
        return session.scalars(select(Person).where(Person.id == number, Person.confirmed.is_not(None))).first()


def private(response: Response) -> Response:
    """Mark a page that belongs to one reader: no cache keeps it, and its address is told to nobody.

    Parameters
    ----------
    response : Response
        The page.
    """
    response.headers["cache-control"] = "no-store"
    response.headers["referrer-policy"] = "no-referrer"
    return response


def gone(again: str) -> HTMLResponse:
    """Answer to a link that is not good (any more): one answer, whatever is wrong with it.

    Parameters
    ----------
    again : str
        Path where a new one can be asked for.
    """
    return page("link_gone.html", status=410, message=GONE, again=again)


@router.get("/sign-in", response_class=HTMLResponse)
def form(request: Request, site: TheSite, next: str = "/") -> Response:
    """Ask for an address."""
    person = person_here(request, site)
    return private(
        page("sign_in.html", next=safe_path(next), note=mail_note(site.config), problem=None, email="", person=person)
    )


@router.post("/sign-in", response_class=HTMLResponse)
def ask(
    request: Request,
    site: TheSite,
    postman: ThePostman,
    email: AddressField = "",
    next: Annotated[str, Form(max_length=400)] = "/",
) -> Response:
    """Send a link, if the address may get one; the answer does not tell."""
    try:
        address = parse_address(email)
    except UsageError as error:
        shown: dict[str, Any] = {"next": safe_path(next), "note": mail_note(site.config), "person": None}
        return private(page("sign_in.html", status=422, problem=str(error), email=email, **shown))
    ask_for_letter(site, request, address, {"kind": "sign-in", "next": safe_path(next)})
    postman.wake()
    return private(page("mail_sent.html", address=address, note=mail_note(site.config)))


@router.get("/sign-in/confirm", response_class=HTMLResponse)
def show_link(site: TheSite, token: str = "") -> Response:
    """Show the button; nothing happens yet."""
    with site.database.read() as session:
        found = read_token(session, site.secret, "sign-in", token)
    if found is None:
        return private(gone("/sign-in"))
    return private(page("sign_in_confirm.html", token=token, person=found[1]))


@router.post("/sign-in/confirm")
def confirm(request: Request, site: TheSite, token: TokenText = "") -> Response:
    """Sign in."""
    with site.database.write() as session:
        found = use_token(session, site.secret, "sign-in", token)
        if found is not None and found[1].confirmed is None:
            found[1].confirmed = now()
    if found is None:
        return private(gone("/sign-in"))
    link, person = found
    response = RedirectResponse(safe_path(str(link.payload.get("next", "/"))), 303)
    site.signer.write(request, response, {**site.signer.session(request), "person": person.id})
    return private(response)


@router.post("/sign-out")
def sign_out(request: Request, site: TheSite) -> Response:
    """Forget who is signed in."""
    response = RedirectResponse("/", 303)
    forget(request, site, response)
    return private(response)


def forget(request: Request, site: Site, response: Response) -> None:
    """End the session of a person; the server key of this session, if any, stays.

    Parameters
    ----------
    request : Request
        Carries the session.
    site : Site
        Knows the signature.
    response : Response
        Gets the cookie.
    """
    session = {name: value for name, value in site.signer.session(request).items() if name != "person"}
    site.signer.write(request, response, session)
