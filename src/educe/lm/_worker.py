"""One worker thread for a model that computes in this process: requests run in it one after the other.

What it yields is handed to the event loop of whoever asked. A request that is no longer wanted is told so
by an event, which the work looks at between its steps.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from educe.core.errors import BackendError, EduceError

__all__ = ["Worker"]

T = TypeVar("T")


class Worker:
    """A thread, and the requests that wait for it.

    Parameters
    ----------
    name : str
        The model's name, for messages.

    Examples
    --------
    >>> from educe.core.sync import run_sync
    >>> worker = Worker("tiny")
    >>> run_sync(worker.run(lambda cancelled: 6 * 7))
    42
    >>> run_sync(worker.aclose())
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="educe-worker")
        self._wanted: set[threading.Event] = set()

    async def stream(self, work: Callable[[threading.Event], Iterable[list[T]]]) -> AsyncGenerator[T, None]:
        """Iterate in the thread and yield the items of each list here.

        Raises
        ------
        BackendError
            The work failed, or the worker was closed.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[list[T] | BaseException | None] = asyncio.Queue()
        cancelled = threading.Event()

        def iterate() -> None:
            ending: BaseException | None = None
            try:
                for items in work(cancelled):
                    loop.call_soon_threadsafe(queue.put_nowait, items)
                    if cancelled.is_set():
                        break
            except BaseException as error:
                ending = error  # whatever it is, it belongs to whoever waits
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, ending)

        self._wanted.add(cancelled)
        try:
            self._submit(iterate)
            while (items := await queue.get()) is not None:
                if isinstance(items, BaseException):
                    raise self._failure(items)
                for item in items:
                    yield item
            if cancelled.is_set():
                raise self._closed()
        finally:
            cancelled.set()
            self._wanted.discard(cancelled)

    async def run(self, work: Callable[[threading.Event], T]) -> T:
        """Call a function in the thread and return its result.

        Raises
        ------
        BackendError
            The work failed, or the worker was closed.
        """
        cancelled = threading.Event()
        self._wanted.add(cancelled)
        try:
            return await asyncio.wrap_future(self._submit(functools.partial(work, cancelled)))
        except Exception as error:
            raise self._failure(error) from error.__cause__
        finally:
            cancelled.set()
            self._wanted.discard(cancelled)

    def check(self, cancelled: threading.Event) -> None:
        """Leave the work if nobody wants it any more.

        Raises
        ------
        BackendError
            So it is.
        """
        if cancelled.is_set():
            raise self._closed()

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        if self._pool is None:
            raise self._closed()
        return self._pool.submit(work)

    def _closed(self) -> BackendError:
        return BackendError(f"The model {self.name!r} is closed. Load it again.")

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, EduceError) or not isinstance(error, Exception):
            return error
        failure = BackendError(f"The model {self.name!r} failed: {error}. Try fewer rows or a shorter prompt.")
        failure.__cause__ = error
        return failure

    async def aclose(self) -> None:
        """End what runs within one step and free the thread; may be called twice."""
        pool, self._pool = self._pool, None
        for cancelled in list(self._wanted):
            cancelled.set()
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
