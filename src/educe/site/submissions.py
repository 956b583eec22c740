"""Submitting a paper by its arXiv identifier.

What a visitor types is read as an identifier or refused; the address that is asked is built here. arXiv is asked once
in three seconds, by all processes of the site together: they take turns by a lock file, whose time stamp says when the
last request ended. Title, authors and abstract come from arXiv and are text like any stranger's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from educe.core import BackendError, DataError, UsageError
from educe.site.allowances import take
from educe.site.arxiv import parse_arxiv_id
from educe.site.fetching import PoliteClient
from educe.site.imports import fetch_one, store_papers
from educe.site.pages import TheSite
from educe.site.rendering import page
from educe.site.schema import Paper, Person
from educe.site.sign_in import person_here, private
from educe.site.state import Site

__all__ = ["ANSWER_SECONDS", "Submitter", "router"]

router = APIRouter(include_in_schema=False)
MOST_WAITING = 8
ANSWER_SECONDS = 15.0  # of one answer of arXiv
LONGEST = 45.0  # that a visitor waits, retries and other visitors included
LOOK = 0.1


class Submitter:
    """Asks arXiv for visitors, in turn.

    Parameters
    ----------
    site : Site
        Whose folder holds the lock, and whose configuration says where arXiv is.
    client : PoliteClient
        Keeps the pace within this process.
    """

    def __init__(self, site: Site, client: PoliteClient) -> None:
        self.site, self.client = site, client
        self._waiting = 0

    async def fetch(self, identity: str, person: int) -> Paper:
        """Fetch one paper and store it.

        Parameters
        ----------
        identity : str
            From `educe.site.arxiv.parse_arxiv_id`.
        person : int
            Row number of who submits it.

        Raises
        ------
        HTTPException
            Too many wait: status 503.
        BackendError
            arXiv cannot be asked now, or takes too long.
        DataError
            Its answer makes no sense.
        UsageError
            It knows no such paper.
        """
        if self._waiting >= MOST_WAITING:
            raise HTTPException(503, "Many papers are being submitted just now. Try again in a minute.")
        self._waiting += 1
        try:
            async with asyncio.timeout(LONGEST), self._turn():
                paper = await fetch_one(identity, self.client, self.site.config.arxiv_url)
        except TimeoutError:
            raise BackendError(f"arXiv did not answer within {LONGEST:.0f} seconds. Try again later.") from None
        finally:
            self._waiting -= 1
        await run_in_threadpool(store_papers, self.site.database, (paper,), "submission", submitter=person)
        row = await run_in_threadpool(_stored, self.site, identity)
        assert row is not None
        return row

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold the turn of all processes, at least the client's interval after the last one ended."""
        path = self.site.config.folder / "arxiv.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                # Tried again and again, not waited for: a waiting thread could not be called off.
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await asyncio.sleep(LOOK)
            since = time.time() - os.fstat(descriptor).st_mtime
            if os.fstat(descriptor).st_size and 0 <= since < self.client.interval:
                await asyncio.sleep(self.client.interval - since)
            try:
                yield
            finally:
                os.pwrite(descriptor, b"1", 0)
        finally:
            os.close(descriptor)


def _stored(site: Site, identity: str) -> Paper | None:
    with site.database.read() as session:
        return session.scalars(select(Paper).where(Paper.arxiv == identity)).first()


def _form(person: Person | None, *, status: int = 200, problem: str | None = None, arxiv: str = "") -> Response:
    return private(page("submit.html", status=status, person=person, problem=problem, arxiv=arxiv))


@router.get("/submit", response_class=HTMLResponse)
def form(request: Request, site: TheSite, arxiv: str = "") -> Response:
    """Ask for an identifier."""
    return _form(person_here(request, site), arxiv=arxiv[:100])


@router.post("/submit", response_class=HTMLResponse)
async def submit(request: Request, site: TheSite, arxiv: Annotated[str, Form(max_length=400)] = "") -> Response:
    """Bring a paper onto the page, or show it where it is there."""
    person = await run_in_threadpool(person_here, request, site)
    if person is None:
        return private(RedirectResponse("/sign-in?next=/submit", 303))
    status, problem = 422, ""
    try:
        identity = parse_arxiv_id(arxiv)
        paper = await run_in_threadpool(_stored, site, identity)
        if paper is None:
            await run_in_threadpool(_charge, site, person.id)
            paper = await _submitter(request).fetch(identity, person.id)
        if not paper.hidden:
            return private(RedirectResponse(f"/papers/{paper.slug}", 303))
        problem = f"The paper {identity} was taken off this page. Submitting it again does not bring it back."
    except UsageError as error:
        problem = str(error)
    except (BackendError, DataError) as error:
        # What arXiv's address is set to, and what stands in an answer that makes no sense, is the operator's to see.
        site.log.event("submission", error=error)
        status, problem = 503, "arXiv cannot be asked just now, or gave no answer that makes sense. Try again later."
    except HTTPException as error:
        status, problem = error.status_code, str(error.detail)
    return _form(person, status=status, problem=problem, arxiv=arxiv)


def _charge(site: Site, person: int) -> None:
    most = site.config.mail.limits.submissions
    with site.database.write() as session:
        take(
            session, f"submit:{person}", most,
            f"You submitted {most} papers today, which is the most. Try again tomorrow.",
        )  # fmt: skip


def _submitter(request: Request) -> Submitter:
    submitter: Submitter = request.app.state.submitter
    return submitter
