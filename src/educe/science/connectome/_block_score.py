"""The logarithm of the joint probability of a weighted graph and a partition of its nodes, and what a move changes.

All parameters of blocks are integrated out. A graph enters through statistics that add up over pairs of nodes: the
number of possible edges, of edges, of ln w (or w) and of its square. For a pair of blocks they are sums, so that a node
that joins a block changes one row of them by its own sums to all blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Graph(NamedTuple):
    """Statistics of all pairs, and the constants of the priors.

    ``layers`` is (4, nodes, nodes) with zero diagonals: one, edge, value, square of value. ``prior`` is the mean and
    the variance of the values. ``degrees`` is None without degree correction.
    """

    layers: Array
    lognormal: bool
    prior: tuple[float, float]
    degrees: Array | None


def read_graph(weights: Array, lognormal: bool, deg_corr: bool) -> Graph:
    """Gather the statistics of a symmetric matrix whose zeros are absent edges."""
    edges = (weights > 0).astype(np.float64)
    values = np.where(edges > 0, np.log(np.where(edges > 0, weights, 1.0)), 0.0) if lognormal else weights
    seen = values[edges > 0]
    mean = float(seen.mean()) if len(seen) else (0.0 if lognormal else 1.0)
    # Equal weights have no variance, which would make the prior improper.
    variance = max(float(seen.var()), 1e-6) if len(seen) else 1.0
    layers = np.stack([1 - np.eye(len(weights)), edges, values, values**2])
    return Graph(layers, lognormal, (mean, variance), edges.sum(0) if deg_corr else None)


def _log_gamma_ratio(shape: float, count: Array) -> Array:
    return np.asarray(gammaln(shape + count) - gammaln(shape))


def pair_score(graph: Graph, sums: Array) -> Array:
    """Log marginal likelihood of each pair of blocks from its (4, ...) sums."""
    possible, edges, first, second = sums
    mean, variance = graph.prior
    if graph.degrees is None:
        # Bernoulli edges under Beta(1, 1).
        score = gammaln(1 + edges) + gammaln(1 + possible - edges) - gammaln(2 + possible)
    else:
        score = np.zeros_like(edges)
    if graph.lognormal:
        # Normal ln w under a normal-inverse-gamma prior: mu0 = mean, kappa0 = 0.1, alpha0 = 1, beta0 = variance.
        deviation = first - edges * mean
        scatter = np.maximum(second - 2 * mean * first + edges * mean**2, 0.0)
        kappa, alpha = 0.1 + edges, 1 + edges / 2
        # sum (x - mu0)^2 / 2 less what the mean of the block explains
        beta = variance + np.maximum(scatter - deviation**2 / kappa, 0.0) / 2
        score = score + _log_gamma_ratio(1.0, edges / 2) + np.log(variance) - alpha * np.log(beta)
        score = score + 0.5 * np.log(0.1 / kappa) - edges / 2 * np.log(2 * np.pi)
    else:
        # Exponential w under Gamma(1, mean w).
        score = score + _log_gamma_ratio(1.0, edges) + np.log(mean) - (1 + edges) * np.log(mean + first)
    return np.asarray(score)


def degree_score(graph: Graph, sums: Array, sizes: Array) -> float:
    """Poisson edges with Dirichlet(1) propensities in each block and exponential rates of the overall mean."""
    assert graph.degrees is not None
    total = graph.degrees.sum() / 2
    edges = sums[1]
    upper = np.triu_indices(len(sizes), 1)
    # A block of one node has no pair inside: its propensities make half of ordered pairs all the same, which is the
    # usual approximation for sparse graphs.
    between = gammaln(edges[upper] + 1) - (edges[upper] + 1) * np.log1p(1 / max(total, 1.0)) - np.log(max(total, 1.0))
    inside = np.diag(edges)
    within = gammaln(inside + 1) - (inside + 1) * np.log(0.5 + 1 / max(total, 1.0)) - np.log(max(total, 1.0))
    volume = edges.sum(0) + inside
    spread = gammaln(sizes) - gammaln(sizes + volume)
    return float(between.sum() + within.sum() + spread.sum() + gammaln(graph.degrees + 1).sum())


def partition_score(sizes: Array) -> Array:
    """Log prior of a partition by its (..., blocks) sizes, all > 0: uniform on block number, sizes, arrangement.

    It is that of one naming of the blocks; the other K! - 1 are not added, which favours fewer blocks a little.
    """
    nodes, blocks = sizes.sum(-1), sizes.shape[-1]
    choose = gammaln(nodes) - gammaln(blocks) - gammaln(nodes - blocks + 1)
    return np.asarray(gammaln(sizes + 1).sum(-1) - choose - gammaln(nodes + 1) - np.log(nodes))


def block_sums(graph: Graph, labels: Labels, blocks: int) -> Array:
    """(4, blocks, blocks) sums; each pair of nodes inside a block counts once."""
    member = np.zeros((len(labels), blocks))
    member[np.arange(len(labels)), labels] = 1
    sums = np.asarray(member.T @ graph.layers @ member)
    sums[:, range(blocks), range(blocks)] /= 2
    return sums


def joint_score(graph: Graph, labels: Labels) -> float:
    """Log joint probability of the graph and a partition whose labels are 0, 1, ... without gaps."""
    blocks = int(labels.max()) + 1
    sums = block_sums(graph, labels, blocks)
    sizes = np.bincount(labels, minlength=blocks).astype(np.float64)
    score = pair_score(graph, sums)[np.triu_indices(blocks)].sum() + partition_score(sizes)
    if graph.degrees is not None:
        score = score + degree_score(graph, sums, sizes)
    return float(score)


def move_scores(graph: Graph, labels: Labels, node: int) -> Array:
    """Log joint probability, up to a constant, of putting a node in each other block or in a new one (last).

    ``labels`` must have no gaps once the node is left out; its own entry is not looked at.
    """
    rest = np.delete(np.arange(len(labels)), node)
    blocks = int(labels[rest].max()) + 1
    if graph.degrees is not None:  # rates depend on all blocks at once; score each choice whole
        scores = np.empty(blocks + 1)
        for choice in range(blocks + 1):
            trial = labels.copy()
            trial[node] = choice
            scores[choice] = joint_score(graph, trial)
        return scores
    member = np.zeros((len(rest), blocks + 1))
    member[np.arange(len(rest)), labels[rest]] = 1
    without = member.T @ graph.layers[:, rest[:, None], rest] @ member
    without[:, range(blocks + 1), range(blocks + 1)] /= 2
    own = graph.layers[:, node, rest] @ member
    gain = pair_score(graph, without + own[:, None, :]) - pair_score(graph, without)
    sizes = member.sum(0)
    joined = sizes[:-1] + np.eye(blocks)
    prior = np.append(partition_score(joined), partition_score(np.append(sizes[:-1], 1.0)))
    # An empty block has score zero with every other one: ln B(1, 1) = 0 and no weights.
    return np.asarray(gain.sum(1) + prior)
