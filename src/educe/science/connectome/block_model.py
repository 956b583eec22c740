"""Communities of a weighted graph: a stochastic block model with all block parameters integrated out.

Source: stage 3 of Dyballa et al. (2024), arXiv:2402.14102, who use a nested model with exponential weights and report
the best level. This one is flat, defaults to log-normal weights, and chooses the partition by description length alone:
dense positive matrices under exponential weights dissolve into single nodes, and the best of several levels is a
choice that needs the answer. Edges are Bernoulli under Beta(1, 1) for each pair of blocks; weights of present edges are
log-normal under a normal-inverse-gamma prior or exponential under a gamma prior, both centred on the graph's own
weights. With ``deg_corr`` edges are Poisson with propensities of the nodes (Peixoto 2017, without his hierarchy).

Partitions are sought by moves of single nodes and merges of blocks from several starts; a Gibbs sampler that starts
from the best one gives the posterior. The sampler moves single nodes, so that it may stay near one mode.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import EvidenceKind, Ledger, Posterior, Seed, UsageError
from educe.science.connectome._block_score import Graph, joint_score, move_scores, read_graph

__all__ = ["WeightedSBM", "co_membership"]

Labels = npt.NDArray[np.int64]
_WEIGHTS = ("lognormal", "exponential")


class WeightedSBM:
    """Finds communities whose edges are alike, in number and in weight.

    Parameters
    ----------
    weights : str
        ``"lognormal"`` or ``"exponential"``.
    deg_corr : bool
        Let nodes of a block differ in their number of edges.
    threshold : float
        Edges are the entries above this share of the largest one, in [0, 1).
    starts : int
        Random starts of the search, beside the Louvain partition (where networkx is installed) and one block.
    draws : int
        Sweeps of the Gibbs sampler, each of which gives one partition; 0 for the best partition alone.
    seed : int or Seed
        Root of starts and draws.

    Raises
    ------
    UsageError
        From ``fit``: a parameter is out of range, or the matrix is no symmetric matrix of finite weights >= 0.

    Examples
    --------
    >>> blocks = np.kron(np.eye(2), np.ones((5, 5)))
    >>> weights = np.exp(np.random.default_rng(0).normal(size=(10, 10)) / 10) * (0.02 + blocks)
    >>> WeightedSBM(draws=0).fit((weights + weights.T) / 2).mode()
    (0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
    """

    def __init__(
        self,
        weights: str = "lognormal",
        deg_corr: bool = False,
        *,
        threshold: float = 0.3,
        starts: int = 6,
        draws: int = 100,
        seed: int | Seed = 0,
    ) -> None:
        self.weights = weights
        self.deg_corr = deg_corr
        self.threshold = threshold
        self.starts = starts
        self.draws = draws
        self.seed = seed

    def __repr__(self) -> str:
        return f"WeightedSBM({self.weights!r}, deg_corr={self.deg_corr}, threshold={self.threshold})"

    def fit(self, A: Any) -> Posterior[tuple[int, ...]]:  # noqa: N803
        """Find the communities of a symmetric matrix of weights.

        Parameters
        ----------
        A : array_like
            (nodes, nodes) symmetric, >= 0; zeros are absent edges and the diagonal is not looked at.

        Returns
        -------
        Posterior
            Over partitions, as tuples of block numbers in order of first appearance, all of one weight: first the best
            one found, where the sampler starts, then its draws. Of equally frequent ones `mode` is the best.
            ``details["description_length"]`` is that of the best one in nats, ``details["blocks"]`` its number of
            blocks.

        Raises
        ------
        UsageError
            As above.
        """
        begun = time.perf_counter()
        self._check()
        graph = self.graph(A)
        root = Seed.of(self.seed).child("sbm")
        found = [_climb(graph, start) for start in self._initial(graph, root)]
        best = max(found, key=lambda labels: joint_score(graph, labels))
        values = [canonical(best)]
        labels, rng = best.copy(), root.child("gibbs").numpy()
        for _ in range(self.draws):
            for node in rng.permutation(len(labels)).tolist():
                labels = _gap(labels, node)
                scores = move_scores(graph, labels, node)
                chances = np.exp(scores - scores.max())
                labels[node] = int(rng.choice(len(chances), p=chances / chances.sum()))
            values.append(canonical(labels))
        details = {"description_length": -joint_score(graph, best), "blocks": int(best.max()) + 1}
        ledger = Ledger(samples=len(values), seconds=time.perf_counter() - begun)
        return Posterior.uniform(values, evidence_kind=EvidenceKind.NONE, ledger=ledger, details=details)

    def score(self, A: Any, partition: Any) -> float:  # noqa: N803
        """Log joint probability of a matrix and a partition; the negative of its description length in nats.

        Parameters
        ----------
        A : array_like
            As in `fit`.
        partition : sequence of int
            (nodes,) block of each node, named as one likes.

        Returns
        -------
        float

        Raises
        ------
        UsageError
            The partition does not fit, or as in `fit`.
        """
        self._check()
        graph = self.graph(A)
        given = np.asarray(partition)
        if given.shape != (graph.layers.shape[1],):
            raise UsageError(f"A partition of shape {given.shape} does not fit {graph.layers.shape[1]} nodes.")
        return joint_score(graph, np.array(canonical(given)))

    def graph(self, A: Any) -> Graph:  # noqa: N803
        """Read a matrix and apply the threshold.

        Parameters
        ----------
        A : array_like
            As in `fit`.
        """
        matrix = np.array(A, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
            raise UsageError(f"A matrix of shape {matrix.shape} is no square one of at least two nodes.")
        np.fill_diagonal(matrix, 0.0)
        if not np.isfinite(matrix).all() or (matrix < 0).any():
            place = tuple(np.argwhere(~np.isfinite(matrix) | (matrix < 0))[0].tolist())
            raise UsageError(f"Entry {place} is {matrix[place]}. Weights must be finite and >= 0; 0 is no edge.")
        if np.abs(matrix - matrix.T).max() > 1e-9 * max(matrix.max(), 1e-300):
            raise UsageError("The matrix is not symmetric. Give (A + A.T) / 2 if direction does not matter.")
        matrix = (matrix + matrix.T) / 2
        kept = np.where(matrix > self.threshold * matrix.max(), matrix, 0.0)
        return read_graph(kept, self.weights == "lognormal", self.deg_corr)

    def _check(self) -> None:
        if self.weights not in _WEIGHTS:
            raise UsageError(f"weights={self.weights!r} is unknown. Use 'lognormal' or 'exponential'.")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"threshold={self.threshold} is not in [0, 1). Give a share of the largest weight.")
        for name in ("starts", "draws"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(f"{name}={value!r} is not a whole number >= 0. Give for instance 10.")

    def _initial(self, graph: Graph, root: Seed) -> list[Labels]:
        nodes = graph.layers.shape[1]
        starts = [np.zeros(nodes, dtype=np.int64)]
        for number in range(self.starts):
            rng = root.child("start", number).numpy()
            blocks = int(rng.integers(2, max(3, min(12, nodes // 2) + 1)))
            starts.append(np.array(canonical(rng.integers(blocks, size=nodes))))
        louvain = _louvain(graph)
        return starts if louvain is None else [louvain, *starts]


def co_membership(posterior: Posterior[tuple[int, ...]]) -> npt.NDArray[np.float64]:
    """Probability that two nodes share a block.

    Parameters
    ----------
    posterior : Posterior
        Over partitions, as `WeightedSBM` gives it.

    Returns
    -------
    ndarray
        (nodes, nodes) float64 in [0, 1], ones on the diagonal.

    Examples
    --------
    >>> co_membership(Posterior.uniform([(0, 0, 1), (0, 1, 1)]))[0].tolist()
    [1.0, 0.5, 0.0]
    """
    labels = np.array(list(posterior.values))
    same = (labels[:, :, None] == labels[:, None, :]).astype(np.float64)
    return np.asarray(np.minimum(np.einsum("s,sij->ij", posterior.probabilities.numpy(), same), 1.0))


def canonical(labels: Any) -> tuple[int, ...]:
    """Name blocks 0, 1, ... in order of first appearance."""
    names: dict[int, int] = {}
    return tuple(names.setdefault(label, len(names)) for label in np.asarray(labels).tolist())


def _gap(labels: Labels, node: int) -> Labels:
    """Close the gap that a node's block leaves when it held no other node."""
    labels = labels.copy()
    if (labels == labels[node]).sum() == 1:
        labels[labels > labels[node]] -= 1
    return labels


def _climb(graph: Graph, labels: Labels) -> Labels:
    """Move single nodes, then merge blocks, until neither raises the score."""
    labels, score = labels.copy(), joint_score(graph, labels)
    while True:
        moved = _move(graph, labels)
        merged = _merge(graph, moved)
        reached = joint_score(graph, merged)
        if reached <= score + 1e-9:
            return labels
        labels, score = merged, reached


def _move(graph: Graph, labels: Labels) -> Labels:
    for _ in range(100):
        changed = False
        for node in range(len(labels)):
            before = canonical(labels)
            labels = _gap(labels, node)
            labels[node] = int(np.argmax(move_scores(graph, labels, node)))
            changed |= canonical(labels) != before
        if not changed:
            break
    return np.array(canonical(labels))


def _merge(graph: Graph, labels: Labels) -> Labels:
    score = joint_score(graph, labels)
    while True:
        blocks = int(labels.max()) + 1
        best, gain = labels, 0.0
        for first in range(blocks):
            for second in range(first + 1, blocks):
                trial = np.array(canonical(np.where(labels == second, first, labels)))
                rise = joint_score(graph, trial) - score
                if rise > gain + 1e-9:
                    best, gain = trial, rise
        if best is labels:
            return labels
        labels, score = best, score + gain


def _louvain(graph: Graph) -> Labels | None:
    try:
        import networkx
    except ImportError:
        return None
    values = graph.layers[2]
    weights = np.where(graph.layers[1] > 0, np.exp(values) if graph.lognormal else values, 0.0)
    communities = networkx.community.louvain_communities(networkx.from_numpy_array(weights), seed=0)
    labels = np.zeros(len(weights), dtype=np.int64)
    for number, members in enumerate(communities):
        labels[list(members)] = number
    return np.array(canonical(labels))
