"""The block model: marginals against integration, the search against enumeration, the sampler against both."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import betaln

from educe.core import Posterior, UsageError
from educe.science.connectome import WeightedSBM, co_membership
from educe.science.connectome._block_score import block_sums, joint_score, move_scores, pair_score, partition_score


def partitions(size):
    """All set partitions as labels in order of first appearance."""
    found = [[0]]
    for _ in range(size - 1):
        found = [[*row, label] for row in found for label in range(max(row) + 2)]
    return [tuple(row) for row in found]


def graph_of(seed, size, share=0.8):
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.lognormal(size=(size, size)) * (rng.random((size, size)) < share), 1)
    weights[: size // 2, : size // 2] *= 6
    return weights + weights.T


@pytest.mark.parametrize("weights", ["lognormal", "exponential"])
def test_one_block_is_the_integral_over_its_parameters(weights):
    matrix = np.zeros((4, 4))
    matrix[np.triu_indices(4, 1)] = [0.7, 0, 1.9, 0.4, 0, 3.0]
    matrix += matrix.T
    values = np.array([0.7, 1.9, 0.4, 3.0])
    edges = betaln(1 + 4, 1 + 2)
    if weights == "exponential":
        mean = values.mean()

        def density(rate):
            return np.exp(stats.expon(scale=1 / rate).logpdf(values).sum() - rate * mean) * mean

        weight = np.log(integrate.quad(density, 0, 60, epsabs=0)[0])
    else:
        logs = np.log(values)
        shape = np.eye(4) + np.ones((4, 4)) / 0.1  # of ln w around mu0 once the mean is integrated out

        def density(variance):
            prior = stats.invgamma(1, scale=logs.var()).pdf(variance)
            return prior * stats.multivariate_normal(np.full(4, logs.mean()), variance * shape).pdf(logs)

        weight = np.log(integrate.quad(density, 0, 200, points=[0.2, 1, 5], limit=200)[0])
    model = WeightedSBM(weights, threshold=0)
    assert model.score(matrix, [7] * 4) == pytest.approx(edges + weight - np.log(4), abs=1e-4)


def test_priors_of_all_partitions_and_namings_sum_to_one():
    total = sum(
        math.factorial(max(p) + 1) * np.exp(partition_score(np.bincount(p).astype(float))) for p in partitions(6)
    )
    assert len(partitions(6)) == 203 and total == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("deg_corr", [False, True])
@pytest.mark.parametrize("weights", ["lognormal", "exponential"])
def test_the_search_finds_the_best_of_all_partitions(weights, deg_corr):
    for seed in range(3):
        matrix = graph_of(seed, 6)
        model = WeightedSBM(weights, deg_corr, threshold=0, draws=0)
        best = max(model.score(matrix, p) for p in partitions(6))
        found = model.fit(matrix)
        assert model.score(matrix, found.values[0]) == pytest.approx(best, abs=1e-9)
        assert found.details["description_length"] == pytest.approx(-best)


@pytest.mark.parametrize("weights", ["lognormal", "exponential"])
def test_what_a_move_gains_is_the_difference_of_scores(weights):
    graph = WeightedSBM(weights, threshold=0).graph(graph_of(4, 9))
    labels = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2])
    for node in range(9):
        gains = move_scores(graph, labels, node)
        whole = []
        for choice in range(4):
            trial = labels.copy()
            trial[node] = choice
            whole.append(joint_score(graph, trial))
        np.testing.assert_allclose(np.diff(gains), np.diff(whole), atol=1e-9)
    assert pair_score(graph, block_sums(graph, labels, 4))[3].sum() == pytest.approx(0)  # an empty block


def test_names_of_nodes_and_blocks_do_not_matter():
    matrix, order = graph_of(5, 10), np.random.default_rng(0).permutation(10)
    model = WeightedSBM(threshold=0)
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    score = model.score(matrix, labels)
    assert model.score(matrix, [f"b{9 - label}" for label in labels]) == pytest.approx(score)
    assert model.score(matrix[np.ix_(order, order)], labels[order]) == pytest.approx(score)
    assert model.score(7 * matrix, labels) - model.score(7 * matrix, [0] * 10) == pytest.approx(
        score - model.score(matrix, [0] * 10)
    )


@pytest.mark.slow
def test_the_sampler_visits_partitions_as_often_as_they_are_probable():
    matrix = graph_of(2, 5, share=0.6)
    model = WeightedSBM(threshold=0, draws=3000, seed=1)
    scores = np.array([model.score(matrix, p) for p in partitions(5)])
    exact = np.exp(scores - scores.max())
    exact /= exact.sum()
    found = model.fit(matrix)
    same = np.array([[[p[i] == p[j] for j in range(5)] for i in range(5)] for p in partitions(5)])
    expected = np.einsum("s,sij->ij", exact, same)
    # Draws are correlated: 3000 count as at least 1000, and 6 standard errors of 0.016 leave a false alarm below 1e-6.
    np.testing.assert_allclose(co_membership(found), expected, atol=0.095)
    assert 0.02 < exact.max() < 0.98


def test_the_mode_of_draws_that_all_differ_is_the_best_one():
    found = WeightedSBM(threshold=0, draws=3).fit(graph_of(0, 12))
    assert len(found) == 4 and isinstance(found, Posterior)
    again = WeightedSBM(threshold=0, draws=3).fit(graph_of(0, 12))
    assert list(again.values) == list(found.values)


def test_graphs_without_edges_or_with_equal_ones_are_one_block():
    for matrix in (np.zeros((6, 6)), np.ones((6, 6))):
        assert WeightedSBM(draws=0).fit(matrix).mode() == (0,) * 6


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (np.ones((3, 4)), {}, "square"),
        (np.full((3, 3), np.nan), {}, "finite and >= 0"),
        (-np.ones((3, 3)), {}, "finite and >= 0"),
        (np.triu(np.ones((3, 3))), {}, "not symmetric"),
        (np.ones((3, 3)), {"weights": "normal"}, "'normal' is unknown"),
        (np.ones((3, 3)), {"threshold": 1.0}, "threshold=1.0"),
        (np.ones((3, 3)), {"draws": -1}, "draws=-1"),
    ],
)
def test_bad_input_is_refused(matrix, options, message):
    with pytest.raises(UsageError, match=message):
        WeightedSBM(**options).fit(matrix)


def test_a_partition_of_another_graph_is_refused():
    with pytest.raises(UsageError, match="does not fit 3 nodes"):
        WeightedSBM().score(np.ones((3, 3)), [0, 1])
