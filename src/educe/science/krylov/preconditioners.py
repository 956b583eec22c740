"""Preconditioners by name, as linear operators close to the inverse of a matrix.

Jacobi, symmetric Gauss-Seidel (Saad 2003, Iterative Methods for Sparse Linear Systems, chapter 10), incomplete LU by
SuperLU and smoothed-aggregation multigrid by PyAMG. They fit our solvers and SciPy's. What is rebuilt for every matrix
of a sequence changes the preconditioned operator more than the matrix does, so that recycled spaces help less: Jacobi
and Gauss-Seidel change little, incomplete factorisations much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from educe.core import UsageError, nearest

__all__ = ["PRECONDITIONERS", "preconditioner"]


def _diagonal(matrix: Any) -> Any:
    diagonal = matrix.diagonal()
    if (diagonal == 0).any():
        row = int(np.flatnonzero(diagonal == 0)[0])
        raise UsageError(f"Diagonal entry {row} is zero. Use another preconditioner than a scaling or sweep.")
    return diagonal


def _operator(matrix: Any, solve: Callable[[Any], Any]) -> Any:
    return sparse_linalg.LinearOperator(matrix.shape, matvec=solve, dtype=matrix.dtype)


def _jacobi(matrix: Any) -> Any:
    inverse = 1 / _diagonal(matrix)
    return _operator(matrix, lambda vector: inverse * vector.reshape(-1))


def _gauss_seidel(matrix: Any) -> Any:
    diagonal = _diagonal(matrix)

    def triangular(part: Any) -> Any:
        # Natural order and no pivoting: SuperLU then keeps the triangle as its own factor and only substitutes.
        return sparse_linalg.splu(
            part.tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    lower, upper = triangular(sparse.tril(matrix)), triangular(sparse.triu(matrix))
    return _operator(matrix, lambda vector: upper.solve(diagonal * lower.solve(vector.reshape(-1))))


def _incomplete_lu(matrix: Any) -> Any:
    try:
        factors = sparse_linalg.spilu(matrix.tocsc(), drop_tol=1e-3, fill_factor=10)
    except RuntimeError as error:
        raise UsageError(f"The incomplete factorisation failed ({error}). Use 'jacobi', or shift the matrix.") from None
    return _operator(matrix, lambda vector: factors.solve(vector.reshape(-1)))


def _multigrid(matrix: Any) -> Any:
    try:
        import pyamg
    except ImportError:
        raise UsageError("Multigrid needs PyAMG. Install it with `pip install pyamg`.") from None
    csr = sparse.csr_matrix(matrix)
    # PyAMG's kernels take 32-bit indices only.
    csr.indices, csr.indptr = csr.indices.astype(np.int32), csr.indptr.astype(np.int32)
    return pyamg.smoothed_aggregation_solver(csr).aspreconditioner(cycle="V")


PRECONDITIONERS: dict[str, Callable[[Any], Any]] = {
    "jacobi": _jacobi,
    "gauss-seidel": _gauss_seidel,
    "ilu": _incomplete_lu,
    "amg": _multigrid,
}


def preconditioner(A: Any, kind: str | Callable[[Any], Any] | None) -> Any:  # noqa: N803
    """Build a preconditioner for a matrix.

    Parameters
    ----------
    A : sparse matrix, array or Tensor
        Square. Tensors take ``"jacobi"`` only.
    kind : str, callable or None
        ``"jacobi"``, ``"gauss-seidel"`` (symmetric), ``"ilu"``, ``"amg"`` (needs PyAMG); a function from a matrix to an
        operator; None for none.

    Returns
    -------
    LinearOperator, or a function for tensors, or None
        Close to the inverse of A; the ``M`` of the solvers.

    Raises
    ------
    UsageError
        The name is unknown, a diagonal entry is zero, or a factorisation fails.

    Examples
    --------
    >>> import numpy as np
    >>> preconditioner(np.diag([2.0, 4.0]), "jacobi").matvec(np.ones(2)).tolist()
    [0.5, 0.25]
    """
    if kind is None:
        return None
    if callable(kind):
        return kind(A)
    if kind not in PRECONDITIONERS:
        raise UsageError(f"Preconditioner {kind!r} is unknown; {nearest(kind, PRECONDITIONERS)}")
    if isinstance(A, torch.Tensor):
        if kind != "jacobi":
            raise UsageError(f"Preconditioner {kind!r} needs a SciPy matrix. Tensors take 'jacobi'.")
        return _jacobi_tensor(A)
    if hasattr(A, "matvec") and not hasattr(A, "diagonal"):
        raise UsageError(f"Preconditioner {kind!r} needs the entries of A, not an operator. Pass M yourself.")
    matrix = A if sparse.issparse(A) else sparse.csr_array(np.asarray(A, dtype=np.result_type(np.asarray(A), 1.0)))
    return PRECONDITIONERS[kind](matrix.tocsr())


def _jacobi_tensor(matrix: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    if matrix.layout is torch.strided:
        diagonal = matrix.diagonal()
    else:
        entries = matrix.to_sparse_coo().coalesce()  # type: ignore[no-untyped-call]
        row, column = entries.indices()
        on = row == column
        diagonal = torch.zeros(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
        diagonal[row[on]] = entries.values()[on]
    if bool((diagonal == 0).any()):
        raise UsageError("A diagonal entry is zero. Use another preconditioner than a scaling.")
    return lambda vector: vector / diagonal
