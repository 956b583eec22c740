"""GMRES with restarts: the baseline of recycling, with the same code for orthogonalisation and tolerance.

Source: Saad and Schultz (1986), SIAM J. Sci. Stat. Comput. 7. The preconditioner stands on the right, unlike in
``scipy.sparse.linalg.gmres``, so that the residual that is minimised is the true one. A restarted run forgets
everything; see `gcro_dr` for one that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from educe.core import UsageError
from educe.science.krylov.gcro_dr import gcro_dr
from educe.science.krylov.solve import Solve

__all__ = ["gmres"]


def gmres(
    A: Any,  # noqa: N803
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int = 20,
    maxiter: int = 1000,
    M: Any = None,  # noqa: N803
    callback: Callable[[Any], None] | None = None,
) -> Solve:
    """Solve A x = b by GMRES; takes what ``scipy.sparse.linalg.gmres`` takes.

    Parameters
    ----------
    A : array_like, sparse matrix, LinearOperator or Tensor
        (n, n), real or complex.
    b : array_like
        (n,), or (n, columns) for several right-hand sides.
    x0 : array_like, optional
        First guess, of the shape of `b`; zero when left out.
    rtol, atol : float
        Done when ``|b - A x| <= max(rtol |b|, atol)``.
    restart : int
        Steps between restarts, >= 1.
    maxiter : int
        Limit on cycles per right-hand side.
    M : like A, or callable, optional
        Right preconditioner, close to the inverse of A.
    callback : callable, optional
        Called with the current solution after each cycle.

    Returns
    -------
    Solve
        Without a recycled space.

    Raises
    ------
    UsageError
        Shapes do not fit, a number is not finite, or a parameter is out of range.

    Examples
    --------
    >>> x, info = gmres([[2.0, 1.0], [0.0, 1.0]], [3.0, 1.0], rtol=1e-10)
    >>> x.round(6).tolist(), info
    ([1.0, 1.0], 0)
    """
    if restart < 1:
        raise UsageError(f"restart={restart} allows no step. Give at least 1.")
    return gcro_dr(A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, M=M, callback=callback, m=restart, k=0)
