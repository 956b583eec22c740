"""How many requests are worked on at once, and how many may wait; who finds the queue full is told when to return."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from educe.site.openai._errors import ApiError

__all__ = ["Gate"]

LONGEST_WAIT = 60  # seconds, of what a refused client is told
SMOOTHING = 0.2


class Gate:
    """Turns, first come, first served.

    Parameters
    ----------
    concurrency : int
        Requests that run at the same time.
    queue : int
        Requests that may wait.

    Attributes
    ----------
    running, waiting : int
        Requests at this moment.

    Examples
    --------
    >>> import asyncio
    >>> async def count(gate):
    ...     async with gate.turn():
    ...         return gate.running
    >>> asyncio.run(count(Gate(2, 0)))
    1
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        self.queue, self.concurrency = queue, concurrency
        self.running = self.waiting = 0
        self._turns = asyncio.Semaphore(concurrency)
        self._seconds = 1.0  # of a request, smoothed

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises
        ------
        ApiError
            429: as many as may wait are waiting.
        """
        if self._turns.locked() and self.waiting >= self.queue:
            raise ApiError(
                429,
                f"The server is busy: {self.running} requests run and {self.waiting} wait. Try again later.",
                code="queue_full",
                headers={"retry-after": str(self.retry_after())},
            )
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += SMOOTHING * (time.monotonic() - began - self._seconds)
            self.running -= 1
            self._turns.release()

    def retry_after(self) -> int:
        """Whole seconds after which a place should be free, from how long requests took of late."""
        return min(LONGEST_WAIT, max(1, math.ceil(self._seconds * (self.waiting + 1) / self.concurrency)))
