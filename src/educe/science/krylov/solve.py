"""What an iterative solve returns: the solution, whether it is one, and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Ledger

__all__ = ["RecycledSpace", "Solve"]


@dataclass(frozen=True, eq=False)
class RecycledSpace:
    """A subspace carried from one system to the next.

    Parameters
    ----------
    vectors : array
        (dimensions, n) rows that span it, in the variable before preconditioning (u with x = M u).
    image : array
        (dimensions, n) the orthonormal image A M of the same rows, for the system it came from.
    """

    vectors: Any
    image: Any

    def __repr__(self) -> str:
        return f"RecycledSpace({self.vectors.shape[0]} dimensions of {self.vectors.shape[1]})"


@dataclass(frozen=True, eq=False, repr=False)
class Solve:
    """The outcome of an iterative solve; unpacks as ``x, info`` like the results of scipy's solvers.

    Parameters
    ----------
    x : array
        Solution, of the shape and kind of b.
    residual : float
        True relative residual ``|b - A x| / |b|``, the largest over columns; computed from x, not from a recurrence.
    iterations : int
        Krylov steps, summed over columns; the products A U that take a recycled space to a new matrix are not among
        them.
    matvecs : int
        All products with A, those of A U and of residual checks included.
    cycles : int
        Restarts.
    residuals : tuple of ndarray
        Per column, the relative residual norm before the first and after each step, as the recurrence has it.
    stopped_by : str
        ``"tolerance"``; or ``"cycles"`` (the limit), ``"stagnation"`` (cycles without progress, as happens when b is
        not in the range of a singular A).
    recycle : RecycledSpace or None
        What the next system can start from; None for methods without.
    ledger : Ledger
        Seconds, and the floating-point operations of orthogonalisation.
    """

    x: Any
    residual: float
    iterations: int
    matvecs: int
    cycles: int
    residuals: tuple[npt.NDArray[np.float64], ...]
    stopped_by: str
    recycle: RecycledSpace | None = None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def converged(self) -> bool:
        """Whether every column reached its tolerance."""
        return self.stopped_by == "tolerance"

    @property
    def info(self) -> int:
        """Zero when converged, else the number of cycles, as in scipy."""
        return 0 if self.converged else max(1, self.cycles)

    def __iter__(self) -> Iterator[Any]:
        yield self.x
        yield self.info

    def __repr__(self) -> str:
        return (
            f"Solve({self.stopped_by}, residual={self.residual:.2e}, iterations={self.iterations}, "
            f"matvecs={self.matvecs})"
        )
