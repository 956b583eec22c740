"""A solver for a sequence of similar systems, and a measure of how well a recycled space fits the next one.

Source: Wang et al. (2024), arXiv:2401.09516, who solve a sorted sequence by GCRO-DR (Parks et al. 2006), and whose
analysis rests on the one-sided distance between an invariant subspace and the recycled one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from educe.core import UsageError
from educe.science.krylov._threads import one_blas_thread
from educe.science.krylov.gcro_dr import gcro_dr
from educe.science.krylov.preconditioners import preconditioner as build
from educe.science.krylov.solve import RecycledSpace, Solve

__all__ = ["GCRODR", "subspace_distance"]


class GCRODR:
    """Solves one system after the other and keeps the recycled space in between.

    Parameters
    ----------
    m : int
        Dimension of the space that a cycle minimises over.
    k : int
        Dimensions kept, < m.
    rtol, atol : float
        Done when ``|b - A x| <= max(rtol |b|, atol)``.
    maxiter : int
        Limit on cycles per right-hand side.
    preconditioner : str, callable or None
        Built for every matrix; see `preconditioner`.

    Attributes
    ----------
    space : RecycledSpace or None
        What the next `solve` starts from; the only state. Assign one to start from it.

    Raises
    ------
    UsageError
        From ``solve``: a parameter is out of range or the system is refused.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sparse
    >>> A = sparse.diags([-1.0, 2.1, -1.0], [-1, 0, 1], shape=(200, 200), format="csr")
    >>> solver = GCRODR(m=20, k=8, rtol=1e-8)
    >>> first, *later = [solver.solve(A * scale, np.ones(200)).iterations for scale in (1.0, 1.1, 1.2)]
    >>> max(later) < first
    True
    """

    def __init__(
        self,
        m: int = 40,
        k: int = 20,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int = 1000,
        preconditioner: str | Callable[[Any], Any] | None = None,
    ) -> None:
        self.m = m
        self.k = k
        self.rtol = rtol
        self.atol = atol
        self.maxiter = maxiter
        self.preconditioner = preconditioner
        self.space: RecycledSpace | None = None

    def __repr__(self) -> str:
        return f"GCRODR(m={self.m}, k={self.k}, rtol={self.rtol:g}, space={self.space!r})"

    def solve(
        self,
        A: Any,  # noqa: N803
        b: Any,
        x0: Any = None,
        *,
        M: Any = None,  # noqa: N803
        same_matrix: bool = False,
    ) -> Solve:
        """Solve one system and keep its space.

        Parameters
        ----------
        A, b, x0 : object
            As in `gcro_dr`.
        M : object, optional
            A preconditioner of one's own for this matrix, instead of the one that is built.
        same_matrix : bool
            A and the preconditioner are those of the solve before.

        Returns
        -------
        Solve

        Raises
        ------
        UsageError
            A parameter is out of range or the system is refused; the space stays as it was.
        """
        operator = M if M is not None else build(A, self.preconditioner)
        with one_blas_thread():
            result = gcro_dr(
                A,
                b,
                x0,
                rtol=self.rtol,
                atol=self.atol,
                maxiter=self.maxiter,
                M=operator,
                m=self.m,
                k=self.k,
                recycle=self.space,
                same_matrix=same_matrix,
            )
        self.space = result.recycle
        return result

    def solve_all(self, systems: Iterable[tuple[Any, Any]]) -> Iterator[Solve]:
        """Solve pairs (A, b) in the order given, one result at a time.

        Parameters
        ----------
        systems : iterable of pairs
            Matrices and right-hand sides, of one size.

        Yields
        ------
        Solve
        """
        for matrix, right_side in systems:
            yield self.solve(matrix, right_side)

    def reset(self) -> None:
        """Forget the recycled space."""
        self.space = None


def subspace_distance(invariant: Any, recycled: Any) -> float:
    """One-sided distance between subspaces: the sine of the largest angle of a vector of one to the other.

    Parameters
    ----------
    invariant : array_like
        (n, q) columns that span an invariant subspace of the matrix.
    recycled : array_like
        (n, k) columns that span the recycled image, such as ``solve.recycle.image.T``.

    Returns
    -------
    float
        ``|(I - P_C) P_Q|`` in [0, 1]; 0 when the first space lies in the second, 1 when k < q.

    Raises
    ------
    UsageError
        The shapes do not fit.

    Examples
    --------
    >>> subspace_distance(np.eye(3)[:, :1], np.eye(3)[:, :2])
    0.0
    """
    first, second = np.asarray(invariant), np.asarray(recycled)
    if first.ndim != 2 or second.ndim != 2 or first.shape[0] != second.shape[0]:
        raise UsageError(f"Shapes {first.shape} and {second.shape} do not fit. Give columns of equal length.")
    inner, outer = np.linalg.qr(first)[0], np.linalg.qr(second)[0]
    return float(np.linalg.norm(inner - outer @ (outer.conj().T @ inner), 2))
