"""Concentration matrix of a composition: the pseudo-inverse of the centred log-ratio covariance.

K has row sums zero. Deleting the row and column of a part gives the inverse covariance of the log-ratios with that
part as reference, whichever part it is (Aitchison 1986; Erb 2019, arXiv:1904.09480). In terms of an unseen covariance
S of the logarithms of absolute amounts, with W = S^-1, it is K = W - W 1 1' W / (1' W 1).

The matrix is computed in isometric coordinates from a QR factorisation of the centred data, and never by cutting
eigenvalues of the singular matrix. The shrunk form (Ledoit and Wolf 2004, J. Multivariate Analysis 88) also works in
these coordinates, where its isotropic target does not depend on the basis; in additive coordinates it would depend on
the reference. No sparsity is imposed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from educe.core import UsageError
from educe.science._tables import Matrix, PartTable, read_parts
from educe.science.coda.logratio import ilr_basis

__all__ = ["concentration"]

# Relative to the largest singular value of the data; its square is what the covariance would show.
_SINGULAR = 1e-10


class _Estimate(NamedTuple):
    concentration: Matrix
    coordinates: Matrix  # centred isometric coordinates, (samples, parts - 1)
    basis: Matrix
    shrinkage: float
    condition: float


def _intensity(coordinates: Matrix) -> float:
    """Return the Ledoit-Wolf weight of the isotropic target for centred data."""
    samples, size = coordinates.shape
    gram = coordinates.T @ coordinates / samples
    mean = np.trace(gram) / size
    spread = float(np.square(gram).sum())
    distance = spread - size * mean**2
    noise = (np.square(np.square(coordinates).sum(axis=1)).sum() / samples - spread) / samples
    return float(np.clip(noise / distance, 0.0, 1.0)) if distance > 0 else 1.0


def _estimate(table: PartTable, shrink: str | float | None) -> _Estimate:
    amounts, parts = table
    samples, size = len(amounts), len(parts) - 1
    if samples < 2:
        raise UsageError("1 sample has no covariance. Give at least 2 samples.")
    basis = ilr_basis(len(parts))
    coordinates = np.log(amounts) @ basis
    coordinates -= coordinates.mean(axis=0)
    if not (np.abs(coordinates) > 1e-12).any():
        raise UsageError(f"All {samples} samples have the same proportions. Give samples that vary.")
    if shrink is None:
        return _unshrunk(coordinates, basis, parts)
    if isinstance(shrink, str):
        if shrink != "ledoit-wolf":
            raise UsageError(f"shrink={shrink!r} is unknown. Use 'ledoit-wolf', a number in (0, 1], or None.")
        weight = _intensity(coordinates)
    else:
        weight = float(shrink)
        if not 0 < weight <= 1:
            raise UsageError(f"shrink={shrink} is not in (0, 1]. Use such a number, 'ledoit-wolf', or None.")
    covariance = coordinates.T @ coordinates / (samples - 1)
    target = np.trace(covariance) / size
    values, vectors = np.linalg.eigh((1 - weight) * covariance + weight * target * np.eye(size))
    if values[0] <= _SINGULAR**2 * values[-1]:
        raise UsageError(
            f"Shrinkage {weight:.3g} leaves the covariance of {samples} samples singular. Give a larger number."
        )
    expanded = basis @ vectors
    return _Estimate(
        (expanded / values) @ expanded.T, coordinates, basis, weight, float(values[-1] / values[0])
    )  # fmt: skip


def _unshrunk(coordinates: Matrix, basis: Matrix, parts: tuple[str, ...]) -> _Estimate:
    samples, size = coordinates.shape
    if samples <= size:
        raise UsageError(
            f"{samples} samples do not determine the concentrations of {len(parts)} parts. "
            f"Give at least {len(parts)} samples or pass shrink='ledoit-wolf'."
        )
    triangle = np.linalg.qr(coordinates, mode="r")
    _, values, right = np.linalg.svd(triangle)
    if values[-1] <= _SINGULAR * values[0]:
        loadings = np.abs(basis @ right[-1])
        first, second = (parts[i] for i in np.argsort(loadings)[::-1][:2])
        raise UsageError(
            f"The log-ratios are linearly dependent, most visibly between parts {first!r} and {second!r}. "
            "Drop or amalgamate one of them, or pass shrink='ledoit-wolf'."
        )
    # K = V S^-1 V' with S = R'R / (n - 1): from R's own singular values the condition number is not squared.
    expanded = (basis @ right.T) / values
    return _Estimate(
        (samples - 1) * expanded @ expanded.T, coordinates, basis, 0.0, float((values[0] / values[-1]) ** 2)
    )


def concentration(x: Any, shrink: str | float | None = None) -> Matrix:
    """Pseudo-inverse of the centred log-ratio covariance.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts; the scale of each row does not matter.
    shrink : str or float, optional
        ``"ledoit-wolf"``, or the weight of the isotropic target in (0, 1]; none when left out. Needed when there are
        fewer samples than parts.

    Returns
    -------
    ndarray
        (parts, parts) float64, symmetric, positive semidefinite, rows sum to zero. 1 / K[i, i] is the variance of part
        i that the other parts leave unexplained (denominator: samples - 1).

    Raises
    ------
    UsageError
        An amount is not positive and finite, there are too few samples, or log-ratios are linearly dependent.

    Examples
    --------
    >>> from educe.science import roman_cups
    >>> K = concentration(roman_cups().amounts)
    >>> bool(abs(K.sum(axis=0)).max() < 1e-8), round(float(1 / K[1, 1]), 5)  # aluminium
    (True, 0.00088)
    """
    return _estimate(read_parts(x), shrink).concentration
