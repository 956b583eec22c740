"""Data sets of solutions: sort the systems, solve them in that order, store them in their own order.

Source: Wang et al. (2024), arXiv:2401.09516. Sorted systems are cut into one contiguous stretch per worker, each with a
recycling chain of its own. Samples are numbered by the seed, not by the order of solving, so that neither sorting nor
the number of workers shows in the data set. A solution that missed its tolerance is stored as NaN and marked.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Budget, Ledger, Seed, UsageError, nearest
from educe.science.krylov._chain import SOLVERS, Chain, Stretch, solve_stretch
from educe.science.krylov._files import DatasetFile
from educe.science.krylov.problems import LinearProblem
from educe.science.krylov.sorting import sort_systems

__all__ = ["Dataset", "generate_dataset"]

# Above this many numbers per system all systems are about equally far apart, and sorting seldom pays.
_SMOOTH = 32
_NUMBERS = ("iterations", "matvecs", "seconds", "residual")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Parameters, solutions and what each solution took.

    Parameters
    ----------
    params : dict of str to ndarray
        (systems, ...) each.
    solutions : ndarray
        (systems, rows, columns); NaN outside the domain and where a solve is missing or missed its tolerance.
    converged : ndarray
        (systems,) bool; the true residual met the tolerance.
    residual : ndarray
        (systems,) true relative residuals.
    iterations, matvecs : ndarray
        (systems,) int; zero for direct and foreign solvers.
    seconds : ndarray
        (systems,) wall time of each solve, preconditioner included, assembly left out.
    order : ndarray
        (systems,) the order of solving.
    ledger : Ledger
        Wall time of the whole run of this process; ``stopped_by`` where a budget ended it.
    """

    params: dict[str, npt.NDArray[np.float64]]
    solutions: npt.NDArray[Any]
    converged: npt.NDArray[np.bool_]
    residual: npt.NDArray[np.float64]
    iterations: npt.NDArray[np.int64]
    matvecs: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    order: npt.NDArray[np.int64]
    ledger: Ledger

    def __len__(self) -> int:
        return len(self.solutions)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} systems, {int(self.converged.sum())} solved, grid {self.solutions.shape[1:]})"


