"""Where work units run: here, in this process; `DaskExecutor` and `RayExecutor` send them elsewhere.

The results are the same, only their order differs. `Executor.map` takes items as it has room for them, gives each
result as soon as it is there, and stops what it started when its iterator is closed. It neither stores nor retries:
the driver stores, and only a lost worker makes a unit run twice.
"""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from educe.core import settings
from educe.core.errors import BackendError, UsageError

__all__ = ["Executor", "InProcess"]

T = TypeVar("T")
R = TypeVar("R")

COROUTINES = 64  # Coroutines wait for a model that batches them; this many fill its batches.
MOST_THREADS = 512  # Bound on the pool; a map's own limit is the one that counts.


def _checked_limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"Executor limit {limit!r} is not a whole number >= 1. Give for instance 8.")
    return limit


def is_async(fn: Callable[..., Any]) -> bool:
    # An object with an async `__call__`, as every strategy is, is no coroutine function to `inspect`.
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def guarded(fn: Callable[[T], R], item: T) -> R:
    try:
        return fn(item)
    except StopIteration as error:
        # A future cannot hold StopIteration: in Python 3.11 whoever awaits it waits forever.
        raise RuntimeError("The function raised StopIteration.") from error


class Executor(abc.ABC):
    """What runs work units: `InProcess`, `DaskExecutor` or `RayExecutor`; an async context manager.

    Parameters
    ----------
    limit : int or None
        Most units in flight in a `map` that is not told otherwise, >= 1; None leaves it to the kind of executor.

    Raises
    ------
    UsageError
        The limit is below one.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        self.limit = _checked_limit(limit)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @abc.abstractmethod
    async def _call(self, fn: Callable[[Any], Any], item: Any, index: int) -> Any:
        """Run one unit; being cancelled stops it as far as that is possible."""

    @abc.abstractmethod
    async def _default_limit(self, fn: Callable[[Any], Any]) -> int:
        """Return how many units to keep in flight when nobody says."""

    def _check(self, fn: Callable[[Any], Any]) -> None:
        """Refuse a function that cannot run here."""
        if not callable(fn):
            raise UsageError(f"{fn!r} cannot be called. Give a function of one item.")
        if self._closed:
            raise UsageError("The executor is closed. Make a new one.")

    @overload
    def map(
        self, fn: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int | None = None
    ) -> AsyncGenerator[tuple[int, R], None]: ...

    @overload
    def map(
        self, fn: Callable[[T], R], items: Iterable[T], *, limit: int | None = None
    ) -> AsyncGenerator[tuple[int, R], None]: ...

    def map(
        self, fn: Callable[[Any], Any], items: Iterable[Any], *, limit: int | None = None
    ) -> AsyncGenerator[tuple[int, Any], None]:
        """Apply a function to items and give each result as it comes.

        Parameters
        ----------
        fn : callable
            A function or coroutine function of one item.
        items : iterable
            Taken one by one, never more than ``limit`` ahead of the results handed over; may be infinite. Its own
            ``next`` should not block.
        limit : int or None
            Most units in flight, >= 1; None takes the executor's.

        Returns
        -------
        async generator of (int, object)
            Index of the item and its result, in order of completion. Closing it (``aclose``, or leaving
            ``contextlib.aclosing``) cancels what runs and starts nothing more; a plain function that already runs in a
            thread or worker ends by itself and its result is dropped.

        Raises
        ------
        UsageError
            At once: the limit is below one, ``fn`` cannot run here, the executor is closed.
        Exception
            On iteration: whatever ``fn`` raises, after the other units were cancelled; a note names the item's index.

        Examples
        --------
        >>> import asyncio
        >>> async def squares():
        ...     async with InProcess() as executor:
        ...         return sorted([pair async for pair in executor.map(lambda x: x * x, range(3))])
        >>> asyncio.run(squares())
        [(0, 0), (1, 1), (2, 4)]
        """
        self._check(fn)
        return self._map(fn, iter(items), _checked_limit(limit) or self.limit)

    async def _map(
        self, fn: Callable[[Any], Any], items: Iterator[Any], given_limit: int | None
    ) -> AsyncGenerator[tuple[int, Any], None]:
        limit = given_limit or await self._default_limit(fn)
        finished: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        running: dict[asyncio.Task[Any], int] = {}
        index = 0
        exhausted = False
        try:
            while True:
                while not exhausted and len(running) < limit:
                    try:
                        item = next(items)
                    except StopIteration:
                        exhausted = True
                        break
                    task = asyncio.create_task(self._call(fn, item, index), name=f"educe-unit-{index}")
                    running[task] = index
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    task.add_done_callback(finished.put_nowait)
                    index += 1
                if not running:
                    return
                task = await finished.get()
                if task.cancelled():
                    raise BackendError(
                        f"Unit {running[task]} was cancelled before it finished. "
                        "Keep the executor open until the map has ended."
                    )
                error = task.exception()
                if error is not None:
                    error.add_note(f"This came from item {running[task]} of the map.")
                    raise error
                yield running.pop(task), task.result()
        finally:
            for task in running:
                task.cancel()
            # Also fetches the errors of units that nobody will ask for, which asyncio would report as lost.
            await asyncio.gather(*running, return_exceptions=True)

    @abc.abstractmethod
    async def _release(self) -> None:
        """Give back what the executor holds."""

    async def aclose(self) -> None:
        """Cancel what runs and give everything back; closing twice is allowed.

        A cancellation that arrives meanwhile is obeyed when everything has been given back, so that no process stays.
        """
        if self._closed:
            return
        self._closed = True
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._release()


class InProcess(Executor):
    """Units run in this process: coroutine functions in the running event loop, plain functions in threads.

    Parameters
    ----------
    limit : int or None
        Most units in flight, >= 1; None means 64 coroutines, or as many threads as `educe.core.settings.threads`.

    Raises
    ------
    UsageError
        The limit is below one.

    Examples
    --------
    >>> import asyncio
    >>> async def double(x):
    ...     return 2 * x
    >>> async def run():
    ...     async with InProcess(limit=1) as executor:
    ...         return [pair async for pair in executor.map(double, "ab")]
    >>> asyncio.run(run())
    [(0, 'aa'), (1, 'bb')]
    """

    def __init__(self, *, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    async def _default_limit(self, fn: Callable[[Any], Any]) -> int:
        return COROUTINES if is_async(fn) else settings.threads()

    async def _call(self, fn: Callable[[Any], Any], item: Any, index: int) -> Any:
        if is_async(fn):
            return await fn(item)
        if self._pool is None:
            # Not the loop's own pool, whose size has nothing to do with the limit. It starts threads only as needed.
            self._pool = concurrent.futures.ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="educe-unit")
        call = functools.partial(contextvars.copy_context().run, guarded, fn, item)
        result = await asyncio.get_running_loop().run_in_executor(self._pool, call)
        # A plain function may hand back a coroutine, as a lambda around a coroutine function does.
        return await result if inspect.isawaitable(result) else result

    async def _release(self) -> None:
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
