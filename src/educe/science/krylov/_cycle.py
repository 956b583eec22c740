"""One Arnoldi cycle beside a fixed orthonormal space, and the harmonic Ritz vectors that are kept from it.

Vectors are rows, so that each is contiguous. The first `fixed` rows of the basis are the recycled image C, the others
the Krylov vectors; one projection removes both. Orthogonalisation is classical Gram-Schmidt done twice: one pass loses
the orthogonality between C and V, and the recurrences then stall near a relative residual of 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from educe.science.krylov._arrays import Arrays, Host, finite

__all__ = ["Cycle", "arnoldi", "harmonic_vectors"]

_BREAKDOWN = 1e-14


class Cycle(NamedTuple):
    """What a cycle leaves behind: A V = C B + V+ H, and the minimiser of the residual over V."""

    steps: int
    coupling: Host  # B, (fixed, steps)
    hessenberg: Host  # H, (steps + 1, steps)
    minimiser: Host  # (steps,)
    norms: list[float]  # residual norm after each step
    flops: float


def arnoldi(
    apply: Callable[[Any], Any], basis: Any, fixed: int, residual: Any, steps: int, target: float, arrays: Arrays
) -> Cycle:
    """Run up to `steps` steps and stop early when the residual norm reaches `target` or the space is invariant.

    Parameters
    ----------
    apply : callable
        The operator on one vector.
    basis : array
        (fixed + steps + 1, n) whose first `fixed` rows are orthonormal and orthogonal to `residual`; the rest is
        overwritten.
    fixed : int
        Number of those rows.
    residual : array
        (n,) nonzero.
    steps : int
        At least 1.
    target : float
        Absolute residual norm.
    arrays : Arrays
        Where the vectors live.

    Returns
    -------
    Cycle
    """
    kind = np.complex128 if "complex" in str(arrays.dtype) else np.float64
    start = arrays.norm(residual)
    basis[fixed] = residual / start
    coupling = np.zeros((fixed, steps), dtype=kind)
    hessenberg = np.zeros((steps + 1, steps), dtype=kind)
    triangle = np.zeros((steps, steps), dtype=kind)
    # Product of the Givens rotations so far: one small product per step instead of a loop over rotations.
    rotation = np.eye(steps + 1, dtype=kind)
    norms: list[float] = []
    flops = 0.0
    taken = 0
    for step in range(steps):
        vector = apply(basis[fixed + step])
        before = finite(arrays.norm(vector), "A product with the matrix")
        known = basis[: fixed + step + 1]
        first = known.conj() @ vector
        vector = vector - first @ known
        second = known.conj() @ vector
        vector = vector - second @ known
        flops += 8.0 * known.shape[0] * known.shape[1]
        height = arrays.norm(vector)
        column = arrays.host(first + second)
        coupling[:, step] = column[:fixed]
        hessenberg[: step + 1, step] = column[fixed:]
        invariant = height <= _BREAKDOWN * before
        hessenberg[step + 1, step] = 0.0 if invariant else height
        rotated = rotation[: step + 2, : step + 2] @ hessenberg[: step + 2, step]
        top, bottom = rotated[step], rotated[step + 1]
        length = float(np.hypot(abs(top), abs(bottom)))
        if length > 0:
            pair = np.array([[np.conj(top), np.conj(bottom)], [-bottom, top]]) / length
            rotation[step : step + 2, : step + 2] = pair @ rotation[step : step + 2, : step + 2]
        triangle[: step + 1, step] = rotation[: step + 1, : step + 2] @ hessenberg[: step + 2, step]
        norms.append(start * abs(rotation[step + 1, 0]))
        taken = step + 1
        if invariant:
            basis[fixed + step + 1] = 0.0
            break
        basis[fixed + step + 1] = vector / height
        if norms[-1] <= target:
            break
    right = start * rotation[:taken, 0]
    upper = triangle[:taken, :taken]
    size = np.abs(np.diag(upper))
    if size.min() > 1e-14 * size.max():
        minimiser = scipy.linalg.solve_triangular(upper, right)
    else:  # a singular matrix: the shortest of all minimisers
        minimiser = np.linalg.lstsq(upper, right, rcond=1e-14)[0]
    return Cycle(taken, coupling[:, :taken], hessenberg[: taken + 1, :taken], minimiser, norms, flops)


def harmonic_vectors(image: Host, overlap: Host, keep: int) -> Host:
    """Coefficients of the harmonic Ritz vectors of smallest modulus.

    With A V = W G, W orthonormal, they solve G* G z = theta G* (W* V) z. A QR of G turns this into an ordinary
    problem for 1 / theta, largest first, without squaring the condition number.

    Parameters
    ----------
    image : ndarray
        G, (rows, columns).
    overlap : ndarray
        W* V, (rows, columns).
    keep : int
        How many, at most the number of columns.

    Returns
    -------
    ndarray
        (columns, kept), orthonormal columns that span them; one fewer than asked where a complex pair of a real
        problem would be cut in two.
    """
    orthonormal, triangle = np.linalg.qr(image)
    size = np.abs(np.diag(triangle))
    projected = orthonormal.conj().T @ overlap
    if size.min() > 1e-14 * size.max():
        inverse = scipy.linalg.solve_triangular(triangle, projected)
    else:
        inverse = np.linalg.lstsq(triangle, projected, rcond=1e-14)[0]
    values, vectors = scipy.linalg.eig(inverse)
    order = np.argsort(-np.abs(values), kind="stable")
    if np.iscomplexobj(image):
        chosen = vectors[:, order[:keep]]
    else:
        columns: list[Host] = []
        for index in order:
            # LAPACK lists a pair with the positive imaginary part first; its partner adds nothing.
            if values[index].imag < 0:
                continue
            vector = vectors[:, index]
            parts = [vector.real] if values[index].imag == 0 else [vector.real, vector.imag]
            if len(columns) + len(parts) > keep:
                break
            columns += parts
        if not columns:  # keep = 1 and the smallest is a pair
            columns = [vectors[:, order[0]].real]
        chosen = np.array(columns).T
    return np.asarray(np.linalg.qr(chosen)[0])
