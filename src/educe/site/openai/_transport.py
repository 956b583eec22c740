"""Between server and client, besides the answer: long and slow bodies, event streams, clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from educe.site.openai._errors import ApiError

__all__ = ["BoundedRequest", "ClientGoneError", "EventStream", "JsonAnswer", "to_json", "unless_gone"]

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client left before its answer was there."""


def to_json(document: object) -> bytes:
    """Write a JSON document; half characters, which UTF-8 cannot hold, become JSON's own escapes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


class JsonAnswer(Response):
    """A JSON document as an answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the document."""
        return to_json(content)


class BoundedRequest(Request):
    """A request whose body may be neither longer nor slower than the limits.

    Parameters
    ----------
    scope, receive
        As of any request.
    limit : int
        Most bytes.
    seconds : float
        Most seconds until the last byte.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        super().__init__(scope, receive)
        self._limit, self._seconds = limit, seconds
        self._content: bytes | None = None

    async def body(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        ApiError
            413: it is longer than the limit; what is declared too long is not read at all. 408: it is too slow.
        """
        if self._content is None:
            declared = self.headers.get("content-length", "")
            if declared.isdigit() and int(declared[:20]) > self._limit:
                # The connection stays: the server drops the rest as it comes, so that the client, which reads only
                # when it has sent all, finds its answer.
                raise self._too_long()
            try:
                async with asyncio.timeout(self._seconds):
                    self._content = await self._read()
            except TimeoutError:
                raise ApiError(
                    408,
                    f"The body did not arrive within {self._seconds:g} seconds. Send it faster.",
                    code="body_too_slow",
                    headers={"connection": "close"},
                ) from None
        return self._content

    async def _read(self) -> bytes:
        content = bytearray()
        async for piece in self.stream():
            content += piece
            if len(content) > self._limit:
                raise self._too_long(connection="close")
        return bytes(content)

    def _too_long(self, **headers: str) -> ApiError:
        return ApiError(
            413,
            f"The body is longer than this server's limit of {self._limit} bytes. Send less.",
            code="body_too_long",
            headers=headers,
        )


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end, however often the waiting is cancelled too; what they raise is dropped."""
    for task in tasks:
        task.cancel()
    while not all(task.done() for task in tasks):
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do some work, and cancel it when the client leaves.

    Parameters
    ----------
    request : Request
        Its body must have been read.
    work : coroutine
        What to do.

    Raises
    ------
    ClientGoneError
        The client left.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_until_gone(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        await _ended(task, gone)


class EventStream(StreamingResponse):
    """Server-sent events that end when the client leaves or no longer reads, or when the server stops.

    Parameters
    ----------
    events : async generator of bytes
        What to send; closed in every case.
    cut : callable
        Gives the last words of a stream that a stopping server does not finish.
    done : callable
        Awaited at the end, in every case.
    write_seconds : float
        Seconds that the client may take to receive one event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        cut: Callable[[], bytes],
        done: Callable[[], Awaitable[None]],
        write_seconds: float,
    ) -> None:
        super().__init__(events, headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._events, self._cut, self._done, self._write_seconds = events, cut, done, write_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._write_seconds):
                await send(message)

        writer = asyncio.create_task(self.stream_response(send_in_time))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({writer, gone}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Only a server that stops cancels this. A client that saw the stream merely end would take it for whole.
            if not writer.done():
                with suppress(OSError, RuntimeError, TimeoutError):
                    await send_in_time({"type": "http.response.body", "body": self._cut(), "more_body": False})
        finally:
            try:
                # A stopping server cancels more than once; what was borrowed is given back all the same.
                await _ended(writer, gone)
                await self._events.aclose()
            finally:
                await self._done()
