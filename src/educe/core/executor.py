"""Where work units run: in this process, or on a Dask cluster. The results are the same, only their order differs.

`Executor.map` takes items as it has room for them, gives each result as soon as it is there, and stops what it
started when its iterator is closed. It neither stores nor retries: the driver stores, and only a lost worker makes a
unit run twice.

A Dask cluster runs whatever its clients send, and Dask pickles its messages; connect to one that you trust.
The local cluster listens on the loopback address alone, without authentication: on a machine shared with people you
do not trust, stay in this process.
"""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import importlib
import inspect
import logging
import operator
import os
import reprlib
import urllib.parse
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from educe.core import settings
from educe.core.errors import BackendError, UsageError, nearest
from educe.core.sync import run_sync

__all__ = ["DaskExecutor", "Executor", "InProcess", "make_executor"]

T = TypeVar("T")
R = TypeVar("R")

COROUTINES = 64  # Coroutines wait for a model that batches them; this many fill its batches.
MOST_THREADS = 512  # Bound on the pool; a map's own limit is the one that counts.
ALLOWED_FAILURES = 3  # Workers that a unit may lose before it is given up, as in Dask's own default.
CONNECT_SECONDS = 10.0


def _checked_limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"Executor limit {limit!r} is not a whole number >= 1. Give for instance 8.")
    return limit


def _is_async(fn: Callable[..., Any]) -> bool:
    # An object with an async `__call__`, as every strategy is, is no coroutine function to `inspect`.
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def _guarded(fn: Callable[[T], R], item: T) -> R:
    try:
        return fn(item)
    except StopIteration as error:
        # A future cannot hold StopIteration: in Python 3.11 whoever awaits it waits forever.
        raise RuntimeError("The function raised StopIteration.") from error


async def _awaited(awaitable: Awaitable[R]) -> R:
    return await awaitable


def _run_unit(fn: Callable[[T], Any], item: T) -> Any:
    """Run one unit in a worker of a cluster.

    All coroutines of a worker run in one loop (`run_sync`), so that a model which one unit loaded serves the next.
    """
    result = _guarded(fn, item)
    return run_sync(_awaited(result)) if inspect.isawaitable(result) else result


