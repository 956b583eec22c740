"""From the text that names an executor, as on the command line, to the executor."""

from __future__ import annotations

import urllib.parse

from educe.core.dask_executor import DaskExecutor
from educe.core.errors import UsageError, nearest
from educe.core.executor import Executor, InProcess
from educe.core.ray_executor import RayExecutor

__all__ = ["make_executor"]


def make_executor(spec: str = "") -> Executor:
    """Make the executor that a text names.

    Parameters
    ----------
    spec : str
        ``""`` or ``"local"``: in this process. ``"dask"``: a Dask cluster of its own on this machine.
        ``"dask://host:port"``: a Dask scheduler that is there. ``"ray://host:port"``: the client port of a Ray
        cluster that is there.

    Returns
    -------
    Executor
        Not started yet; use it in ``async with``.

    Raises
    ------
    UsageError
        The name is unknown, or the address is malformed.

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
    if scheme == "ray" and not separator:
        raise UsageError(
            f"Executor {spec!r} lacks an address. Start a cluster with `ray start --head`, then write ray://host:port."
        )
    if scheme not in ("dask", "ray"):
        known = ("local", "dask", "dask://host:port", "ray://host:port")
        raise UsageError(f"Executor {spec!r} is unknown; {nearest(spec, known)}")
    try:
        parts = urllib.parse.urlsplit(f"tcp://{rest}")
        complete = bool(parts.hostname and parts.port) and parts.netloc == rest and "@" not in rest
    except ValueError:
        complete = False
    if not complete:
        raise UsageError(f"Executor {spec!r} lacks a host or a port. Write {scheme}://host:port.")
    return DaskExecutor(f"tcp://{rest}") if scheme == "dask" else RayExecutor(f"ray://{rest}")
