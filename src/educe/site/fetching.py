"""Fetching from other people's servers, politely: one request at a time, three seconds apart, and never too much.

What comes back is data from strangers: its size and the time it takes are bounded, redirects are not followed, and only
addresses that this package built are asked for. ``Retry-After`` is obeyed up to a bound.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx

from educe.core import BackendError

__all__ = ["PoliteClient"]

AGENT = "educe (https://pypi.org/project/educe/)"
LONGEST_WAIT = 120.0  # seconds; a server that asks for more is asked again another day
ATTEMPTS = 4


class PoliteClient:
    """A client for one service; an async context manager.

    Parameters
    ----------
    interval : float
        Seconds between the beginnings of two requests; arXiv asks for 3.
    most_bytes : int
        Longest answer.
    seconds : float
        Longest time for one answer.

    Examples
    --------
    >>> import asyncio
    >>> async def fetch():
    ...     async with PoliteClient() as client:
    ...         return await client.get("https://export.arxiv.org/api/query", {"id_list": "2502.00511"})
    """

    def __init__(self, *, interval: float = 3.0, most_bytes: int = 16 << 20, seconds: float = 30.0) -> None:
        self.interval, self.most_bytes, self.seconds = interval, most_bytes, seconds
        # One connection, as arXiv's terms ask; the turn keeps the requests of several tasks apart.
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            headers={"user-agent": AGENT, "accept-encoding": "gzip, identity"},
            limits=httpx.Limits(max_connections=1),
            timeout=seconds,
            trust_env=False,
        )
        self._turn = asyncio.Lock()
        self._next = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, url: str, params: Mapping[str, str]) -> bytes:
        """Fetch one answer, waiting for a turn and obeying ``Retry-After``.

        Parameters
        ----------
        url : str
            Address without query.
        params : mapping of str to str
            The query.

        Returns
        -------
        bytes
            The body, of at most ``most_bytes``. Answers of status 400 are returned too: arXiv explains itself in them.

        Raises
        ------
        BackendError
            The server cannot be reached, refuses, redirects, sends too much, or is too slow.
        """
        async with self._turn:
            for attempt in range(1, ATTEMPTS + 1):
                await asyncio.sleep(max(0.0, self._next - time.monotonic()))
                self._next = time.monotonic() + self.interval
                wait = None if attempt == ATTEMPTS else self.interval * 2**attempt
                try:
                    async with asyncio.timeout(self.seconds):
                        answer = await self._once(url, params, wait)
                except TimeoutError:
                    raise BackendError(f"{url} took more than {self.seconds:g} seconds. Try again later.") from None
                except httpx.HTTPError as error:
                    if wait is None:
                        text = str(error) or type(error).__name__
                        raise BackendError(f"{url} cannot be reached: {text}. Try again later.") from error
                    answer = wait
                if isinstance(answer, bytes):
                    return answer
                self._next = time.monotonic() + answer
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, url: str, params: Mapping[str, str], wait: float | None) -> bytes | float:
        """Return the body, or the seconds to wait before the next attempt."""
        async with self._client.stream("GET", url, params=dict(params)) as response:
            if response.status_code in (429, 503) and wait is not None:
                asked = retry_after(response.headers.get("retry-after"))
                if asked is not None and asked > LONGEST_WAIT:
                    raise BackendError(f"{url} asks to wait for {asked:.0f} seconds. Try again then.")
                return max(self.interval, wait if asked is None else asked)
            if response.status_code not in (200, 400):
                raise BackendError(f"{url} answered {response.status_code}. Check the address, or try again later.")
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > self.most_bytes:
                    raise BackendError(f"{url} sent more than {self.most_bytes} bytes. Ask for less at a time.")
            return bytes(body)


def retry_after(value: str | None) -> float | None:
    """Read the header ``Retry-After``: seconds, or a date; None where it says nothing that can be read."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
