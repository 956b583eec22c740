"""HTTP for OpenAI-compatible servers: one client per event loop, retries, and errors that say what to do.

Back-off is exponential with full jitter (Brooker 2015), deterministic from the seed of the row; a
``Retry-After`` header is honoured up to a minute. Redirects are not followed, so the key goes to the
given host alone. What the answers mean is read elsewhere.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import json
import math
import ssl
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.lm._openai_address import is_loopback
from educe.lm._openai_answers import TRANSIENT, RequestError, document, error_words

__all__ = ["Transport"]

T = TypeVar("T")

ANSWER_LIMIT = 16 << 20  # bytes of one answer
REFUSAL_LIMIT = 64 << 10  # bytes read of an error's body
WRONG_LIMIT = 400  # characters of a message's first sentence
LONGEST_WAIT = 60.0  # seconds, for Retry-After
FIRST_WAIT, WAIT_LIMIT = 0.5, 30.0  # seconds, for the back-off


def _wait_asked(value: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds or an HTTP date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=datetime.UTC)
        seconds = (when - datetime.datetime.now(datetime.UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None


@dataclass(frozen=True, slots=True)
class _LoopSide:
    client: httpx.AsyncClient
    slots: asyncio.Semaphore


class Transport:
    """Requests to one base address.

    Parameters
    ----------
    base_url : str
        Address without a slash at its end.
    api_key : str or None
        Sent as a bearer token.
    concurrency : int
        Most requests at the same time, per event loop.
    timeout : float
        Seconds without a byte after which a request fails.
    retries : int
        How often a transient failure is tried again.

    Attributes
    ----------
    sleep : callable
        Waits between tries; tests replace it.
    """

    def __init__(self, base_url: str, api_key: str | None, concurrency: int, timeout: float, retries: int) -> None:
        self.base_url, self.concurrency, self.timeout, self.retries = base_url, concurrency, timeout, retries
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._key = api_key
        self._sides: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopSide] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Transport({self.base_url!r})"

    def _side(self) -> _LoopSide:
        loop = asyncio.get_running_loop()
        with self._lock:
            # A client's sockets hold their loop, so a weak key alone does not let go of loops that are closed.
            for other in [other for other in self._sides if other.is_closed()]:
                del self._sides[other]
            if loop not in self._sides:
                self._sides[loop] = _LoopSide(self._new_client(), asyncio.Semaphore(self.concurrency))
            return self._sides[loop]

    def _new_client(self) -> httpx.AsyncClient:
        headers = {"accept-encoding": "identity", "user-agent": "educe"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        here = is_loopback(httpx.URL(self.base_url).host)
        # Certificates take 20 ms to read; a context without any trusts nobody, and plain http asks nobody.
        plain = here and self.base_url.startswith("http:")
        try:
            return httpx.AsyncClient(
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
                headers=headers,
                timeout=httpx.Timeout(self.timeout, connect=min(self.timeout, 10.0), pool=None),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=self.concurrency),
                follow_redirects=False,
                trust_env=not here,
            )
        except (ImportError, ValueError) as error:
            raise UsageError(f"The proxy in the environment cannot be used: {error}. Correct HTTPS_PROXY.") from error

    async def aclose(self) -> None:
        """Close the clients of all loops that still run; those of other loops soon, without waiting for them."""
        with self._lock:
            sides = dict(self._sides)
            self._sides.clear()
        here = asyncio.get_running_loop()
        for loop, side in sides.items():
            if loop is here:
                await side.client.aclose()
            elif loop.is_running():
                # That loop may itself be blocked in a call that waits for this one.
                asyncio.run_coroutine_threadsafe(side.client.aclose(), loop)

    def slot(self) -> asyncio.Semaphore:
        """The semaphore that bounds this loop's requests, for ``async with``."""
        return self._side().slots

    def redact(self, text: str) -> str:
        """Make a server's words fit for a message: one line, the key taken out."""
        line = " ".join(text.split())
        return line.replace(self._key, "[key]") if self._key else line

    async def retry(self, seed: int, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make an attempt, again and again while it fails for a while.

        Raises
        ------
        RequestError
            It failed for good.
        """
        tries = 0
        while True:
            tries += 1
            try:
                return await attempt()
            except RequestError as failure:
                if not failure.transient or tries > self.retries:
                    wrong = self.redact(failure.wrong)[:WRONG_LIMIT] + (f" (tried {tries} times)" if tries > 1 else "")
                    words = self.redact(failure.words)
                    raise RequestError(wrong, failure.remedy, status=failure.status, words=words) from None
                jitter = Seed.of(seed).child("retry", tries).numpy().random()
                backoff = jitter * min(WAIT_LIMIT, FIRST_WAIT * 2 ** (tries - 1))
                await self.sleep(max(backoff, failure.wait or 0.0))

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, seed: int = 0) -> dict[str, Any]:
        """Make one request and return its JSON object.

        Raises
        ------
        RequestError
            No object came.
        """

        async def attempt() -> dict[str, Any]:
            async with self.open(method, path, body) as pieces:
                content = b"".join([piece async for piece in pieces])
            return document(content)

        async with self.slot():
            return await self.retry(seed, attempt)

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request; inside, read the pieces of its answer.

        Raises
        ------
        RequestError
            The server refused, or the connection failed (also while reading).
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            url = self.base_url + path
            async with self._side().client.stream(method, url, content=content, headers=headers) as response:
                if not response.is_success:
                    raise await self._refusal(response)
                yield _bounded(response)
        except httpx.ConnectTimeout:
            raise self._failure(
                "does not take the connection", "Is the server running, and the address right?"
            ) from None
        except httpx.TimeoutException:
            raise self._failure(f"sent nothing for {self.timeout:g} s", "Raise timeout, or lower the load") from None
        except httpx.ConnectError as error:
            raise self._failure(
                f"cannot be reached ({error})", "Is the server running, and the address right?"
            ) from None
        except httpx.RequestError as error:
            raise self._failure(f"broke the connection ({error or type(error).__name__})", "Run it again") from None

    def _failure(self, wrong: str, remedy: str) -> RequestError:
        return RequestError(f"The server at {self.base_url} {self.redact(wrong)}", remedy, transient=True)

    async def _refusal(self, response: httpx.Response) -> RequestError:
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > REFUSAL_LIMIT:
                break
        text = content.decode(errors="replace").strip()
        try:
            words = error_words(json.loads(text))
        except (ValueError, RecursionError):
            words = "" if text.startswith("<") else text
        words = self.redact(words)
        status = response.status_code
        told = f"{status}: {words[:200]}" if words else str(status)
        server = f"The server at {self.base_url}"
        if status in {401, 403}:
            asks = "refused the key" if self._key else "asks for a key"
            wrong, remedy = f"{server} {asks} ({told})", "Set EDUCE_API_KEY to a key that it accepts"
        elif status == 404:
            wrong, remedy = f"{server} does not know {response.request.url.path} or the model ({told})", "Check both"
        elif status == 429:
            wrong, remedy = f"{server} has no room for more requests ({told})", "Lower concurrency, or try later"
        elif status >= 500:
            wrong, remedy = f"{server} failed ({told})", "Look at the server's log"
        elif response.is_redirect:
            place = response.headers.get("location", "").partition("?")[0]
            wrong, remedy = (
                f"{server} sends to another address, {place!r} ({status})",
                "Give that address if you trust it",
            )
        else:
            wrong, remedy = f"{server} refused the request ({told})", "Change what it names"
        wait = _wait_asked(response.headers.get("retry-after"))
        return RequestError(wrong, remedy, status=status, words=words, transient=status in TRANSIENT, wait=wait)


async def _bounded(response: httpx.Response) -> AsyncIterator[bytes]:
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > ANSWER_LIMIT:
            raise RequestError(
                f"The server's answer does not end after {ANSWER_LIMIT} bytes", "Check or update the server"
            )
        yield piece
