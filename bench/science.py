"""The methods of `causal`, `science` and `learn` beside other libraries, on the same data, in one run.

    python bench/science.py                              # all parts, one core: some ten minutes
    python bench/science.py --only krylov connectome     # some parts; the others' results stay
    python bench/science.py --tiny --out /tmp/s.json     # two minutes, to see that it runs; its numbers mean nothing

Sides take turns within a repeat and medians are taken. A part ends with a cost curve: processor seconds as n doubles,
its exponent by least squares on logarithms beside the one expected from the algorithm; small sizes stay below it,
because what does not grow weighs there. Peers that are not installed are named and left out. petsc4py has no wheel, and
its source distribution comes without HPDDM, which holds its recycling solver; gcrotmk is the recycling peer instead.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _rows import REPEATS, Calls, Rows, absent, curve, race, row
from _science_causal import confounder, exchangeable, halfspace, pretraining, surgery

from educe.science import (
    Darcy,
    Helmholtz,
    Poisson,
    WeightedSBM,
    affinity,
    clr,
    generate_dataset,
    ntf,
    one_blas_thread,
    partial_correlation,
    preconditioner,
    simulate,
)

RESULTS = Path(__file__).with_name("results") / "science.json"


def scipy_gmres(counts: list[int], rtol: float) -> Callable[[Any, Any], Any]:
    """Return SciPy's GMRES(40) with Jacobi as a solver of data sets that writes down its iterations."""
    from scipy.sparse.linalg import gmres

    def solve(matrix: Any, right_side: Any) -> Any:
        steps: list[float] = []
        # Its rule looks at the left-preconditioned residual: a tenth of the tolerance makes the true one hold.
        x, _ = gmres(
            matrix, right_side, rtol=rtol / 10, restart=40, M=preconditioner(matrix, "jacobi"), callback=steps.append,
            callback_type="pr_norm", maxiter=400,
        )  # fmt: skip
        counts.append(len(steps))
        return x

    return solve


def pyamg_solve(matrix: Any, right_side: Any) -> Any:
    """Smoothed aggregation of PyAMG by itself."""
    import pyamg
    from scipy import sparse

    solver = pyamg.smoothed_aggregation_solver(sparse.csr_matrix(matrix))
    return solver.solve(right_side, tol=1e-9, maxiter=200, accel="cg")


def krylov(tiny: bool) -> Rows:
    """Sequences of Darcy and Helmholtz systems, all solvers to the same true residual."""
    grid = 24 if tiny else 64
    rows: Rows = []
    # SciPy's GMRES takes seconds for one Helmholtz system: fewer of them, and one turn.
    for workload, problem, rtol, count, repeats, options, bars in (
        (
            f"darcy-{grid}-jacobi",
            Darcy(grid, "two-parameter", 0.7),
            1e-8,
            3 if tiny else 20,
            1 if tiny else REPEATS,
            {},
            (2.5, 1.0),
        ),
        (f"helmholtz-{grid}-jacobi", Helmholtz(grid), 1e-6, 2 if tiny else 8, 1, {"sort": "none"}, (None, 2.0)),
    ):
        counts: list[int] = []
        gmres = "scipy gmres(40)"
        solvers: dict[str, dict[str, Any]] = {
            "ours": {},
            gmres: {"solver": scipy_gmres(counts, rtol)},
            "scipy gcrotmk(20, 20), recycling": {"solver": "gcrotmk"},
            "scipy splu": {"solver": "direct"},
        }
        if workload.startswith("darcy"):
            solvers["scipy cg, jacobi"] = {"solver": "cg"}
            if missing := absent(workload, "pyamg"):
                rows += missing
            else:
                solvers |= {"scipy cg, pyamg": {"solver": "cg", "preconditioner": "amg"},
                            "pyamg alone": {"solver": pyamg_solve}}  # fmt: skip
            rows += absent(workload, "petsc4py")
        calls = {
            name: lambda extra=extra: generate_dataset(problem, count, rtol=rtol, **options, **extra)  # noqa: B023
            for name, extra in solvers.items()
        }
        _, data = race(calls, repeats)
        seconds = {name: float(found.seconds.mean()) for name, found in data.items()}
        steps = {name: float(found.iterations.mean()) for name, found in data.items()}
        steps[gmres] = float(np.mean(counts))
        assert data["ours"].converged.all()
        for name, found in data.items():
            if name == "ours":
                continue
            label = name if found.converged.all() else f"{name} ({int((~found.converged).sum())} missed the tolerance)"
            least = bars if name == gmres else (None, None)
            if steps[name] > 0:
                rows.append(row(workload, "iterations", steps["ours"], label, steps[name], least[0]))
            rows.append(row(workload, "seconds per system", seconds["ours"], label, seconds[name], least[1]))
    sizes = (8, 16, 32) if tiny else (32, 64, 128)

    def solve(size: int) -> Callable[[], Any]:
        return lambda: generate_dataset(Poisson(size), 3, rtol=1e-8, preconditioner="jacobi")

    # Cells grow as the square and Krylov steps as the side.
    return rows + curve("krylov-poisson", "cells per side", sizes, solve, 3.0)


