"""Log-ratio coordinates of compositions: closure, centred, additive and isometric, and the variation matrix.

A composition carries relative amounts only; every function here gives the same answer for a row and for a
multiple of it. Sources: Aitchison (1986), The Statistical Analysis of Compositional Data, chapters 4 and 6;
Egozcue et al. (2003), Mathematical Geology 35, for the isometric coordinates.

It takes arrays, tensors and data frames and returns NumPy arrays. It does not deal with zeros: see `replace_zeros`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from educe.core import UsageError
from educe.science._tables import Matrix, index_of, read_parts, read_table

__all__ = ["alr", "closure", "clr", "ilr", "ilr_basis", "variation"]


def closure(x: Any, total: float = 1.0) -> Matrix:
    """Scale each row to a common total.

    Parameters
    ----------
    x : array_like
        (samples, parts) amounts >= 0, not all zero in a row.
    total : float
        The sum of each row of the result, > 0.

    Returns
    -------
    ndarray
        (samples, parts) float64.

    Raises
    ------
    UsageError
        An amount is negative or missing, a row is all zeros, or `total` is not positive and finite.

    Examples
    --------
    >>> closure([[1.0, 3.0]]).tolist()
    [[0.25, 0.75]]
    """
    if not (np.isfinite(total) and total > 0):
        raise UsageError(f"total={total} is no sum of positive parts. Give for instance 1.")
    amounts = read_table(x).amounts
    bad = np.flatnonzero((amounts < 0).any(axis=1) | (amounts.max(axis=1) <= 0))
    if len(bad):
        raise UsageError(f"Row {bad[0]} holds a negative amount or only zeros. Drop or mend it.")
    # Dividing by the largest part first keeps rows whose sum would overflow.
    shares = amounts / amounts.max(axis=1, keepdims=True)
    return np.asarray(total * shares / shares.sum(axis=1, keepdims=True))


def clr(x: Any) -> Matrix:
    """Centred log-ratios: logarithms minus their mean over the row.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts.

    Returns
    -------
    ndarray
        (samples, parts) float64; rows sum to zero.

    Raises
    ------
    UsageError
        An amount is not positive and finite.

    Examples
    --------
    >>> clr([[1.0, 1.0, 1.0]]).tolist()
    [[0.0, 0.0, 0.0]]
    """
    logs = np.log(read_parts(x).amounts)
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def alr(x: Any, ref: int | str = -1) -> Matrix:
    """Additive log-ratios: logarithms of all other parts over one reference part.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts.
    ref : int or str
        The reference, by column number or name.

    Returns
    -------
    ndarray
        (samples, parts - 1) float64, in the order of the parts with the reference left out.

    Raises
    ------
    UsageError
        An amount is not positive and finite, or there is no such part.

    Examples
    --------
    >>> alr([[2.0, 6.0, 2.0]], ref=0).round(3).tolist()
    [[1.099, 0.0]]
    """
    amounts, parts = read_parts(x)
    reference = index_of(ref, parts)
    logs = np.log(amounts)
    return np.asarray(np.delete(logs, reference, axis=1) - logs[:, [reference]])


def ilr_basis(parts: int) -> Matrix:
    """Return an orthonormal basis of the space orthogonal to (1, ..., 1): normalised Helmert contrasts.

    Parameters
    ----------
    parts : int
        Number of parts D, >= 2.

    Returns
    -------
    ndarray
        (D, D - 1) float64; column k contrasts part k + 1 with the mean of the parts before it.

    Raises
    ------
    UsageError
        There are fewer than two parts.

    Examples
    --------
    >>> ilr_basis(2).round(4).tolist()
    [[-0.7071], [0.7071]]
    """
    if parts < 2:
        raise UsageError(f"{parts} parts have no log-ratio. Give at least 2.")
    sizes = np.arange(1, parts)
    basis = np.triu(np.broadcast_to(-1.0 / np.sqrt(sizes * (sizes + 1)), (parts, parts - 1))).copy()
    basis[sizes, sizes - 1] = np.sqrt(sizes / (sizes + 1))
    return basis


def ilr(x: Any, basis: Any = None) -> Matrix:
    """Isometric log-ratios: coordinates of the centred log-ratios in an orthonormal basis.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts.
    basis : array_like, optional
        (parts, parts - 1) with orthonormal columns that sum to zero; `ilr_basis` when left out.

    Returns
    -------
    ndarray
        (samples, parts - 1) float64.

    Raises
    ------
    UsageError
        An amount is not positive and finite, or the basis is not orthonormal and orthogonal to (1, ..., 1).

    Examples
    --------
    >>> ilr([[1.0, 1.0, 1.0]]).tolist()
    [[0.0, 0.0]]
    """
    amounts, parts = read_parts(x)
    size = len(parts)
    if basis is None:
        chosen = ilr_basis(size)
    else:
        chosen = np.asarray(basis, dtype=np.float64)
        if chosen.shape != (size, size - 1):
            raise UsageError(f"The basis has shape {chosen.shape}. Give one of shape {(size, size - 1)}.")
        # Orthonormality and the sum condition in one matrix: [1, V] has to be orthogonal up to its first column.
        gap = np.abs(np.column_stack([np.full(size, size**-0.5), chosen]).T @ np.column_stack(
            [np.full(size, size**-0.5), chosen]
        ) - np.eye(size)).max()  # fmt: skip
        if gap > 1e-8:
            raise UsageError(
                f"The basis is off by {gap:.1e} from orthonormal columns that sum to zero. "
                "Orthonormalise it (numpy.linalg.qr) or leave it out."
            )
    return np.asarray(np.log(amounts) @ chosen)


def variation(x: Any) -> Matrix:
    """Variation matrix: the sample variance of log(x_i / x_j) for every pair.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts, at least two rows.

    Returns
    -------
    ndarray
        (parts, parts) float64, symmetric with a zero diagonal; unlike partial correlations, its entries do not
        change when parts are dropped.

    Raises
    ------
    UsageError
        An amount is not positive and finite, or there is only one sample.

    Examples
    --------
    >>> variation([[1.0, 2.0], [1.0, 2.0], [3.0, 6.0]]).round(12).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    centred = clr(x)
    if len(centred) < 2:
        raise UsageError("1 sample has no variance. Give at least 2 samples.")
    covariance = np.atleast_2d(np.cov(centred, rowvar=False))
    variances = np.diag(covariance)
    tau = np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0.0)
    np.fill_diagonal(tau, 0.0)
    return np.asarray(tau)
