"""Three tests of the points near a halfspace's boundary: strip mass, spread in the strip, disagreement within an angle.

Source: Gollakota, Klivans, Stavropoulos, Vasilyan (2023), arXiv:2302.14853, testers T1 to T3. The tests know w but no
labels. The ranges that T1 and T2 are held against are ours (the paper leaves its constants open); T3 is a bound that
holds for the given points with certainty. None of this says that x is Gaussian.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal, NamedTuple

import numpy as np

from educe.core import UsageError
from educe.learn._arrays import Floats, matrix

__all__ = ["HalfspaceTest", "check_spread", "check_strip_mass", "disagreement_bound"]

NORMAL_DENSITY_AT_ZERO = 1 / math.sqrt(2 * math.pi)
DENSE_DIMENSIONS = 60
# What the marginal law may look like before the tester refuses. For the Gaussian these are the thresholds under which
# the certificate stays useful; isotropic log-concave densities in one dimension lie between 1/8 and 1 at their mean.
RANGES = {
    "gaussian": {
        "strip mass": (0.8, 1.25),
        "smallest variance": (0.5, math.inf),
        "largest variance": (0.0, 2.0),
        "fourth moment": (0.0, 6.0),
    },
    "log_concave": {
        "strip mass": (0.125 / NORMAL_DENSITY_AT_ZERO, 1 / NORMAL_DENSITY_AT_ZERO),
        "smallest variance": (0.1, math.inf),
        "largest variance": (0.0, 4.0),
        "fourth moment": (0.0, 20.0),
    },
}


class HalfspaceTest(NamedTuple):
    """One line of a tester's report: it passed when ``low <= value <= high``."""

    name: str
    value: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether the value lies in the range."""
        return self.low <= self.value <= self.high


def unit(w: Any, dimension: int) -> Floats:
    vector = np.asarray(w, dtype=np.float64).reshape(-1)
    if len(vector) != dimension:
        raise UsageError(f"w has {len(vector)} entries but X has {dimension} columns. Pass one weight per column.")
    norm = float(np.linalg.norm(vector))
    if not math.isfinite(norm) or norm == 0:
        raise UsageError(f"w has length {norm}, so it is no direction. Pass a finite vector that is not zero.")
    return vector / norm


def complement(w: Floats) -> Floats:
    """Orthonormal basis, (d, d - 1), of what is orthogonal to a unit vector."""
    basis: Floats = np.linalg.svd(w[None, :])[2][1:].T
    return basis


def check_strip_mass(
    w: Any,
    X: Any,  # noqa: N803
    *,
    sigma: float,
    target: Literal["gaussian", "log_concave"] = "gaussian",
) -> tuple[HalfspaceTest, HalfspaceTest]:
    """Test T1: the strip around the boundary holds about as many points as under the target law.

    Parameters
    ----------
    w : array_like
        (d,) normal of the halfspace; its length does not matter.
    X : array_like
        (n, d) points that `w` was not learned from.
    sigma : float
        Width of the strip, > 0.
    target : {"gaussian", "log_concave"}
        Which range to hold it against.

    Returns
    -------
    tuple of HalfspaceTest
        Mass of ``|<w, x>| <= sigma / 2``, and of a third of that strip, each over the Gaussian's value.

    Raises
    ------
    UsageError
        The input is malformed.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20000, 3))
    >>> [test.passed for test in check_strip_mass([1, 0, 0], x, sigma=0.3)]
    [True, True]
    """
    table = matrix(X)
    margins = np.abs(table @ unit(w, table.shape[1]))
    low, high = _ranges(target)["strip mass"]
    return (
        HalfspaceTest("strip mass", _mass_ratio(margins, sigma), low, high),
        HalfspaceTest("inner strip mass", _mass_ratio(margins, sigma / 3), low, high),
    )


def _mass_ratio(margins: Floats, sigma: float) -> float:
    if not (math.isfinite(sigma) and sigma > 0):
        raise UsageError(f"sigma={sigma} is no width. Give a number above zero, for instance 0.02.")
    return float((margins <= sigma / 2).mean()) / (sigma * NORMAL_DENSITY_AT_ZERO)


def _ranges(target: str) -> dict[str, tuple[float, float]]:
    if target not in RANGES:
        raise UsageError(f"target={target!r} is unknown. Use one of {sorted(RANGES)}.")
    return RANGES[target]


def check_spread(z: Any, *, target: Literal["gaussian", "log_concave"] = "gaussian") -> tuple[HalfspaceTest, ...]:
    """Test T2: the points of a strip, projected on what is orthogonal to w, are spread out in every direction.

    Parameters
    ----------
    z : array_like
        (points, d - 1) coordinates in the complement of w, not centred.
    target : {"gaussian", "log_concave"}
        Which ranges to hold the moments against.

    Returns
    -------
    tuple of HalfspaceTest
        Extreme eigenvalues of ``E z z^T`` (1 and 1 for the Gaussian) and the largest variance of a unit quadratic
        form of z (2 for the Gaussian). Above 60 dimensions the last is found by Lanczos iteration and needs SciPy.

    Raises
    ------
    UsageError
        The input is malformed.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(20000, 3))
    >>> [round(test.value, 1) for test in check_spread(z)]
    [1.0, 1.0, 2.1]
    """
    points = matrix(z, "z")
    ranges = _ranges(target)
    eigenvalues = np.linalg.eigvalsh(points.T @ points / len(points))
    values = (float(eigenvalues[0]), float(eigenvalues[-1]), _largest_square_variance(points))
    names = ("smallest variance", "largest variance", "fourth moment")
    return tuple(HalfspaceTest(name, value, *ranges[name]) for name, value in zip(names, values, strict=True))


def _largest_square_variance(points: Floats) -> float:
    """Largest variance of ``<M, z z^T>`` over symmetric M of unit Frobenius norm; at least that of ``<v, z>^2``."""
    count, dimension = points.shape
    if dimension <= DENSE_DIMENSIONS:
        rows, columns = np.triu_indices(dimension)
        scale = np.where(rows == columns, 1.0, math.sqrt(2))
        total, square = np.zeros(len(rows)), np.zeros((len(rows), len(rows)))
        step = max(1, 4_000_000 // len(rows))
        for start in range(0, count, step):
            block = points[start : start + step]
            products = block[:, rows] * block[:, columns] * scale
            total += products.sum(0)
            square += products.T @ products
        mean = total / count
        return max(0.0, float(np.linalg.eigvalsh(square / count - np.outer(mean, mean))[-1]))
    try:
        from scipy.sparse.linalg import LinearOperator, eigsh
    except ImportError:
        raise UsageError(
            f"d={dimension + 1} needs Lanczos iteration. Install SciPy with `pip install 'educe[science]'`."
        ) from None
    second = points.T @ points / count

    def apply(flat: Floats) -> Floats:
        form = flat.reshape(dimension, dimension)
        form = (form + form.T) / 2
        quadratic = np.einsum("ij,jk,ik->i", points, form, points, optimize=True)
        image: Floats = (points.T * quadratic) @ points / count - second * np.vdot(second, form)
        return image.reshape(-1)

    operator = LinearOperator((dimension**2, dimension**2), matvec=apply, dtype=np.float64)
    start_vector = np.eye(dimension).reshape(-1)
    return float(eigsh(operator, k=1, which="LA", v0=start_vector, return_eigenvectors=False, tol=1e-6)[0])


def disagreement_bound(w: Any, X: Any, theta: float) -> float:  # noqa: N803
    """Test T3: bound the share of the points on which some halfspace within an angle disagrees with w.

    With ``s = |<w, x>|`` and ``z`` the rest of x, mirrored so that ``<w, x> > 0``, a unit ``u`` orthogonal to w makes a
    disagreement only where ``<u, z> <= -s / tan(theta)``. In each slice of s, the one-sided Markov inequality for
    ``(<u, z> - c)^2`` at the best c bounds that share for all u at once. The paper slices at width ``theta`` and uses
    the two-sided inequality, which for the Gaussian gives ``2.1 theta``; finer slices and one side give ``1.3 theta``
    (the truth is ``theta / pi``).

    Parameters
    ----------
    w : array_like
        (d,) normal of the halfspace.
    X : array_like
        (n, d) points.
    theta : float
        Angle in radians, >= 0. From ``pi / 2`` on the bound is 1.

    Returns
    -------
    float
        Holds for the given points with certainty, whatever their law.

    Raises
    ------
    UsageError
        The input is malformed.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20000, 3))
    >>> bound = disagreement_bound([1, 0, 0], x, 0.1)
    >>> bool(0.1 / np.pi < bound < 0.21)
    True
    """
    table = matrix(X)
    if not (math.isfinite(theta) and theta >= 0):
        raise UsageError(f"theta={theta} is no angle. Give radians, zero or above.")
    if theta >= math.pi / 2:
        return 1.0
    return Slices.of(unit(w, table.shape[1]), table).bound(theta)


class Slices(NamedTuple):
    """Points sorted by their distance from the boundary, mirrored to its positive side."""

    distances: Floats
    mirrored: Floats

    @classmethod
    def of(cls, w: Floats, table: Floats) -> Slices:
        margins = table @ w
        order = np.argsort(np.abs(margins), kind="stable")
        mirrored = table[order] * np.where(margins[order] < 0, -1.0, 1.0)[:, None]
        distances = np.abs(margins[order])
        return cls(distances, mirrored - distances[:, None] * w)

    def bound(self, theta: float) -> float:
        slope = math.tan(theta)
        if slope == 0:
            return float((self.distances == 0).mean())
        # Even slices where the disagreement lives, then geometric ones; any slicing is valid.
        edges = [*np.arange(0, 32) * slope / 4, *(8 * slope * 1.15 ** np.arange(0, 60)), math.inf]
        cuts = np.unique([0, *np.searchsorted(self.distances, edges[1:-1]), len(self.distances)])
        total = 0.0
        for start, stop in itertools.pairwise(cuts):
            z, nearest = self.mirrored[start:stop], float(self.distances[start]) / slope
            spread = float(np.linalg.eigvalsh(z.T @ z / len(z))[-1])
            total += len(z) * _one_sided(spread, float(np.linalg.norm(z.mean(0))), nearest)
        return min(1.0, total / len(self.distances))


def _one_sided(spread: float, mean: float, distance: float) -> float:
    """Bound ``P[<u, z> <= -distance]`` by ``min over c >= 0 of (spread + 2 c mean + c^2) / (distance + c)^2``."""
    if distance <= mean:
        return 1.0
    shift = max(0.0, (spread - mean * distance) / (distance - mean))
    return min(1.0, (spread + 2 * shift * mean + shift**2) / (distance + shift) ** 2)
