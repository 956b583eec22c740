"""Asking for a digest, confirming it, ending it.

Double opt-in: nothing is stored but the unconfirmed address and the wish, until the owner of the mailbox presses the
button behind the link. Somebody who is signed in has shown that before, so the wish alone is enough.

Ending needs no sign-in: each digest carries a link, and the headers of RFC 8058 let a mail program end it with one
POST, which has no cookie, no ``Origin`` and no answer that anybody reads.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from educe.core import UsageError
from educe.site.addresses import parse_address
from educe.site.allowances import insert_into
from educe.site.letters import ask_for_letter, mail_note
from educe.site.links import read_token, use_token
from educe.site.pages import TheSite
from educe.site.rendering import page
from educe.site.schema import Person, Subscription, now
from educe.site.sign_in import AddressField, ThePostman, TokenText, gone, person_here, private
from educe.site.state import Site

__all__ = ["end", "router", "subscribe"]

router = APIRouter(include_in_schema=False)
Rhythm = Literal["daily", "weekly"]
MOST_TOPICS = 20
OFFERED = 40


def subscribe(session: Session, person: int, rhythm: str, topics: list[str]) -> None:
    """Store what somebody confirmed; a topic that they get already takes the new rhythm.

    Parameters
    ----------
    session : Session
        To write with.
    person : int
        Row number.
    rhythm : str
        ``"daily"`` or ``"weekly"``.
    topics : list of str
        Topics; ``""`` is all papers.
    """
    moment = now()
    for topic in topics:
        statement = insert_into(session, Subscription).values(
            person_id=person, rhythm=rhythm, topic=topic, created=moment, confirmed=moment
        )
        again = {"rhythm": rhythm, "confirmed": moment, "ended": None}
        session.execute(statement.on_conflict_do_update(index_elements=["person_id", "topic"], set_=again))


def end(session: Session, person: int, *, rhythm: str | None = None, number: int | None = None) -> int:
    """End subscriptions of one person and return how many.

    Parameters
    ----------
    session : Session
        To write with.
    person : int
        Row number.
    rhythm : str, optional
        Only those of this rhythm.
    number : int, optional
        Only the one with this row number.
    """
    statement = update(Subscription).where(Subscription.person_id == person, Subscription.ended.is_(None))
    if rhythm is not None:
        statement = statement.where(Subscription.rhythm == rhythm)
    if number is not None:
        statement = statement.where(Subscription.id == number)
    return len(session.execute(statement.values(ended=now()).returning(Subscription.id)).all())


def _checked_topics(site: Site, topics: list[str]) -> list[str]:
    known = {topic for topic, _ in site.topics()}
    chosen = list(dict.fromkeys(topics)) or [""]
    unknown = [topic for topic in chosen if topic and topic not in known]
    if unknown:
        raise UsageError(f"There is no topic {unknown[0][:60]!r}. Choose among those on the page.")
    if len(chosen) > MOST_TOPICS:
        raise UsageError(f"{len(chosen)} topics are too many. Choose at most {MOST_TOPICS}, or all papers.")
    return [""] if "" in chosen else chosen


def _form(
    site: Site, person: Person | None, *, status: int = 200, problem: str | None = None, email: str = "",
    rhythm: str = "weekly", chosen: tuple[str, ...] = (),
) -> Response:  # fmt: skip
    return private(
        page(
            "subscribe.html", status=status, person=person, problem=problem, email=email, rhythm=rhythm, chosen=chosen,
            topics=[topic for topic, _ in site.topics()[:OFFERED]], note=mail_note(site.config), here="/subscribe",
        )
    )  # fmt: skip


@router.get("/subscribe", response_class=HTMLResponse)
def form(request: Request, site: TheSite, topic: str = "") -> Response:
    """Offer the digests."""
    return _form(site, person_here(request, site), chosen=(topic,) if topic else ())


@router.post("/subscribe", response_class=HTMLResponse)
def ask(
    request: Request,
    site: TheSite,
    postman: ThePostman,
    rhythm: Annotated[Rhythm, Form()],
    email: AddressField = "",
    topic: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Subscribe whoever is signed in; send everybody else a link, if the address may get one."""
    person = person_here(request, site)
    try:
        topics = _checked_topics(site, topic or [])
        address = None if person else parse_address(email)
    except UsageError as error:
        return _form(
            site, person, status=422, problem=str(error), email=email, rhythm=rhythm, chosen=tuple(topic or [])
        )
    if person is not None:
        with site.database.write() as session:
            subscribe(session, person.id, rhythm, topics)
        return private(RedirectResponse("/account", 303))
    assert address is not None
    ask_for_letter(site, request, address, {"kind": "subscribe", "rhythm": rhythm, "topics": topics})
    postman.wake()
    return private(page("mail_sent.html", address=address, note=mail_note(site.config)))


@router.get("/subscribe/confirm", response_class=HTMLResponse)
def show_link(site: TheSite, token: str = "") -> Response:
    """Show the button; nothing happens yet."""
    with site.database.read() as session:
        found = read_token(session, site.secret, "subscribe", token)
    if found is None:
        return private(gone("/subscribe"))
    return private(page("subscribe_confirm.html", token=token, person=found[1], wish=found[0].payload))


@router.post("/subscribe/confirm", response_class=HTMLResponse)
def confirm(site: TheSite, token: TokenText = "") -> Response:
    """Subscribe the owner of the address."""
    with site.database.write() as session:
        found = use_token(session, site.secret, "subscribe", token)
        if found is not None:
            link, person = found
            person.confirmed = person.confirmed or now()
            subscribe(session, person.id, link.payload["rhythm"], list(link.payload["topics"]))
    if found is None:
        return private(gone("/subscribe"))
    return private(page("subscribed.html", wish=found[0].payload, person=found[1]))


@router.post("/subscriptions/end")
def end_some(request: Request, site: TheSite, number: Annotated[int | None, Form()] = None) -> Response:
    """End one subscription of whoever is signed in, or all."""
    person = person_here(request, site)
    if person is None:
        return private(RedirectResponse("/sign-in?next=/account", 303))
    with site.database.write() as session:
        end(session, person.id, number=number)
    return private(RedirectResponse("/account", 303))


@router.get("/unsubscribe", response_class=HTMLResponse)
def show_unsubscribe(site: TheSite, token: str = "") -> Response:
    """Show the buttons; nothing happens yet."""
    with site.database.read() as session:
        found = read_token(session, site.secret, "unsubscribe", token)
        if found is None:
            return private(gone("/account"))
        link, person = found
        chosen = select(Subscription).where(Subscription.person_id == person.id, Subscription.ended.is_(None))
        others = [row for row in session.scalars(chosen) if row.rhythm != link.payload["rhythm"]]
    return private(
        page("unsubscribe.html", token=token, rhythm=link.payload["rhythm"], person=person, others=bool(others))
    )


@router.post("/unsubscribe", response_class=HTMLResponse)
def unsubscribe(site: TheSite, token: str = "", every: Annotated[bool, Form()] = False) -> Response:
    """End the digest that a link came with, or every one; a mail program's one-click request comes here too."""
    with site.database.write() as session:
        found = use_token(session, site.secret, "unsubscribe", token)
        if found is not None:
            end(session, found[1].id, rhythm=None if every else found[0].payload["rhythm"])
    if found is None:
        return private(gone("/account"))
    return private(page("unsubscribed.html", rhythm=None if every else found[0].payload["rhythm"], person=found[1]))