def compositions(tiny: bool) -> Rows:
    """Partial correlations of all parts beside the pseudo-inverse; log-ratios beside composition-stats."""
    samples, parts = (300, 20) if tiny else (2000, 300)
    table = np.random.default_rng(0).lognormal(size=(samples, parts))

    def pinv() -> Any:
        inverse = np.linalg.pinv(np.cov(clr(table), rowvar=False), rcond=1e-10)
        scale = 1 / np.sqrt(np.diag(inverse))
        return -inverse * scale * scale[:, None]

    rows = absent("compositions", "composition_stats")
    with one_blas_thread():
        seconds, found = race({"ours": lambda: partial_correlation(table).rho, "numpy pinv": pinv})
        off = ~np.eye(parts, dtype=bool)
        assert np.abs(found["ours"] - found["numpy pinv"])[off].max() < 1e-10
        rows.append(row(f"compositions-{parts}-parts", "seconds", seconds["ours"], "numpy pinv", seconds["numpy pinv"]))
        if not rows[:-1]:
            import composition_stats

            closed = table / table.sum(1, keepdims=True)
            times, values = race({"ours": lambda: clr(table), "peer": lambda: composition_stats.clr(closed)})
            assert np.abs(values["ours"] - values["peer"]).max() < 1e-10
            rows.append(row("compositions-clr", "seconds", times["ours"], "composition-stats", times["peer"]))
        sizes = (16, 32, 64) if tiny else (128, 256, 512, 1024)

        def fit(size: int) -> Callable[[], Any]:
            data = np.random.default_rng(1).lognormal(size=(2 * size, size))
            return lambda: partial_correlation(data)

        return rows + curve("compositions", "parts (samples twice that)", sizes, fit, 3.0)


def connectome(tiny: bool) -> Rows:
    """Non-negative factors beside tensorly's, from the same tensor and of the same rank, and the block model's cost."""
    rows = absent("connectome-ntf", "tensorly")
    size = {"neurons": 12, "animals": 3, "frames": 480, "sizes": (4, 3)} if tiny else {}
    tensor = affinity(simulate(**size, seed=0).traces)
    if not rows:
        from tensorly.decomposition import non_negative_parafac_hals

        def peer() -> Any:
            return non_negative_parafac_hals(
                tensor.values, 4, n_iter_max=100, init="random", tol=1e-6, random_state=0
            ).to_tensor()

        calls: Calls = {"ours": lambda: ntf(tensor, 4, starts=1, sweeps=100, tol=1e-6).tensor(), "tensorly HALS": peer}
        with one_blas_thread():
            seconds, found = race(calls)
        total = np.linalg.norm(tensor.values)
        errors = {name: float(np.linalg.norm(value - tensor.values) / total) for name, value in found.items()}
        name = "tensorly HALS"
        rows.append(row("connectome-ntf", "relative error", errors["ours"], name, errors[name], 0.99))
        rows.append(row("connectome-ntf", "seconds, one start", seconds["ours"], name, seconds[name], 1.0))

    def factor(neurons: int) -> Callable[[], Any]:
        own = affinity(simulate(neurons, 4, 480, seed=0).traces)
        return lambda: ntf(own, 4, starts=1, sweeps=10, tol=0)

    def blocks(nodes: int) -> Callable[[], Any]:
        noise = np.exp(0.3 * np.random.default_rng(0).normal(size=(nodes, nodes)))
        matrix = (noise + noise.T) * (0.1 + np.kron(np.eye(4), np.ones((nodes // 4, nodes // 4))))
        return lambda: WeightedSBM(draws=0, starts=2).fit(matrix)

    rows += curve("connectome-ntf", "neurons", (16, 24, 32) if tiny else (32, 64, 128), factor, 2.0)
    # Each of n moves looks at all n^2 pairs.
    return rows + curve("connectome-blocks", "neurons", (8, 16) if tiny else (16, 32, 64, 128), blocks, 3.0)


PARTS: dict[str, Callable[[bool], Rows]] = {
    part.__name__: part
    for part in (krylov, compositions, connectome, surgery, exchangeable, confounder, halfspace, pretraining)
}


def main() -> None:
    """Run the parts asked for, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.tiny and options.out == RESULTS:
        parser.error("--tiny needs --out: its numbers are no results")
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else []
    kept = [item for item in kept if item.get("part") in set(PARTS) - set(options.only)]
    for name in options.only:
        begun = time.perf_counter()
        rows = [{**item, "part": name} for item in PARTS[name](options.tiny)]
        kept += rows
        options.out.parent.mkdir(exist_ok=True, parents=True)
        options.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {time.perf_counter() - begun:.0f} s, load {os.getloadavg()[0]:.2f}")
        for item in rows:
            verdict = {None: "", True: "passed", False: "FAILED"}[item["passed"]]
            print(
                f"  {item['workload']:<24} {item['metric']:<34} ours {item['ours']:<10} "
                f"{item['peer']} {item['peer_value']} {item['bar'] if verdict else ''} {verdict}"
            )


if __name__ == "__main__":
    main()
