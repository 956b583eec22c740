"""Lines of a benchmark's result, turns between peers, and cost curves."""

from __future__ import annotations

import datetime
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["REPEATS", "Calls", "Rows", "absent", "curve", "race", "row"]

REPEATS = 3
Rows = list[dict[str, Any]]
Calls = dict[str, Callable[[], Any]]


def row(
    workload: str, metric: str, ours: float, peer: str, value: float, least: float | None = None, *, bar: str = "none"
) -> dict[str, Any]:
    """Return one line; the ratio says how many times ours the peer needs, `least` is the bar on it."""
    ratio = value / ours if ours else float("inf")
    return {
        "workload": workload,
        "metric": metric,
        "ours": round(float(ours), 5),
        "peer": peer,
        "peer_value": round(float(value), 5),
        "ratio": round(float(ratio), 3),
        "bar": bar if least is None else f"ratio >= {least}",
        "passed": None if least is None else bool(ratio >= least),
        "roofline_share": None,
        "repeats": REPEATS,
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def absent(workload: str, peer: str) -> Rows:
    """Return a line that says that a peer is not installed."""
    if importlib.util.find_spec(peer) is None:
        print(f"{workload}: {peer} is not installed")
        return [row(workload, "not installed", 1, peer, 0)]
    return []


def race(calls: Calls, repeats: int = REPEATS) -> tuple[dict[str, float], dict[str, Any]]:
    """Let all sides take turns; return median seconds and last results."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    results = {}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            results[name] = call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}, results


def curve(
    workload: str, what: str, sizes: Sequence[int], make: Callable[[int], Callable[[], Any]], expected: float
) -> Rows:
    """Measure how processor time grows as n doubles, and print every point."""
    taken = []
    for size in sizes:
        call, times = make(size), []
        for _ in range(2):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        taken.append(min(times))
    slope = float(np.polyfit(np.log(sizes), np.log(np.maximum(taken, 1e-6)), 1)[0])
    points = ", ".join(f"{size}: {seconds:.3g} s" for size, seconds in zip(sizes, taken, strict=True))
    print(f"{workload}: cost against {what}: {points}; exponent {slope:.2f}, expected {expected}")
    line = row(workload, f"cost exponent in {what}, {sizes[0]} to {sizes[-1]}", slope, "expected", expected)
    return [{**line, "bar": "<= expected + 0.3", "passed": slope <= expected + 0.3}]
