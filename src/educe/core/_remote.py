"""What executors on a cluster have in common: which functions can travel, and how a worker runs one unit."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import operator
import reprlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from educe.core.errors import BackendError, UsageError
from educe.core.executor import guarded
from educe.core.sync import run_sync

__all__ = ["ALLOWED_FAILURES", "CONNECT_SECONDS", "cannot_travel", "check_importable", "given_up", "lost", "run_unit"]

T = TypeVar("T")
R = TypeVar("R")

ALLOWED_FAILURES = 3  # Workers that a unit may lose before it is given up, as in the clusters' own defaults.
CONNECT_SECONDS = 10.0


async def _awaited(awaitable: Awaitable[R]) -> R:
    return await awaitable


def run_unit(fn: Callable[[T], Any], item: T) -> Any:
    """Run one unit in a worker of a cluster.

    All coroutines of a worker run in one loop (`run_sync`), so that a model which one unit loaded serves the next.
    """
    result = guarded(fn, item)
    return run_sync(_awaited(result)) if inspect.isawaitable(result) else result


def check_importable(fn: Callable[[Any], Any]) -> None:
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


def cannot_travel(item: object, index: int) -> UsageError:
    """Return the error for an item that cannot be sent to a worker."""
    return UsageError(
        f"Unit {index} ({reprlib.repr(item)}) cannot be sent to a worker. Give text, numbers, lists, mappings "
        "or dataclasses of these."
    )


def given_up(item: object, index: int, deaths: int) -> BackendError:
    """Return the error for a unit whose workers died."""
    return BackendError(
        f"Unit {index} ({reprlib.repr(item)}) was given up, because the workers that ran it died "
        f"({deaths} of them). Run it alone to see why, or give the workers more memory."
    )


def lost(index: int, error: BaseException) -> BackendError:
    """Return the error for a unit that went down with its cluster."""
    return BackendError(
        f"Unit {index} was lost with its cluster ({error}). Check the scheduler and run again; what was stored is safe."
    )
