"""What a server's answer is, whatever its header says: an event stream, a JSON object, or neither."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any

from educe.core.errors import BackendError
from educe.lm._sse import EventReader

__all__ = ["TRANSIENT", "RequestError", "answers", "document", "error_words"]

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
DRAIN_SECONDS = 0.5  # to wait for the end of an answer that has said [DONE], so that its connection can be used again


class RequestError(BackendError):
    """A request that failed.

    Parameters
    ----------
    wrong, remedy : str
        The two sentences of the message, without full stops.
    status : int or None
        HTTP status, where there was one.
    words : str
        The server's own words.
    transient : bool
        Whether to try again.
    wait : float or None
        Seconds that the server asks to wait.
    """

    def __init__(
        self,
        wrong: str,
        remedy: str,
        *,
        status: int | None = None,
        words: str = "",
        transient: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(f"{wrong}. {remedy}{'' if remedy.endswith('?') else '.'}")
        self.wrong, self.remedy, self.status, self.words = wrong, remedy, status, words
        self.transient, self.wait = transient, wait


def error_words(document: object) -> str:
    """Find a server's own words in an error document; what it repeats of the request is left out.

    Examples
    --------
    >>> error_words({"error": {"message": "no such model", "param": "model"}})
    'no such model (model)'
    >>> error_words({"detail": [{"loc": ["body", "top_k"], "msg": "extra inputs", "input": 3}]})
    'body top_k: extra inputs'
    """
    if isinstance(document, str):
        return document
    if isinstance(document, list):
        return "; ".join(filter(None, map(error_words, document)))
    if not isinstance(document, dict):
        return ""
    for key in ("error", "detail", "errors"):
        if document.get(key):
            return error_words(document[key])
    words = next((document[key] for key in ("message", "msg", "title") if isinstance(document.get(key), str)), "")
    if isinstance(document.get("loc"), list):
        return f"{' '.join(map(str, document['loc']))}: {words}"
    return f"{words} ({document['param']})" if isinstance(document.get("param"), str) else words


def document(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise RequestError("The server's answer is empty", "Look at the server's log", transient=True)
    if content.lstrip().startswith(b"<"):
        raise RequestError("The server answered HTML", "Is this the address of the API? It should end in /v1")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        start = content[:60].decode(errors="replace")
        raise RequestError(f"The server's answer is not JSON: {start!r}", "Check or update the server") from None
    if not isinstance(value, dict):
        raise RequestError(f"The server's answer is a JSON {type(value).__name__}, not an object", "Check the address")
    return value


async def answers(pieces: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any] | None]:
    """Yield the JSON objects of an answer, be it an event stream or one document; None when it says it is complete.

    Raises
    ------
    RequestError
        It is neither.
    """
    start = b""
    async for piece in pieces:
        start += piece
        if start.strip():
            break
    if not start.strip() or start.lstrip()[:1] in (b"<", b"{", b"["):
        yield document(start + b"".join([piece async for piece in pieces]))
        yield None
        return
    reader = EventReader()
    events = reader.feed(start)
    ended = False
    while True:
        for event in events:
            if event.data.strip() == "[DONE]":
                yield None
                with suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        async for _ in pieces:
                            pass
                return
            value = document(event.data.encode("utf-8", "surrogatepass"))
            yield {"error": value} if event.name == "error" and "error" not in value else value
        if ended:
            return
        try:
            events = reader.feed(await anext(pieces))
        except StopAsyncIteration:
            ended, events = True, reader.close()
