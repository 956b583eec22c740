"""The errors that educe raises, all under one base.

A message has two sentences: what is wrong (with the offending value) and what to do. The command
prints it as one line; exit code 2 for `UsageError`, 1 for every other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "CapabilityError",
    "DataError",
    "EduceError",
    "StoreError",
    "UsageError",
    "nearest",
]


class EduceError(Exception):
    """Base of every error that educe raises on purpose.

    Examples
    --------
    >>> issubclass(UsageError, EduceError)
    True
    """

    exit_code = 1


class UsageError(EduceError, ValueError):
    """What was asked for cannot be meant: an unknown name, a size out of range, an empty question."""

    exit_code = 2


class CapabilityError(EduceError):
    """The model or server cannot do what the method needs (log-probabilities, scores, embeddings)."""


class BackendError(EduceError):
    """A model, server or download failed: no answer, a wrong answer, a broken file transfer."""


class DataError(EduceError):
    """A file is not what it should be: truncated, forged, of an unknown format."""


class StoreError(EduceError):
    """Results cannot be read or written: a full disk, a folder without write permission."""


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Say which known names are closest to a mistyped one.

    Parameters
    ----------
    name : str
        What was typed.
    known : iterable of str
        The names that exist.
    limit : int
        How many to list at most, >= 1.

    Returns
    -------
    str
        A sentence fragment: ``"did you mean 'greedy'?"``, or the list of all names when none is close.

    Examples
    --------
    >>> nearest("gredy", ["greedy", "best-of-n"])
    "did you mean 'greedy'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=limit, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(item) for item in close)}?"
    return f"known: {', '.join(names)}."
