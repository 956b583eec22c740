"""Work units on a Ray cluster that is there, through its client port.

A Ray cluster runs whatever its clients send, and Ray pickles its messages; connect to one that you trust. educe starts
no cluster itself: Ray's own processes listen on all addresses of a machine, and whoever runs them should have decided
so. Ray's report of usage to its makers is switched off in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import urllib.parse
from collections.abc import Callable
from typing import Any, Self

from educe.core._remote import (
    ALLOWED_FAILURES,
    CONNECT_SECONDS,
    cannot_travel,
    check_importable,
    given_up,
    lost,
    run_unit,
)
from educe.core.errors import BackendError, UsageError
from educe.core.executor import Executor

__all__ = ["RayExecutor"]

RETRY_SECONDS = (1.0, 4.0)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        importlib.import_module("grpc")  # what the client port speaks
        return importlib.import_module("ray")
    except ImportError:
        raise UsageError("Ray or its client is not installed. Run: pip install 'educe[ray]'") from None


class RayExecutor(Executor):
    """Units run on a Ray cluster; needs the extra ``educe[ray]``, of the same version as the cluster's Ray.

    Coroutine functions run inside the worker, all in one event loop. A unit whose worker is lost runs again elsewhere,
    three times at most. Cancelling takes back what waits; what runs is interrupted
    at its next step in Python.

    Parameters
    ----------
    address : str
        Client port of the cluster, for instance ``"ray://10.0.0.1:10001"``.
    limit : int or None
        Most units in flight, >= 1; None means twice the cores of the cluster, so that no worker waits for the driver.

    Raises
    ------
    UsageError
        The limit is below one. On entering: Ray is not installed.
    BackendError
        On entering: nobody answers at the address. On iteration: a unit lost too many workers, or the cluster was lost.

    Examples
    --------
    >>> async def lengths(texts):
    ...     async with RayExecutor("ray://10.0.0.1:10001") as executor:
    ...         return [pair async for pair in executor.map(len, texts)]
    """

    def __init__(self, address: str, *, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        self.address = address
        self._connection: Any = None

    async def __aenter__(self) -> Self:
        if self._closed:
            raise UsageError("The executor is closed. Make a new one.")
        ray = _ray()
        try:
            await self._knock()
            self._connection = await self._connect()
        except (OSError, TimeoutError, RuntimeError, ray.exceptions.RayError) as error:
            await self.aclose()
            raise BackendError(
                f"No Ray cluster answers at {self.address} ({str(error) or 'no answer'}). Check the address and that "
                f"the cluster runs this version of Ray ({ray.__version__}); `ray start --head` starts one."
            ) from error
        return self

    async def _knock(self) -> None:
        """Look whether anybody listens: Ray's own attempt cannot be cancelled and lasts half a minute."""
        parts = urllib.parse.urlsplit(self.address)
        opening = asyncio.open_connection(parts.hostname, parts.port)
        _, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        writer.close()
        await writer.wait_closed()

    async def _connect(self) -> Any:
        """Connect, again when the head was too busy to start the process that serves this client."""
        connect = functools.partial(
            _ray().init, self.address, allow_multiple=True, log_to_driver=False, logging_level=logging.CRITICAL
        )
        for delay in RETRY_SECONDS:
            try:
                return await asyncio.to_thread(connect)
            except ConnectionAbortedError:
                await asyncio.sleep(delay)
        return await asyncio.to_thread(connect)

    def _check(self, fn: Callable[[Any], Any]) -> None:
        super()._check(fn)
        if self._connection is None:
            raise UsageError("The Ray executor has not been started. Use it in `async with`.")
        check_importable(fn)

    async def _default_limit(self, fn: Callable[[Any], Any]) -> int:
        def cores() -> float:
            with self._connection:
                return float(_ray().cluster_resources().get("CPU", 1))

        return max(2, 2 * int(await asyncio.to_thread(cores)))

    async def _call(self, fn: Callable[[Any], Any], item: Any, index: int) -> Any:
        ray = _ray()
        with self._connection:
            remote = ray.remote(run_unit).options(max_retries=ALLOWED_FAILURES)
            try:
                reference = remote.remote(fn, item)
            except TypeError as error:
                raise cannot_travel(item, index) from error
            except ConnectionError as error:
                raise lost(index, error) from error
        answer = asyncio.wrap_future(reference.future())
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask any more
        try:
            # Ray sets the result even of a future that was cancelled, which kills its receiving thread; so it never is.
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            with self._connection, contextlib.suppress(ConnectionError):
                ray.cancel(reference)
            raise
        except ray.exceptions.WorkerCrashedError as error:
            raise given_up(item, index, ALLOWED_FAILURES + 1) from error
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ConnectionError as error:
            raise lost(index, error) from error

    async def _release(self) -> None:
        if self._connection is not None:
            await asyncio.to_thread(self._connection.disconnect)
