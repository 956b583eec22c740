"""Simulated compositions against their population, and the edge score against scikit-learn."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.science import edge_average_precision, sample_compositions, sparse_concentration


def test_samples_have_the_covariance_asked_for():
    """50000 samples of covariance entries below 7: standard errors below 0.045; the bound is 6 of them."""
    matrix = sparse_concentration(5, seed=1)
    simulated = sample_compositions(matrix, 50_000, mean=[1, 0, 0, 0, -1], seed=1)
    np.testing.assert_allclose(simulated.amounts.sum(axis=1), 1)
    np.testing.assert_allclose(np.cov(simulated.logs, rowvar=False), np.linalg.inv(matrix), atol=0.27)
    np.testing.assert_allclose(np.log(simulated.amounts[:, 0] / simulated.amounts[:, 1]).mean(), 1, atol=0.1)


def test_the_graph_has_the_degree_asked_for():
    """20 graphs of 100 parts: 1485 edges expected, standard deviation 38; the bound is 6 of them."""
    matrices = [sparse_concentration(100, seed=seed) for seed in range(20)]
    edges = sum(np.count_nonzero(np.triu(matrix, 1) * 1) for matrix in matrices)
    assert abs(edges - 20 * 4950 * 0.03) / np.sqrt(20 * 4950 * 0.03 * 0.97) < 6 * 20**0.5
    sizes = np.abs(matrices[0][np.triu_indices(100, 1)])
    assert set(np.round(np.linalg.eigvalsh(matrices[0])[:1], 10)) == {0.15} and sizes[sizes > 0].min() >= 0.2


def test_average_precision_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for step in range(20):
        scores = rng.normal(size=(8, 8)) if step % 2 else rng.integers(-2, 3, (8, 8)).astype(float)
        scores += scores.T
        graph = np.triu(rng.random((8, 8)) < 0.4, 1)
        graph[0, 1] = True
        rows = np.triu_indices(8, 1)
        expected = metrics.average_precision_score(graph[rows], np.abs(scores[rows]))
        assert edge_average_precision(scores, graph | graph.T) == pytest.approx(expected, abs=1e-12)


def test_bad_requests_are_refused():
    for call in (
        lambda: sparse_concentration(1),
        lambda: sparse_concentration(5, degree=-1),
        lambda: sample_compositions(-np.eye(3), 4),
        lambda: sample_compositions(np.eye(3), 0),
        lambda: edge_average_precision(np.eye(3), np.eye(4)),
        lambda: edge_average_precision(np.eye(3), np.eye(3)),
    ):
        with pytest.raises(UsageError):
            call()
