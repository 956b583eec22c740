"""Mails that hold one link: asking for them, and what stands in them.

Whether an address is known must not show. So asking does the same work for every address, the same statements in the
same order, and the mail itself is made and sent later by `educe.site.postman`; the answer never waits for it.

An address that is not confirmed gets one mail a day, whatever is asked for: the key of its row, (address, day), is what
keeps that. A confirmed one may also sign in a few times.
"""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from educe.site.addresses import address_name, domain_of, network_name
from educe.site.allowances import charge, insert_into, take
from educe.site.config import SiteConfig, is_loopback
from educe.site.links import make_token
from educe.site.mail import new_message
from educe.site.rendering import render
from educe.site.schema import Mail, Person, now
from educe.site.state import Site

__all__ = ["Letter", "ask_for_letter", "compose_letter", "mail_base", "mail_note"]

HOUR = 3600
SIGN_IN_SECONDS = HOUR
CONFIRM_SECONDS = 24 * HOUR  # One confirmation a day: its link must last until the next may be asked for.
Letter = dict[str, Any]


def mail_base(config: SiteConfig, request: Request | None = None) -> str:
    """Return the address that links in mails begin with.

    Parameters
    ----------
    config : SiteConfig
        Says it, or that this machine alone reads the site.
    request : Request, optional
        Who asks; its host is believed only where the outermost layer has checked that it is this machine.

    Raises
    ------
    HTTPException
        The site is read by others and has not been told its address: a link made from what a request says would send
        somebody's token wherever the asker likes. Status 503.
    """
    if config.url is not None:
        return config.url
    if config.key is not None or not is_loopback(config.host):
        raise HTTPException(503, "This site sends no mail: its operator has not set EDUCE_SITE_URL.")
    return str(request.base_url).rstrip("/") if request is not None else "http://127.0.0.1:8000"


def mail_note(config: SiteConfig) -> str | None:
    """Return what the pages say where there is no mail server, None where there is one.

    Parameters
    ----------
    config : SiteConfig
        How the site is set up.
    """
    if config.mail.server is not None:
        return None
    where = str(config.folder / "outbox") if config.key is None and is_loopback(config.host) else "the outbox folder"
    return f"No mail server is set up. Mails are written as .eml files into {where}, where the operator finds them."


def ask_for_letter(site: Site, request: Request, address: str, letter: Letter) -> None:
    """Put a mail with a link into the queue, if the address may get one; the asker cannot tell.

    Parameters
    ----------
    site : Site
        Whose mail.
    request : Request
        Tells the network that the asker comes from.
    address : str
        From `educe.site.addresses.parse_address`.
    letter : dict
        ``kind`` (``"sign-in"`` or ``"subscribe"``) and what the link needs.

    Raises
    ------
    HTTPException
        The allowance of the network, of the mail domain or of the site is used up: status 429.
    """
    limits = site.config.mail.limits
    base = mail_base(site.config, request)
    host = request.client.host if request.client else "unknown"
    network, domain = network_name(host, site.secret), domain_of(address)
    with site.database.write() as session:
        take(
            session, f"mail:network:{network}", limits.per_network,
            "Too many mails were asked for from your network today. Try again tomorrow.",
        )  # fmt: skip
        take(
            session, f"mail:domain:{domain}", limits.per_domain,
            f"Too many mails were asked for to {domain} today. Try again tomorrow.",
        )  # fmt: skip
        take(session, "mail:all", limits.total, "This site has sent all the mails it may today. Try again tomorrow.")
        session.execute(
            insert_into(session, Person).values(email=address, created=now()).on_conflict_do_nothing()
        )
        confirmed = session.scalar(select(Person.confirmed).where(Person.email == address))
        asked = min(charge(session, f"mail:sign-in:{address_name(address, site.secret)}"), limits.sign_ins)
        day = datetime.datetime.now(datetime.UTC).date()
        often = letter["kind"] == "sign-in" and confirmed is not None
        issue = f"sign-in:{day}:{asked}" if often else f"confirm:{day}"
        session.execute(
            insert_into(session, Mail)
            .values(address=address, issue=issue, state="waiting", payload={**letter, "base": base},
                    created=now(), changed=now())
            .on_conflict_do_nothing()
        )  # fmt: skip


def compose_letter(site: Site, session: Session, mail: Mail) -> Any:
    """Make a mail with a link that is good once, None where its owner is gone.

    Parameters
    ----------
    site : Site
        Whose mail.
    session : Session
        To write the link's row with.
    mail : Mail
        The row; its ``message_id`` is set.
    """
    person = session.scalars(select(Person).where(Person.email == mail.address)).first()
    if person is None:
        return None
    letter = dict(mail.payload)
    kind, base = letter.pop("kind"), letter.pop("base")
    lasting = CONFIRM_SECONDS if mail.issue.startswith("confirm:") else SIGN_IN_SECONDS
    token = make_token(session, site.secret, kind, person.id, letter, lasting)
    path = "sign-in/confirm" if kind == "sign-in" else "subscribe/confirm"
    values: dict[str, Any] = {
        "kind": kind,
        "letter": letter,
        "link": f"{base}/{path}?token={quote(token, safe='')}",
        "hours": lasting // HOUR,
        "site": base,
    }
    subject = "Sign in to educe" if kind == "sign-in" else "Confirm your educe digest"
    assert mail.message_id is not None
    return new_message(
        site.config.mail, mail.address, subject, render("mail/link.txt", **values), render("mail/link.html", **values),
        mail.message_id,
    )  # fmt: skip