def generate_dataset(
    problem: LinearProblem,
    n: int,
    *,
    solver: str | Callable[[Any, Any], Any] = "gcro-dr",
    sort: str = "auto",
    preconditioner: str | Callable[[Any], Any] | None = "jacobi",
    rtol: float = 1e-8,
    m: int = 40,
    k: int = 20,
    maxiter: int = 1000,
    workers: int = 1,
    seed: int | Seed = 0,
    out: str | Path | None = None,
    save_every: int = 16,
    progress: bool | Callable[[int, int], None] = False,
    budget: Budget | None = None,
) -> Dataset:
    """Draw systems of a family and solve them.

    Parameters
    ----------
    problem : LinearProblem
        `Darcy`, `Helmholtz`, `Poisson`, `Thermal`, or one of your own.
    n : int
        Number of systems.
    solver : str or callable
        ``"gcro-dr"`` (recycles), ``"gmres"``, ``"gcrotmk"`` (SciPy's, recycles), ``"cg"`` (symmetric positive definite
        matrices only), ``"direct"`` (sparse LU, factorised once where all systems share a matrix), or a function from
        (A, b) to x.
    sort : str
        ``"greedy"``, ``"fft_pca"`` or ``"none"``, see `sort_systems`; ``"auto"`` is greedy where a system has at most
        32 parameters to sort on, and none elsewhere.
    preconditioner : str, callable or None
        See `preconditioner`; not used by direct and foreign solvers.
    rtol : float
        Relative residual that each solution must meet.
    m, k : int
        Sizes of `gcro_dr`; m is also the restart of GMRES.
    maxiter : int
        Limit on cycles of m steps.
    workers : int
        Processes, each with one chain; 1 stays in this one. Functions as solver or preconditioner need 1.
    seed : int or Seed
        Root of all draws; sample i does not depend on `n`.
    out : path, optional
        A ``.h5``, ``.hdf5`` or ``.zarr`` file (packages h5py, zarr). Finished systems are kept in it; the same call
        with the same file goes on where it stopped.
    save_every : int
        Systems solved between two writes, per worker.
    progress : bool or callable
        True draws a bar on standard error; a function is called with (finished, n).
    budget : Budget, optional
        ``seconds`` or ``samples`` end the run softly; what is missing is NaN, and `out` can go on later.

    Returns
    -------
    Dataset

    Raises
    ------
    UsageError
        A name is unknown, a number out of range, or the file holds another data set.
    DataError
        The file is broken.

    Examples
    --------
    >>> from educe.science import Darcy
    >>> data = generate_dataset(Darcy(16, field="two-parameter"), 5)
    >>> data, bool(data.residual.max() <= 1e-8)
    (Dataset(5 systems, 5 solved, grid (16, 16)), True)
    """
    start = time.perf_counter()
    _check(n, solver, workers, save_every, m, k, rtol)
    if workers > 1 and (callable(solver) or callable(preconditioner)):
        raise UsageError(f"A function does not travel to {workers} processes. Name a solver, or pass workers=1.")
    root = Seed.of(seed)
    chain = Chain(problem, root, solver, preconditioner, rtol, m, k, maxiter)
    params = _params(problem, root, n)
    if sort == "auto":
        numbers = sum(params[name].size // n for name in problem.sort_on)
        sort = "greedy" if numbers <= _SMOOTH else "none"
    keys = {name: params[name] for name in problem.sort_on}
    order = sort_systems(keys if len(keys) > 1 else next(iter(keys.values())), sort)
    complex_valued = np.iscomplexobj(problem.sample(root.child("sample", 0)).matrix)
    arrays: dict[str, npt.NDArray[Any]] = {
        "solutions": np.full((n, *problem.active.shape), np.nan, dtype=complex if complex_valued else float),
        "iterations": np.zeros(n, dtype=np.int64),
        "matvecs": np.zeros(n, dtype=np.int64),
        "seconds": np.zeros(n),
        "residual": np.full(n, np.nan),
        "done": np.zeros(n, dtype=np.uint8),
    }
    ledger = Ledger()
    with contextlib.ExitStack() as stack:
        file = None
        if out is not None:
            description = {"problem": repr(problem), "n": n, "seed": repr(root), "rtol": rtol, "solver": str(solver)}
            named = {f"params_{name}": value for name, value in params.items()}
            file = stack.enter_context(DatasetFile(Path(out), description, {**arrays, **named}))
            arrays = {name: file.read(name) for name in arrays}
        report = stack.enter_context(_reporter(progress))
        report(int(arrays["done"].sum()), n)
        # As many contiguous stretches as workers, so that each chain sees neighbours only; finished ones drop out.
        chains = [[int(i) for i in part if not arrays["done"][i]] for part in np.array_split(order, workers)]
        stretches = _solve_all(chain, chains, save_every, workers)
        stack.callback(stretches.close)
        for stretch in stretches:
            for row in stretch.rows:
                _store(problem, arrays, row, rtol)
                if file is not None:
                    file.write(row.number, {name: arrays[name][row.number] for name in ("solutions", *_NUMBERS)})
            if file is not None:
                file.flush()
                for row in stretch.rows:
                    file.write(row.number, {"done": 1})
                file.flush()
            ledger = replace(ledger, samples=ledger.samples + len(stretch.rows), seconds=time.perf_counter() - start)
            report(int(arrays["done"].sum()), n)
            reason = None if budget is None else budget.exceeded(ledger)
            if reason is not None and not arrays["done"].all():
                ledger = ledger.stopped(reason)
                break
    residual = arrays["residual"]
    return Dataset(
        params,
        arrays["solutions"],
        np.asarray(residual <= rtol),
        residual,
        arrays["iterations"],
        arrays["matvecs"],
        arrays["seconds"],
        order,
        replace(ledger, seconds=time.perf_counter() - start),
    )


def _check(n: int, solver: Any, workers: int, save_every: int, m: int, k: int, rtol: float) -> None:
    for name, value in (("n", n), ("workers", workers), ("save_every", save_every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name}={value!r} is not a whole number >= 1. Give for instance 8.")
    if not callable(solver) and solver not in SOLVERS:
        raise UsageError(f"Solver {solver!r} is unknown; {nearest(str(solver), SOLVERS)}")
    if not 0 <= k < m or not rtol > 0:
        raise UsageError(f"m={m}, k={k}, rtol={rtol} are out of range. Give 0 <= k < m and rtol > 0.")


def _params(problem: LinearProblem, root: Seed, n: int) -> dict[str, npt.NDArray[np.float64]]:
    drawn = [problem.sample(root.child("sample", index)).params for index in range(n)]
    return {name: np.stack([params[name] for params in drawn]) for name in drawn[0]}


def _store(problem: LinearProblem, arrays: dict[str, npt.NDArray[Any]], row: Any, rtol: float) -> None:
    if row.residual <= rtol:
        arrays["solutions"][row.number][problem.active] = row.solution
    arrays["done"][row.number] = 1
    for name in _NUMBERS:
        arrays[name][row.number] = getattr(row, name)


def _solve_all(chain: Chain, chains: list[list[int]], size: int, workers: int) -> Generator[Stretch, None, None]:
    if workers == 1:
        space = None
        for begin in range(0, len(chains[0]), size):
            stretch = solve_stretch(chain, chains[0][begin : begin + size], space)
            space = stretch.space
            yield stretch
        return
    # Spawned, not forked: BLAS and torch threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running: dict[Future[Stretch], list[int]] = {}

        def submit(left: list[int], space: Any) -> None:
            if left:
                running[pool.submit(solve_stretch, chain, left[:size], space)] = left[size:]

        for left in chains:
            submit(left, None)
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    stretch, left = future.result(), running.pop(future)
                    submit(left, stretch.space)
                    yield stretch
        finally:
            for future in running:
                future.cancel()


@contextlib.contextmanager
def _reporter(progress: bool | Callable[[int, int], None]) -> Iterator[Callable[[int, int], None]]:
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda finished, total: None
    else:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("systems", total=None)
            yield lambda finished, total: bar.update(task, completed=finished, total=total)
