"""One event loop in a background thread, so that the sync face also works inside a running loop (notebooks)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_sync"]

T = TypeVar("T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop  # noqa: PLW0603  (one loop per process is the point)
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="educe-sync", daemon=True).start()
        return _loop


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from ordinary code.

    All calls share one loop, so clients and locks that belong to a loop survive from call to call.

    Parameters
    ----------
    coroutine : coroutine
        What to run.

    Returns
    -------
    object
        Its result; its exception is raised here. Ctrl-C cancels it.

    Examples
    --------
    >>> import asyncio
    >>> run_sync(asyncio.sleep(0, "slept"))
    'slept'
    """
    loop = _background_loop()
    if threading.current_thread().name == "educe-sync":
        coroutine.close()
        raise RuntimeError("run_sync was called from inside its own loop. Await the coroutine there.")
    future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
