"""Live progress as server-sent events: the same fragment that the page shows, sent again whenever it changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse

__all__ = ["event", "live"]

POLL = 0.3
HEARTBEAT = 15.0
LONGEST = 2 * 3600.0


def event(name: str, data: str) -> str:
    """Return one server-sent event.

    Parameters
    ----------
    name : str
        The event's name.
    data : str
        Its text; each of its lines becomes a data line.

    Examples
    --------
    >>> event("end", "a\\nb")
    'event: end\\ndata: a\\ndata: b\\n\\n'
    """
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"


def live(request: Request, look: Callable[[], tuple[str, bool]], stopping: asyncio.Event) -> StreamingResponse:
    """Send a fragment now and whenever it changes, until it is final.

    Parameters
    ----------
    request : Request
        Whose connection.
    look : callable
        Returns the fragment and whether it is final; called in a thread, so it may read the database.
    stopping : asyncio.Event
        Set when the server is to end.
    """

    async def events() -> AsyncIterator[str]:
        shown: str | None = None
        started = beat = time.monotonic()
        yield "retry: 2000\n\n"
        while True:
            try:
                fragment, final = await asyncio.to_thread(look)
            except HTTPException:
                # What is watched was deleted with the account that it belonged to.
                fragment, final = shown or "", True
            if fragment != shown:
                shown, beat = fragment, time.monotonic()
                yield event("fragment", fragment)
            if final:
                yield event("end", "")
                return
            if stopping.is_set() or time.monotonic() - started > LONGEST or await request.is_disconnected():
                return
            if time.monotonic() - beat > HEARTBEAT:
                # Tells proxies that the connection lives, and us when the reader is gone.
                beat = time.monotonic()
                yield ": still here\n\n"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), POLL)

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)
