"""The border of the solvers: what a system may be made of, and the few vector operations on each kind of array.

A system lives where its matrix lives: NumPy for arrays, SciPy sparse matrices and linear operators, torch for
tensors of any layout on any device. Only numbers and small dense matrices come back to the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from educe.core import UsageError

__all__ = ["Arrays", "Host", "System", "read_system"]

Host = npt.NDArray[Any]  # a small matrix or vector on the host, real or complex


class Arrays:
    """NumPy's vector operations; `_Tensors` is the same for torch."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def zeros(self, *shape: int) -> Any:
        return np.zeros(shape, dtype=self.dtype)

    def give(self, host: Host) -> Any:
        return np.asarray(host, dtype=self.dtype)

    def host(self, array: Any) -> Host:
        return np.asarray(array)

    def norm(self, vector: Any) -> float:
        return float(np.linalg.norm(vector))

    def qr(self, rows: Any) -> tuple[Any, Host]:
        """Factorise row vectors: rows.T = Q R; return Q.T and R on the host."""
        orthonormal, triangle = np.linalg.qr(rows.T)
        return np.ascontiguousarray(orthonormal.T), triangle


class _Tensors(Arrays):
    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(dtype)
        self.device = device

    def zeros(self, *shape: int) -> Any:
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def give(self, host: Host) -> Any:
        return torch.as_tensor(host).to(dtype=self.dtype, device=self.device)

    def host(self, array: Any) -> Host:
        return np.asarray(array.detach().cpu().numpy())

    def norm(self, vector: Any) -> float:
        return float(torch.linalg.vector_norm(vector))

    def qr(self, rows: Any) -> tuple[Any, Host]:
        orthonormal, triangle = torch.linalg.qr(rows.T)
        return orthonormal.T.contiguous(), self.host(triangle)


class System(NamedTuple):
    """A linear system that passed the border."""

    size: int
    arrays: Arrays
    apply: Callable[[Any], Any]  # A v
    apply_rows: Callable[[Any], Any]  # A on each row of a (k, n) array
    precondition: Callable[[Any], Any]  # M v, M close to the inverse of A
    preconditioned: bool
    right_sides: Any  # (columns, n)
    starts: Any  # (columns, n), or None for zero
    finish: Callable[[Any], Any]  # rows of solutions to the shape and kind of b


