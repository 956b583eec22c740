"""Compositions with a known graph: sparse concentrations, logistic-normal samples, and a score for found edges.

The absolute amounts are lognormal with a sparse concentration matrix; closing each row to one hides the totals, as a
sequencer or a percentage table does (logistic-normal distribution: Aitchison and Shen 1980, Biometrika 67).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from educe.core import Seed, UsageError
from educe.science._tables import Matrix

__all__ = ["SimulatedParts", "edge_average_precision", "sample_compositions", "sparse_concentration"]


class SimulatedParts(NamedTuple):
    """Compositions and the logarithms of the absolute amounts behind them.

    Parameters
    ----------
    amounts : ndarray
        (samples, parts), rows sum to one.
    logs : ndarray
        (samples, parts) what no instrument sees.
    """

    amounts: Matrix
    logs: Matrix


def sparse_concentration(
    parts: int, *, degree: float = 3.0, smallest_eigenvalue: float = 0.15, seed: int | Seed = 0
) -> Matrix:
    """Draw a concentration matrix with an Erdos-Renyi graph and signed weights of size 0.2 to 1.

    Parameters
    ----------
    parts : int
        Size, >= 2.
    degree : float
        Each pair is an edge with probability ``degree / parts``.
    smallest_eigenvalue : float
        The diagonal is a constant that brings the smallest eigenvalue here, > 0.
    seed : int or Seed
        Root of the draw.

    Returns
    -------
    ndarray
        (parts, parts) float64, symmetric and positive definite.

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> round(float(np.linalg.eigvalsh(sparse_concentration(10))[0]), 6)
    0.15
    """
    if parts < 2 or not 0 <= degree <= parts or not smallest_eigenvalue > 0:
        raise UsageError(
            f"parts={parts}, degree={degree}, smallest_eigenvalue={smallest_eigenvalue} describe no graph. "
            "Give parts >= 2, 0 <= degree <= parts and an eigenvalue > 0."
        )
    rng = Seed.of(seed).child("sparse-concentration").numpy()
    upper = np.triu(rng.random((parts, parts)) < degree / parts, 1)
    weights = np.where(upper, rng.uniform(0.2, 1.0, (parts, parts)) * rng.choice([-1.0, 1.0], (parts, parts)), 0.0)
    weights += weights.T
    shift = smallest_eigenvalue - np.linalg.eigvalsh(weights)[0]
    return np.asarray(weights + shift * np.eye(parts))


def sample_compositions(concentration: Any, samples: int, *, mean: Any = 0.0, seed: int | Seed = 0) -> SimulatedParts:
    """Draw lognormal amounts and close each row to one.

    Parameters
    ----------
    concentration : array_like
        (parts, parts) inverse covariance of the logarithms of the absolute amounts, positive definite.
    samples : int
        Number of rows, >= 1.
    mean : float or array_like
        Mean of the logarithms.
    seed : int or Seed
        Root of the draw.

    Returns
    -------
    SimulatedParts

    Raises
    ------
    UsageError
        The matrix is not positive definite, or no sample is asked for.

    Examples
    --------
    >>> sample_compositions(np.eye(3), 5).amounts.shape
    (5, 3)
    """
    matrix = np.asarray(concentration, dtype=np.float64)
    if samples < 1:
        raise UsageError(f"samples={samples} asks for nothing. Give at least 1.")
    try:
        factor = np.linalg.cholesky(matrix)
    except (np.linalg.LinAlgError, ValueError):
        raise UsageError(
            f"The concentration of shape {matrix.shape} is not positive definite. Give a covariance's inverse."
        ) from None
    noise = Seed.of(seed).child("compositions").numpy().standard_normal((len(matrix), samples))
    logs = np.asarray(mean, dtype=np.float64) + np.linalg.solve(factor.T, noise).T
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return SimulatedParts(shares / shares.sum(axis=1, keepdims=True), logs)


def edge_average_precision(scores: Any, graph: Any) -> float:
    """Average precision with which the size of a score ranks the edges of a graph before other pairs.

    Parameters
    ----------
    scores : array_like
        (parts, parts) symmetric; the absolute value ranks, the diagonal is not looked at.
    graph : array_like
        (parts, parts) symmetric; nonzero entries off the diagonal are edges.

    Returns
    -------
    float
        1 for a perfect ranking, the share of edges on average for a random one. Pairs with equal scores count at the
        precision after all of them.

    Raises
    ------
    UsageError
        The shapes differ, a score is missing, or the graph has no edge.

    Examples
    --------
    >>> edge_average_precision([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    1.0
    """
    size = np.abs(np.asarray(scores, dtype=np.float64))
    truth = np.asarray(graph) != 0
    if size.shape != truth.shape or size.ndim != 2 or size.shape[0] != size.shape[1]:
        raise UsageError(f"Scores of shape {size.shape} do not fit a graph of shape {truth.shape}. Give two squares.")
    rows, columns = np.triu_indices(len(size), 1)
    score, edge = size[rows, columns], truth[rows, columns]
    if not edge.any() or not np.isfinite(score).all():
        raise UsageError("The graph has no edge, or a score is missing. Give at least one edge and finite scores.")
    thresholds, rank = np.unique(-score, return_inverse=True)
    found = np.bincount(rank, weights=edge, minlength=len(thresholds)).cumsum()
    taken = np.bincount(rank, minlength=len(thresholds)).cumsum()
    return float((np.diff(found, prepend=0.0) * found / taken).sum() / edge.sum())
