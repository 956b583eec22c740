"""Cell-centred finite volumes for -div(a grad u) on a rectangle of square cells, some of which may be left out.

Face coefficients are harmonic means, which keeps fluxes continuous across jumps; on a boundary with given values the
distance is half a cell. The scheme is second-order accurate for smooth data. Sides without given values are insulated
unless a flux is put into the right-hand side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from educe.core import UsageError

__all__ = ["SIDES", "Diffusion", "assemble_diffusion"]

SIDES = ("left", "right", "bottom", "top")


class Diffusion(NamedTuple):
    """The discrete operator and how boundary values enter the right-hand side.

    Parameters
    ----------
    matrix : csr_array
        (n, n) of -div(a grad u), n the number of active cells in row-major order (rows are y).
    boundary : dict of str to csr_array
        Per side with given values, (n, cells along the side): what to multiply the values by and add to the source.
    active : ndarray
        (rows, columns) which cells are in the domain.
    """

    matrix: Any
    boundary: dict[str, Any]
    active: npt.NDArray[np.bool_]


def assemble_diffusion(
    coefficient: Any, spacing: float, *, given: Sequence[str] = SIDES, active: Any = None
) -> Diffusion:
    """Assemble -div(a grad u).

    Parameters
    ----------
    coefficient : array_like
        (rows, columns) values of a in the cells, > 0; row 0 is at the bottom.
    spacing : float
        Side of a cell.
    given : sequence of str
        Sides of the rectangle with given values of u, from ``left``, ``right``, ``bottom``, ``top``.
    active : array_like of bool, optional
        (rows, columns) cells in the domain; all when left out. The rims of holes are insulated.

    Returns
    -------
    Diffusion

    Raises
    ------
    UsageError
        A coefficient is not positive and finite, no side is given, or a name is unknown.

    Examples
    --------
    >>> assemble_diffusion([[1.0, 1.0]], 1.0).matrix.toarray().tolist()
    [[7.0, -1.0], [-1.0, 7.0]]
    """
    a = np.asarray(coefficient, dtype=np.float64)
    inside = np.ones(a.shape, dtype=bool) if active is None else np.asarray(active, dtype=bool)
    if a.ndim != 2 or inside.shape != a.shape or not inside.any():
        raise UsageError(f"The coefficient has shape {a.shape}, active cells {inside.shape}. Give two equal grids.")
    if not (np.isfinite(a[inside]).all() and (a[inside] > 0).all()):
        raise UsageError("The coefficient is not positive and finite in every cell. Check it, or its exponent.")
    unknown = [side for side in given if side not in SIDES]
    if unknown or not given:
        raise UsageError(f"Sides {list(given)} are not usable. Name at least one of {', '.join(SIDES)}.")
    number = np.full(a.shape, -1)
    number[inside] = np.arange(inside.sum())
    size = int(inside.sum())
    rows, columns, values = [], [], []
    diagonal = np.zeros(size)
    # Neighbours in a row, then, on the transposed grid, in a column.
    for value, cell, here in ((a, number, inside), (a.T, number.T, inside.T)):
        both = here[:, :-1] & here[:, 1:]
        face = 2 / (1 / value[:, :-1][both] + 1 / value[:, 1:][both]) / spacing**2
        i, j = cell[:, :-1][both], cell[:, 1:][both]
        rows += [i, j]
        columns += [j, i]
        values += [-face, -face]
        diagonal += np.bincount(i, face, size) + np.bincount(j, face, size)
    boundary = {}
    whole = slice(None)
    edges: dict[str, Any] = {"left": (whole, 0), "right": (whole, -1), "bottom": (0, whole), "top": (-1, whole)}
    for side in given:
        place = edges[side]
        along = np.flatnonzero(inside[place])
        cells = number[place][along]
        weight = 2 * a[place][along] / spacing**2
        diagonal += np.bincount(cells, weight, size)
        boundary[side] = sparse.csr_array((weight, (cells, along)), shape=(size, number[place].size))
    everywhere = np.arange(size)
    matrix = sparse.csr_array(
        (
            np.concatenate([*values, diagonal]),
            (np.concatenate([*rows, everywhere]), np.concatenate([*columns, everywhere])),
        ),
        shape=(size, size),
    )
    return Diffusion(matrix, boundary, inside)