class Executor(abc.ABC):
    """What runs work units: `InProcess` or `DaskExecutor`; an async context manager.

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
        return COROUTINES if _is_async(fn) else settings.threads()

    async def _call(self, fn: Callable[[Any], Any], item: Any, index: int) -> Any:
        if _is_async(fn):
            return await fn(item)
        if self._pool is None:
            # Not the loop's own pool, whose size has nothing to do with the limit. It starts threads only as needed.
            self._pool = concurrent.futures.ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="educe-unit")
        call = functools.partial(contextvars.copy_context().run, _guarded, fn, item)
        result = await asyncio.get_running_loop().run_in_executor(self._pool, call)
        # A plain function may hand back a coroutine, as a lambda around a coroutine function does.
        return await result if inspect.isawaitable(result) else result

    async def _release(self) -> None:
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise UsageError("Dask is not installed. Run: pip install 'educe[dask]'") from None


def _importable(fn: Callable[[Any], Any]) -> None:
    name, module = getattr(fn, "__qualname__", None), getattr(fn, "__module__", None)
    found = None
    if isinstance(name, str) and isinstance(module, str) and module != "__main__":
        with contextlib.suppress(ImportError, AttributeError):
            found = operator.attrgetter(name)(importlib.import_module(module))
    if found is not fn:
        raise UsageError(
            f"{fn!r} cannot be imported by a worker. Give a function that stands at the top of a module, by its name; "
            "what it needs beyond the item belongs into the item."
        )


class DaskExecutor(Executor):
    """Units run on a Dask cluster, one's own or one that is there; needs the extra ``educe[dask]``.

    Coroutine functions run inside the worker, all in one event loop. A unit whose worker is lost runs again elsewhere,
    three times at most (on a cluster that is there, its own setting ``allowed-failures`` holds). Cancelling takes back
    what waits; what a worker already runs ends by itself.

    Parameters
    ----------
    address : str or None
        Address of a scheduler, for instance ``"tcp://10.0.0.1:8786"``. None starts a cluster on this machine when
        entered and ends it when left: as many worker processes as `educe.core.settings.threads`, each with one
        thread. A script that does so needs the guard ``if __name__ == "__main__":``, because the workers import it.
    limit : int or None
        Most units in flight, >= 1; None means twice the threads of the cluster, so that no worker waits for the driver.

    Raises
    ------
    UsageError
        The limit is below one. On entering: Dask is not installed, or the address is malformed.
    BackendError
        On entering: nobody answers at the address. On iteration: a unit lost too many workers, or the cluster was lost.

    Examples
    --------
    >>> async def lengths(texts):
    ...     async with DaskExecutor("tcp://10.0.0.1:8786") as executor:
    ...         return [pair async for pair in executor.map(len, texts)]
    """

    def __init__(self, address: str | None = None, *, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        self.address = address
        self._cluster: Any = None
        self._client: Any = None
        self._environment: dict[str, str | None] = {}

    async def __aenter__(self) -> Self:
        if self._closed:
            raise UsageError("The executor is closed. Make a new one.")
        distributed = _distributed()
        try:
            if self.address is None:
                await self._start_cluster()
            self._client = distributed.Client(
                self._cluster or self.address,
                asynchronous=True,
                set_as_default=False,
                timeout=CONNECT_SECONDS,
            )
            await self._client
        except BaseException as error:
            await self.aclose()
            if self._cluster is None and isinstance(error, ValueError):
                raise UsageError(f"Address {self.address!r} is malformed ({error}). Write tcp://host:port.") from error
            if self._cluster is None and isinstance(error, OSError):
                raise BackendError(
                    f"No Dask scheduler answers at {self.address} ({error}). Check the address, or start one with "
                    "the command `dask scheduler`."
                ) from error
            raise
        return self

    async def _start_cluster(self) -> None:
        distributed = _distributed()
        # Dask writes thread limits and a hash seed into this process's environment for the workers to inherit; they
        # would hold for everything else that this process starts.
        names = (*importlib.import_module("dask").config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED")
        self._environment = {name: os.environ.get(name) for name in names}
        self._cluster = distributed.LocalCluster(
            n_workers=settings.threads(),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            # No dashboard; the scheduler still answers health checks, on a free port of the loopback address.
            dashboard_address=None,
            scheduler_kwargs={"allowed_failures": ALLOWED_FAILURES, "dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
            asynchronous=True,
            env={"EDUCE_THREADS": "1"},
        )
        await self._cluster
        self._restore_environment()

    def _restore_environment(self) -> None:
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _check(self, fn: Callable[[Any], Any]) -> None:
        super()._check(fn)
        if self._client is None:
            raise UsageError("The Dask executor has not been started. Use it in `async with`.")
        _importable(fn)

    async def _default_limit(self, fn: Callable[[Any], Any]) -> int:
        threads_by_worker: dict[str, int] = await self._client.nthreads()
        return max(2, 2 * sum(threads_by_worker.values()))

    async def _call(self, fn: Callable[[Any], Any], item: Any, index: int) -> Any:
        # The item travels inside a partial, because some versions of Dask read meaning into bare tuples and texts.
        try:
            future = self._client.submit(functools.partial(_run_unit, fn, item), pure=False)
        except TypeError as error:
            raise UsageError(
                f"Unit {index} ({reprlib.repr(item)}) cannot be sent to a worker. Give text, numbers, lists, mappings "
                "or dataclasses of these."
            ) from error
        try:
            return await future.result()
        except asyncio.CancelledError:
            if self._client.status == "running":
                await self._client.cancel([future], asynchronous=True)
            raise
        except _distributed().KilledWorker as error:
            raise BackendError(
                f"Unit {index} ({reprlib.repr(item)}) was given up, because the workers that ran it died "
                f"({error.allowed_failures + 1} of them). Run it alone to see why, or give the workers more memory."
            ) from error
        except concurrent.futures.CancelledError as error:
            raise BackendError(
                f"Unit {index} was lost with its cluster ({error}). Check the scheduler and run again; "
                "what was stored is safe."
            ) from error

    async def _release(self) -> None:
        try:
            if self._client is not None:
                await self._client.close()
        finally:
            if self._cluster is not None:
                await self._cluster.close()
            self._restore_environment()


def make_executor(spec: str = "") -> Executor:
    """Make the executor that a text names.

    Parameters
    ----------
    spec : str
        ``""`` or ``"local"``: in this process. ``"dask"``: a Dask cluster of its own on this machine.
        ``"dask://host:port"``: a Dask scheduler that is there.

    Returns
    -------
    Executor
        Not started yet; use it in ``async with``.

    Raises
    ------
    UsageError
        The name is unknown or not supported, or the address is malformed.

    Examples
    --------
    >>> make_executor("dask://10.0.0.1:8786").address
    'tcp://10.0.0.1:8786'
    """
    scheme, separator, rest = spec.strip().partition("://")
    if scheme in ("", "local") and not separator:
        return InProcess()
    if scheme == "dask" and not separator:
        return DaskExecutor()
    if scheme == "dask":
        try:
            parts = urllib.parse.urlsplit(f"tcp://{rest}")
            complete = bool(parts.hostname and parts.port) and parts.netloc == rest and "@" not in rest
        except ValueError:
            complete = False
        if not complete:
            raise UsageError(f"Executor {spec!r} lacks a host or a port. Write dask://host:port.")
        return DaskExecutor(f"tcp://{rest}")
    if scheme == "ray":
        raise UsageError(f"Executor {spec!r} is not supported by this version of educe. Use dask://host:port.")
    raise UsageError(f"Executor {spec!r} is unknown; {nearest(spec, ('local', 'dask', 'dask://host:port'))}")
