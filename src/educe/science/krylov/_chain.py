"""Solves a stretch of a sequence of systems; the unit of work of `generate_dataset`, in this or another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import linalg as sparse_linalg

from educe.core import Seed, UsageError
from educe.science.krylov._threads import one_blas_thread
from educe.science.krylov.gcro_dr import gcro_dr
from educe.science.krylov.gmres import gmres
from educe.science.krylov.preconditioners import preconditioner
from educe.science.krylov.problems import LinearProblem
from educe.science.krylov.solve import RecycledSpace

__all__ = ["SOLVERS", "Chain", "Row", "Stretch", "solve_stretch"]

SOLVERS = ("gcro-dr", "gmres", "gcrotmk", "cg", "direct")


class Row(NamedTuple):
    """What is kept of one solve."""

    number: int
    solution: npt.NDArray[Any]
    iterations: int
    matvecs: int
    seconds: float
    residual: float


class Stretch(NamedTuple):
    """Some rows, and the space that the next stretch of the chain starts from."""

    rows: list[Row]
    space: Any


@dataclass(frozen=True)
class Chain:
    """How to solve: everything but the systems."""

    problem: LinearProblem
    seed: Seed
    solver: str | Callable[[Any, Any], Any]
    preconditioner: str | Callable[[Any], Any] | None
    rtol: float
    m: int
    k: int
    maxiter: int


class _Counted:
    """A matrix that counts its products, for solvers that do not tell."""

    def __init__(self, matrix: Any) -> None:
        self.products = 0
        self.matrix = matrix

    def operator(self) -> Any:
        def apply(vector: Any) -> Any:
            self.products += 1
            return self.matrix @ vector

        return sparse_linalg.LinearOperator(self.matrix.shape, matvec=apply, dtype=self.matrix.dtype)


def solve_stretch(chain: Chain, indices: list[int], space: Any) -> Stretch:
    """Solve the named systems in the order given.

    Parameters
    ----------
    chain : Chain
        Problem and solver.
    indices : list of int
        Which systems.
    space : object
        What the stretch before left, None at first.

    Returns
    -------
    Stretch
    """
    rows = []
    factors = None
    with one_blas_thread():
        for index in indices:
            sample = chain.problem.sample(chain.seed.child("sample", index))
            matrix, right_side = sample.matrix, sample.right_side
            # A matrix is new unless all samples share one and an earlier stretch or sample has seen it.
            same = chain.problem.fixed_matrix and space is not None
            start = time.perf_counter()
            iterations = matvecs = 0
            if callable(chain.solver):
                x = np.asarray(chain.solver(matrix, right_side))
            elif chain.solver == "direct":
                if factors is None or not chain.problem.fixed_matrix:
                    factors = sparse_linalg.splu(matrix.tocsc())
                x = factors.solve(right_side)
            else:
                operator = preconditioner(matrix, chain.preconditioner)
                x, iterations, matvecs, space = _iterate(chain, matrix, right_side, operator, space, same)
            seconds = time.perf_counter() - start
            if x.shape != right_side.shape:
                raise UsageError(f"The solver returned shape {x.shape} for a system of {right_side.shape}. Return x.")
            residual = float(np.linalg.norm(right_side - matrix @ x) / np.linalg.norm(right_side))
            rows.append(Row(index, x, iterations, matvecs, seconds, residual))
    return Stretch(rows, space)


def _iterate(
    chain: Chain, matrix: Any, right_side: Any, operator: Any, space: Any, same: bool
) -> tuple[Any, int, int, Any]:
    if chain.solver == "gcro-dr":
        recycle: RecycledSpace | None = space
        result = gcro_dr(
            matrix, right_side, rtol=chain.rtol, maxiter=chain.maxiter, M=operator, m=chain.m, k=chain.k,
            recycle=recycle, same_matrix=same,
        )  # fmt: skip
        return result.x, result.iterations, result.matvecs, result.recycle
    if chain.solver == "gmres":
        result = gmres(
            matrix, right_side, rtol=chain.rtol, maxiter=chain.maxiter, M=operator, restart=chain.m
        )  # fmt: skip
        return result.x, result.iterations, result.matvecs, None
    counted = _Counted(matrix)
    if chain.solver == "cg":
        x, _ = sparse_linalg.cg(
            counted.operator(), right_side, rtol=chain.rtol, maxiter=chain.maxiter * chain.m, M=operator
        )  # fmt: skip
        return x, counted.products, counted.products, None
    # SciPy's own recycling: keep the vectors U, let it form their images under the new matrix.
    vectors = [] if space is None else space
    carried = len(vectors)
    x, _ = sparse_linalg.gcrotmk(
        counted.operator(), right_side, rtol=chain.rtol, maxiter=chain.maxiter, M=operator,
        m=chain.m - chain.k, k=chain.k, CU=vectors, discard_C=True,
    )  # fmt: skip
    return x, counted.products - carried, counted.products, [(None, vector) for _, vector in vectors]