def _matrix(name: str, given: Any) -> Any:
    """Check a square operator and return it: a tensor, a sparse matrix, a dense array or a linear operator."""
    if isinstance(given, torch.Tensor) or sparse.issparse(given):
        matrix: Any = given
    elif hasattr(given, "matvec") and hasattr(given, "shape"):
        matrix = given
    elif callable(given):
        raise UsageError(f"{name} is a function. Wrap it: scipy.sparse.linalg.LinearOperator(shape, matvec=...).")
    else:
        matrix = np.asarray(given)
        if not np.issubdtype(matrix.dtype, np.number):
            raise UsageError(f"{name} is no matrix of numbers ({type(given).__name__}). Pass an array or an operator.")
    shape = tuple(matrix.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise UsageError(f"{name} has shape {shape}. Pass a square matrix or operator.")
    values = None
    if sparse.issparse(matrix):
        matrix = matrix.tocsr()
        values = matrix.data
    elif isinstance(matrix, np.ndarray):
        values = matrix
    elif isinstance(matrix, torch.Tensor):
        values = matrix.values() if matrix.layout is torch.sparse_csr else matrix
        values = values.coalesce().values() if values.is_sparse else values
        if not bool(torch.isfinite(values).all()):
            raise UsageError(f"{name} holds NaN or infinity. Check how it was assembled.")
        return matrix
    if values is not None and not np.isfinite(values).all():
        raise UsageError(f"{name} holds NaN or infinity. Check how it was assembled.")
    return matrix


def _vectors(name: str, given: Any, size: int) -> tuple[Host, bool]:
    """Return right-hand sides or starts as host rows, and whether one plain vector was given."""
    array = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
    if array.ndim not in (1, 2) or array.shape[0] != size or not np.issubdtype(array.dtype, np.number):
        raise UsageError(f"{name} has shape {array.shape}. Give ({size},), or ({size}, columns) for several.")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds NaN or infinity. Check how it was assembled.")
    return (array[None], True) if array.ndim == 1 else (array.T, False)


def read_system(matrix: Any, right_side: Any, start: Any, preconditioner: Any) -> System:
    """Check A, b, x0 and M, and bind them to the arrays of A.

    Parameters
    ----------
    matrix, right_side, start, preconditioner : object
        A, b, x0 or None, M or None, as the solvers take them.

    Returns
    -------
    System

    Raises
    ------
    UsageError
        Shapes do not fit, a number is not finite, or kinds cannot be mixed.
    """
    a = _matrix("A", matrix)
    size = int(a.shape[0])
    sides, plain = _vectors("b", right_side, size)
    starts = None
    if start is not None:
        starts, _ = _vectors("x0", start, size)
        if starts.shape != sides.shape:
            raise UsageError(f"x0 has {len(starts)} column(s) and b has {len(sides)}. Give as many starts.")
    m = preconditioner if preconditioner is None or _plain_function(preconditioner) else _matrix("M", preconditioner)
    if m is not None and hasattr(m, "shape") and tuple(m.shape) != (size, size):
        raise UsageError(f"M has shape {tuple(m.shape)} and A is {size} x {size}. Give M the shape of A.")
    kinds: list[Any] = [np.float64, sides.dtype, *([] if starts is None else [starts.dtype])]
    kinds += [_numpy_dtype(item) for item in (a, m) if hasattr(item, "dtype") and item.dtype is not None]
    dtype = np.result_type(*kinds)
    if dtype not in (np.dtype(np.float64), np.dtype(np.complex128)):
        raise UsageError(f"The system has numbers of type {dtype}. Pass float64 or complex128, or less.")
    arrays: Arrays
    if isinstance(a, torch.Tensor):
        arrays = _Tensors(torch.complex128 if dtype == np.complex128 else torch.float64, a.device)
        a = a.to(arrays.dtype)
        if m is not None and not isinstance(m, torch.Tensor) and not _plain_function(m):
            raise UsageError(f"A is a tensor and M a {type(m).__name__}. Give M as a tensor or as a function of one.")
    else:
        arrays = Arrays(dtype)
        if isinstance(m, torch.Tensor):
            raise UsageError("M is a tensor and A is not. Give both as tensors, or neither.")
    wants_tensor = isinstance(right_side, torch.Tensor)

    def finish(rows: Any) -> Any:
        solution = rows[0] if plain else rows.T
        if wants_tensor:
            return torch.as_tensor(solution).to(right_side.device)
        return arrays.host(solution)

    return System(
        size,
        arrays,
        _product(a),
        _row_product(a),
        (lambda vector: vector) if m is None else m if _plain_function(m) else _product(m),
        m is not None,
        arrays.give(sides),
        None if starts is None else arrays.give(starts),
        finish,
    )


def _plain_function(given: Any) -> bool:
    return callable(given) and not hasattr(given, "shape")


def _numpy_dtype(given: Any) -> Any:
    if isinstance(given, torch.Tensor):
        return np.complex128 if given.is_complex() else np.float64
    return given.dtype


def _product(matrix: Any) -> Callable[[Any], Any]:
    if hasattr(matrix, "matvec"):
        return cast(Callable[[Any], Any], matrix.matvec)
    return lambda vector: matrix @ vector


def _row_product(matrix: Any) -> Callable[[Any], Any]:
    if hasattr(matrix, "matmat"):
        return lambda rows: matrix.matmat(rows.T).T
    return lambda rows: (matrix @ rows.T).T


def finite(size: float, what: str) -> float:
    """Return a norm, or refuse one that is not finite.

    Parameters
    ----------
    size : float
        The norm.
    what : str
        What it is the norm of.

    Raises
    ------
    UsageError
        It is NaN or infinite.
    """
    if not math.isfinite(size):
        raise UsageError(f"{what} is not finite. Check the operator, its preconditioner and their scales.")
    return size
