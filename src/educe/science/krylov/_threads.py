"""One BLAS thread for small dense work inside iterative solves.

A cycle of GCRO-DR multiplies matrices of 20 to 40 rows, where a threaded BLAS spends its time on waking threads: on a
busy machine of two cores that made a solve ten times slower. Without threadpoolctl nothing is limited.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

__all__ = ["one_blas_thread"]


@lru_cache(maxsize=1)
def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[bool]:
    """Limit BLAS to one thread inside a ``with`` block.

    Yields
    ------
    bool
        Whether it could be limited, which needs the package threadpoolctl.

    Examples
    --------
    >>> with one_blas_thread() as limited:
    ...     isinstance(limited, bool)
    True
    """
    controller = _controller()
    if controller is None:
        yield False
        return
    with controller.limit(limits=1, user_api="blas"):
        yield True
