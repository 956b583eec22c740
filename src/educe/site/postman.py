"""Sends the mails that wait, each at most once, and keeps house: due digests, addresses nobody confirmed, old rows.

A mail is ``waiting``, then ``sending``, then ``sent`` or ``failed``; each step is committed before the next begins. A
sender that dies leaves at most one mail in ``sending``, and nobody can know whether that one went out: it is reported
and never repeated. All others are still waiting, and the next sender goes on with them.

Claiming is one UPDATE that asks for ``waiting``, so several senders may work at once. One of them, which holds a lock
file, also keeps house; a lock is free when its holder died, so what it finds in ``sending`` at the start is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage

from fastapi import Request
from sqlalchemy import case, delete, or_, select, update

from educe.site.allowances import DAY
from educe.site.digests import compose_digest, due_issues, enqueue
from educe.site.letters import compose_letter
from educe.site.mail import (
    DeferredError,
    Outbox,
    RefusedError,
    SmtpTransport,
    Transport,
    UncertainError,
    message_id,
)
from educe.site.schema import Allowance, Mail, Person, Token, now
from educe.site.state import Site

__all__ = ["Postman", "clean", "postman_of", "report_lost", "senders_lock"]

POLL = 1.0  # Seconds between looks; another process may have taken the request.
HOUSE = 60.0
RETRY = 300
GIVE_UP = DAY
BATCH = 50
UNCONFIRMED_DAYS = 7
KEPT_DAYS = 30  # Longer than any issue can be asked for again.
LOST = "The sender ended while it sent this mail; nobody knows whether it went out, so it is not sent again."


@contextlib.contextmanager
def senders_lock(site: Site) -> Iterator[bool]:
    """Try to be the sender that keeps house; False where another process is.

    Parameters
    ----------
    site : Site
        Whose mails.
    """
    path = site.config.folder / "mail.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def report_lost(site: Site) -> list[tuple[str, str]]:
    """Mark what a dead sender left in ``sending``, and return the (address, issue) of each.

    Parameters
    ----------
    site : Site
        Whose mails; the caller holds `senders_lock`.
    """
    with site.database.write() as session:
        lost = session.execute(
            update(Mail)
            .where(Mail.state == "sending")
            .values(state="failed", error=LOST, changed=now())
            .returning(Mail.address, Mail.issue)
        ).all()
    if lost:
        site.log.event("mails-lost", count=len(lost), issues=sorted({issue for _, issue in lost}))
    return [(address, issue) for address, issue in lost]


def clean(site: Site) -> int:
    """Delete addresses that nobody confirmed for seven days, with all that hangs on them, and rows that are done with.

    Parameters
    ----------
    site : Site
        Whose.

    Returns
    -------
    int
        How many addresses went.
    """
    moment = now()
    with site.database.write() as session:
        gone = session.execute(
            delete(Person)
            .where(Person.confirmed.is_(None), Person.created < moment - UNCONFIRMED_DAYS * DAY)
            .returning(Person.id)
        ).all()
        # The mails of such an address hold it as text.
        old = Mail.created < moment - UNCONFIRMED_DAYS * DAY
        session.execute(delete(Mail).where(old, Mail.address.not_in(select(Person.email))))
        session.execute(
            delete(Mail).where(Mail.state.in_(("sent", "failed")), Mail.created < moment - KEPT_DAYS * DAY)
        )
        session.execute(delete(Token).where(Token.expires < moment - DAY))
        session.execute(delete(Allowance).where(Allowance.day < moment // DAY))
    return len(gone)


@dataclass(frozen=True)
class _Claimed:
    number: int
    message: EmailMessage


class Postman:
    """Sends the mails of one site.

    Parameters
    ----------
    site : Site
        Whose mails.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._stopping = False
        self._done: set[str] = set()

    def start(self) -> None:
        """Begin; must be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.create_task(self._work())

    def wake(self) -> None:
        """Look for mails now; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def stop(self) -> None:
        """Let the mail that is being sent go out, then end."""
        self._stopping = True
        self.wake()
        if self._main is not None:
            done, _ = await asyncio.wait({self._main}, timeout=self.site.config.limits.grace_seconds)
            if not done:
                self._main.cancel()
                await asyncio.gather(self._main, return_exceptions=True)

    async def _work(self) -> None:
        while not self._stopping:
            with senders_lock(self.site) as mine:
                if mine:
                    await self._keep_at_it()
            await self._pause(POLL)

    async def _keep_at_it(self) -> None:
        looked = kept = float("-inf")
        begun = False
        while not self._stopping:
            try:
                if not begun:
                    await asyncio.to_thread(report_lost, self.site)
                    begun = True
                if time.monotonic() - looked > HOUSE:
                    looked = time.monotonic()
                    await asyncio.to_thread(self.enqueue_due)
                if time.monotonic() - kept > 60 * HOUSE:
                    kept = time.monotonic()
                    await asyncio.to_thread(clean, self.site)
                await self.send_waiting()
            except Exception as error:
                # The database or the outbox may be away for a while; what waits is sent later.
                self.site.log.event("mail", error=error)
                await self._pause(10 * POLL)
            await self._pause(POLL)

    async def _pause(self, seconds: float) -> None:
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def enqueue_due(self) -> int:
        """Put the digests that are due into the queue, and return how many mails that made."""
        made = 0
        for issue in due_issues(now()):
            if issue.name not in self._done:
                made += enqueue(self.site, issue)
                self._done.add(issue.name)
        return made

    def _transport(self) -> Transport:
        server = self.site.config.mail.server
        return SmtpTransport(server) if server else Outbox(self.site.config.folder / "outbox")

    async def send_waiting(self) -> Counter[str]:
        """Send what waits, and return how many mails reached which state.

        Returns
        -------
        Counter
            ``sent``, ``failed``, and ``waiting`` for those that are to be tried again later.
        """
        states: Counter[str] = Counter()
        numbers = await asyncio.to_thread(self._waiting)
        if not numbers:
            return states
        transport = self._transport()
        try:
            while numbers and not self._stopping:
                for number in numbers:
                    if self._stopping:
                        break
                    state = await self._send(transport, number)
                    if state is not None:
                        states[state] += 1
                        self.site.metrics.work("mail", state)
                numbers = await asyncio.to_thread(self._waiting)
        finally:
            await transport.aclose()
        return states

    def _waiting(self) -> list[int]:
        """Return the next mails: links that somebody waits for, then digests, oldest first."""
        with self.site.database.read() as session:
            later = case((Mail.issue.like("digest:%"), 1), else_=0)
            return list(
                session.scalars(
                    select(Mail.id)
                    .where(Mail.state == "waiting", or_(Mail.error.is_(None), Mail.changed <= now() - RETRY))
                    .order_by(later, Mail.created, Mail.id)
                    .limit(BATCH)
                )
            )

    async def _send(self, transport: Transport, number: int) -> str | None:
        try:
            claimed = await asyncio.to_thread(self._claim, number)
        except Exception as error:
            # A mail that cannot be made must not hold up the others for ever.
            self.site.log.event("mail", error=error)
            return await asyncio.to_thread(self._finish, number, "failed", f"{type(error).__name__} while making it.")
        if claimed is None:
            return None
        try:
            await transport.send(claimed.message)
        except DeferredError as error:
            return await asyncio.to_thread(self._finish, number, "waiting", str(error))
        except (RefusedError, UncertainError) as error:
            return await asyncio.to_thread(self._finish, number, "failed", str(error))
        return await asyncio.to_thread(self._finish, number, "sent", None)

    def _claim(self, number: int) -> _Claimed | None:
        """Commit that a mail is being sent, and make it; None where there is nothing to send."""
        site = self.site
        with site.database.write() as session:
            taken = session.execute(
                update(Mail)
                .where(Mail.id == number, Mail.state == "waiting")
                .values(state="sending", changed=now())
                .returning(Mail.id)
            ).first()
            if taken is None:
                return None
            mail = session.get_one(Mail, number)
            if mail.created < now() - GIVE_UP:
                mail.state, mail.error = "failed", f"Given up after a day. {mail.error or ''}".strip()
                return None
            mail.message_id = message_id(site.config.mail, mail.id, mail.created)
            compose = compose_digest if mail.issue.startswith("digest:") else compose_letter
            message = compose(site, session, mail)
            if message is None:
                # Its reader is gone or unsubscribed since, or its papers were taken off.
                session.delete(mail)
                return None
            return _Claimed(number, message)

    def _finish(self, number: int, state: str, error: str | None) -> str:
        with self.site.database.write() as session:
            session.execute(update(Mail).where(Mail.id == number).values(state=state, error=error, changed=now()))
        return state


def postman_of(request: Request) -> Postman:
    """Return the application's postman; routes depend on it.

    Parameters
    ----------
    request : Request
        Any request.
    """
    postman: Postman = request.app.state.postman
    return postman
