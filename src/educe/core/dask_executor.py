"""Work units on a Dask cluster, one's own or one that is there.

A Dask cluster runs whatever its clients send, and Dask pickles its messages; connect to one that you trust.
The local cluster listens on the loopback address alone, without authentication: on a machine shared with people you
do not trust, stay in this process.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import importlib
import logging
import os
from collections.abc import Callable
from typing import Any, Self

from educe.core import settings
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

__all__ = ["DaskExecutor"]


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise UsageError("Dask is not installed. Run: pip install 'educe[dask]'") from None


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
        check_importable(fn)

    async def _default_limit(self, fn: Callable[[Any], Any]) -> int:
        threads_by_worker: dict[str, int] = await self._client.nthreads()
        return max(2, 2 * sum(threads_by_worker.values()))

    async def _call(self, fn: Callable[[Any], Any], item: Any, index: int) -> Any:
        # The item travels inside a partial, because some versions of Dask read meaning into bare tuples and texts.
        try:
            future = self._client.submit(functools.partial(run_unit, fn, item), pure=False)
        except TypeError as error:
            raise cannot_travel(item, index) from error
        try:
            return await future.result()
        except asyncio.CancelledError:
            if self._client.status == "running":
                await self._client.cancel([future], asynchronous=True)
            raise
        except _distributed().KilledWorker as error:
            raise given_up(item, index, error.allowed_failures + 1) from error
        except concurrent.futures.CancelledError as error:
            raise lost(index, error) from error

    async def _release(self) -> None:
        try:
            if self._client is not None:
                await self._client.close()
        finally:
            if self._cluster is not None:
                await self._cluster.close()
            self._restore_environment()
