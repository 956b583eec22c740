"""Processor time of an action, and the exponent at which a cost grows, for the tables of reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["cpu_seconds", "exponent"]


def cpu_seconds(action: Callable[[], Any], repeats: int = 2) -> float:
    """Least processor time of a few repeats; wall time would measure the neighbours.

    Parameters
    ----------
    action : callable
        Called without arguments.
    repeats : int
        How often.
    """
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Exponent of a power law by least squares on logarithms.

    Parameters
    ----------
    sizes, values : sequence of float
        Above zero, of one length.
    """
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])
