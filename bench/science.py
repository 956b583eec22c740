"""Recycling solvers beside SciPy's and PyAMG's, and partial correlations beside the pseudo-inverse, in one run.

Solvers take turns on the same systems to the same true residual; numbers are medians over turns. Writes
``bench/results/science.json``; takes about half a minute on one core.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from educe.science import Darcy, clr, generate_dataset, one_blas_thread, partial_correlation, preconditioner

REPEATS = 3
SYSTEMS = 20
RESULTS = Path(__file__).with_name("results") / "science.json"


def row(
    workload: str, metric: str, ours: float, peer: str, value: float, bar: str, passed: bool | None
) -> dict[str, Any]:
    """Return one line of the result; the ratio says how many times ours the peer takes."""
    return {
        "workload": workload,
        "metric": metric,
        "ours": round(ours, 5),
        "peer": peer,
        "peer_value": round(value, 5),
        "ratio": round(value / ours, 3),
        "bar": bar,
        "passed": passed,
        "roofline_share": None,
        "repeats": REPEATS,
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def scipy_gmres(counts: list[int]) -> Callable[[Any, Any], Any]:
    """Return SciPy's GMRES(40) with Jacobi as a solver of data sets that writes down its iterations."""
    from scipy.sparse.linalg import gmres

    def solve(matrix: Any, right_side: Any) -> Any:
        steps: list[float] = []
        # Its rule looks at the left-preconditioned residual: a tenth of the tolerance makes the true one hold.
        x, _ = gmres(
            matrix, right_side, rtol=1e-9, restart=40, M=preconditioner(matrix, "jacobi"), callback=steps.append,
            callback_type="pr_norm",
        )  # fmt: skip
        counts.append(len(steps))
        return x

    return solve


def darcy() -> list[dict[str, Any]]:
    """Solve one sequence of smooth Darcy systems of 64 x 64 cells to 1e-8 with every solver."""
    counts: list[int] = []
    solvers: dict[str, dict[str, Any]] = {
        "ours": {},
        "scipy gmres(40)": {"solver": scipy_gmres(counts)},
        "scipy gcrotmk(20, 20), recycling": {"solver": "gcrotmk"},
        "scipy cg, jacobi": {"solver": "cg"},
        "scipy cg, pyamg": {"solver": "cg", "preconditioner": "amg"},
        "scipy splu": {"solver": "direct"},
    }
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    iterations: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, options in solvers.items():
            data = generate_dataset(Darcy(64, "two-parameter", 0.7), SYSTEMS, **options)
            assert data.converged.all(), name
            seconds[name].append(float(np.median(data.seconds)))
            iterations[name] = float(data.iterations.mean())
    iterations["scipy gmres(40)"] = float(np.mean(counts))
    rows = []
    for name in solvers:
        if name == "ours":
            continue
        known = {"scipy gmres(40)": 2.5}.get(name)
        if iterations[name]:
            gain = iterations[name] / iterations["ours"]
            bar, passed = ("none", None) if known is None else (f"ratio >= {known}", gain >= known)
            rows.append(row("darcy-64-jacobi", "iterations", iterations["ours"], name, iterations[name], bar, passed))
        mine, theirs = float(np.median(seconds["ours"])), float(np.median(seconds[name]))
        rows.append(row("darcy-64-jacobi", "seconds per system", mine, name, theirs, "none", None))
    return rows


def compositions() -> list[dict[str, Any]]:
    """Compute all partial correlations of 300 parts from 2000 samples."""
    table = np.random.default_rng(0).lognormal(size=(2000, 300))

    def ours() -> Any:
        return partial_correlation(table).rho

    def peer() -> Any:
        inverse = np.linalg.pinv(np.cov(clr(table), rowvar=False), rcond=1e-10)
        scale = 1 / np.sqrt(np.diag(inverse))
        return -inverse * scale * scale[:, None]

    taken: dict[str, list[float]] = {"ours": [], "peer": []}
    off = ~np.eye(300, dtype=bool)
    with one_blas_thread():
        for _ in range(REPEATS):
            for name, call in (("ours", ours), ("peer", peer)):
                start = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - start)
        gap = float(np.abs(ours() - peer())[off].max())
    assert gap < 1e-10
    mine, theirs = float(np.median(taken["ours"])), float(np.median(taken["peer"]))
    return [row("compositions-300-parts", "seconds", mine, "numpy pinv", theirs, "none", None)]


def main() -> None:
    """Run both and write the result."""
    rows = [*darcy(), *compositions()]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for item in rows:
        print(
            f"{item['workload']:<24} {item['metric']:<20} ours {item['ours']:<10} {item['peer']} {item['peer_value']}"
        )


if __name__ == "__main__":
    main()
