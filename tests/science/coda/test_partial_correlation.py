"""Partial correlations of parts: the exact facts, the route by regression, populations, and sampling laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.core import UsageError
from educe.science import (
    alr,
    clr,
    concentration,
    multiple_r2,
    partial_correlation,
    partial_residuals,
    roman_cups,
    sample_compositions,
    sparse_concentration,
)

CUPS = roman_cups()


def random_table(seed, samples=40, parts=6):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=(samples, parts)) @ rng.normal(size=(parts, parts)))


def test_the_cups_give_the_known_numbers():
    result = partial_correlation(CUPS)
    assert result.dof == 37 and result.distinct[9] == 3
    known = {("Al", "Fe"): 0.727, ("Si", "Al"): 0.722, ("Si", "Fe"): -0.663, ("Ca", "Na"): 0.597}
    assert {(edge.first, edge.second) for edge in result.edges()} == set(known)
    for (first, second), rho in known.items():
        assert result.between(first, second) == pytest.approx(rho, abs=1e-3)
    expected = [0.00203, 0.00088, 0.00347, 0.00813, 0.00278, 0.00178, 0.00841, 0.00831, 0.01025, 0.05062, 0.05160]
    np.testing.assert_allclose(result.partial_variance, expected, atol=6e-6)
    raw = np.corrcoef(CUPS.amounts.T)
    assert (np.sign(raw) != np.sign(result.rho)).sum() / 2 == 23


def test_deleting_any_part_gives_the_inverse_of_its_additive_covariance():
    matrix = concentration(CUPS)
    for reference in range(11):
        inverse = np.linalg.inv(np.cov(alr(CUPS, reference), rowvar=False))
        kept = np.delete(np.delete(matrix, reference, 0), reference, 1)
        np.testing.assert_allclose(kept, inverse, rtol=1e-8, atol=1e-8 * np.abs(inverse).max())


def test_it_is_the_pseudo_inverse_of_the_centred_covariance():
    matrix, covariance = concentration(CUPS), np.cov(clr(CUPS), rowvar=False)
    np.testing.assert_allclose(matrix, np.linalg.pinv(covariance, rcond=1e-10), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(matrix.sum(axis=0), 0, atol=1e-9 * np.abs(matrix).max())


def test_residuals_and_their_correlations_do_not_depend_on_the_reference():
    result = partial_correlation(CUPS)
    for part in range(11):
        all_residuals = [partial_residuals(CUPS, part, reference) for reference in range(11) if reference != part]
        for residual in all_residuals:
            np.testing.assert_allclose(residual, all_residuals[0], atol=1e-10)
        assert all_residuals[0].var(ddof=1) == pytest.approx(result.partial_variance[part], rel=1e-9)
    for i, j in itertools.combinations(range(0, 11, 2), 2):
        for reference in set(range(11)) - {i, j}:
            pair = [partial_residuals(CUPS, a, reference, without=b) for a, b in ((i, j), (j, i))]
            assert np.corrcoef(pair)[0, 1] == pytest.approx(result.rho[i, j], abs=1e-9)


def test_a_population_follows_from_the_absolute_one():
    """Fact 3: with W the concentration of absolute amounts, K = W - W 1 1' W / 1' W 1, here exactly.

    The sample covariance of the simulated logarithms takes the place of the population's, so there is no noise.
    """
    simulated = sample_compositions(sparse_concentration(8, seed=1), 60, seed=2)
    absolute = np.linalg.inv(np.cov(simulated.logs, rowvar=False))
    ones = absolute.sum(axis=1)
    expected = absolute - np.outer(ones, ones) / ones.sum()
    np.testing.assert_allclose(concentration(simulated.amounts), expected, rtol=1e-8, atol=1e-8)


def test_scattered_totals_lead_ordinary_partial_correlations_to_the_same_answer():
    simulated = sample_compositions(sparse_concentration(6, seed=3), 200, seed=4)
    expected, gaps = partial_correlation(simulated.amounts).rho, []
    totals = np.random.default_rng(5).normal(size=(200, 1))
    # Totals that are uncorrelated with the amounts in this sample, as they are in the population of the statement.
    known = np.column_stack([np.ones(200), simulated.logs])
    totals -= known @ np.linalg.lstsq(known, totals, rcond=None)[0]
    for width in (1e1, 1e2, 1e3):
        inverse = np.linalg.inv(np.cov(simulated.logs + width * totals, rowvar=False))
        scale = 1 / np.sqrt(np.diag(inverse))
        gaps.append(np.abs(-inverse * scale * scale[:, None] - expected)[~np.eye(6, dtype=bool)].max())
    assert gaps[0] > gaps[1] and gaps[2] < 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_what_must_not_matter_does_not(seed):
    table = random_table(seed)
    rng = np.random.default_rng(seed + 1)
    rho = partial_correlation(table).rho
    order = rng.permutation(6)
    for changed, expected in [
        (table * rng.lognormal(size=(40, 1)), rho),
        (table * rng.lognormal(size=6), rho),
        (table ** rng.uniform(0.3, 3), rho),
        (table[:, order], rho[np.ix_(order, order)]),
    ]:
        np.testing.assert_allclose(partial_correlation(changed).rho, expected, atol=1e-6)
    assert np.abs(rho).max() <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_each_part_has_a_positive_partner(seed):
    result = partial_correlation(random_table(seed))
    diagonal = np.diag(result.concentration)
    off = result.rho - np.eye(6)
    np.testing.assert_allclose((off * np.sqrt(diagonal[None] / diagonal[:, None])).sum(axis=1), 1, rtol=1e-6)
    assert (off.max(axis=1) > 0).all()


def test_the_large_sample_limit_of_independent_parts():
    """Independent parts of equal variance have rho = 1 / (D - 1), not 0: the price of not seeing totals.

    20000 samples: a standard error is 0.0071, the bound is more than 6 of them (false alarm below 1e-7 for 15 pairs).
    """
    rho = partial_correlation(sample_compositions(np.eye(6), 20000, seed=6).amounts).rho
    assert np.abs(rho - 0.2)[~np.eye(6, dtype=bool)].max() < 0.045


@pytest.fixture(scope="module")
def null_tables():
    """Pairs whose K is zero: in the ring C = I - G of ilr space; K_01 = 0 by construction, 400 tables of 20 samples."""
    matrix = np.array([[2.0, 0, -1, -1], [0, 2, -1, -1], [-1, -1, 2, 0], [-1, -1, 0, 2]])
    # Adding 1 1' makes it positive definite and leaves its compositional part, rows summing to zero, unchanged.
    return [partial_correlation(sample_compositions(matrix + 0.5, 20, seed=i).amounts) for i in range(400)]


def test_p_values_are_uniform_where_there_is_nothing(null_tables):
    """Kolmogorov-Smirnov with 400 values: a distance above 0.14 has probability 2 exp(-2 n d^2) < 4e-7."""
    for pair in ((0, 1), (2, 3)):
        sorted_values = np.sort([result.pvalue[pair] for result in null_tables])
        grid = np.arange(401) / 400
        assert max((grid[1:] - sorted_values).max(), (sorted_values - grid[:-1]).max()) < 0.14


def test_intervals_cover(null_tables):
    """90 % intervals over 400 tables: outside [0.81, 0.97] has probability below 1e-7 by the binomial law."""
    truth = 0.5  # rho_02 of the matrix above
    inside = [result.interval(0.9)[0][0, 2] < truth < result.interval(0.9)[1][0, 2] for result in null_tables]
    assert 0.81 < np.mean(inside) < 0.97


def test_adjusted_p_values_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    result = partial_correlation(CUPS)
    rows = np.triu_indices(11, 1)
    expected = stats.false_discovery_control(result.pvalue[rows], method="bh")
    np.testing.assert_allclose(result.qvalue[rows], expected, rtol=1e-12)
    pearson = partial_residuals(CUPS, 1, without=2), partial_residuals(CUPS, 2, without=1)
    rho = stats.pearsonr(*pearson).statistic
    exact = 2 * stats.t.sf(abs(rho) * np.sqrt(37 / (1 - rho**2)), 37)
    assert result.pvalue[1, 2] == pytest.approx(exact, rel=1e-6)


def test_the_graph_holds_every_part():
    graph = partial_correlation(CUPS).graph()
    assert set(graph.nodes) == set(CUPS.parts) and graph.number_of_edges() == 4
    assert graph.edges["Si", "Fe"]["rho"] < 0
    assert partial_correlation(CUPS).graph(0.05, "none").number_of_edges() == 9


def test_ledoit_wolf_agrees_with_scikit_learn_and_needs_no_basis():
    covariance = pytest.importorskip("sklearn.covariance")
    from educe.science import ilr

    table = random_table(9, samples=12, parts=15)
    result = partial_correlation(table, shrink="ledoit-wolf")
    peer = covariance.LedoitWolf().fit(ilr(table))
    assert result.shrinkage == pytest.approx(peer.shrinkage_, rel=1e-10)
    order = np.random.default_rng(0).permutation(15)  # another order of the parts is another basis
    again = partial_correlation(table[:, order], shrink="ledoit-wolf")
    np.testing.assert_allclose(again.rho, result.rho[np.ix_(order, order)], atol=1e-10)
    with pytest.raises(UsageError, match="shrunk"):
        result.pvalue  # noqa: B018
    full = partial_correlation(table, shrink=1.0)  # isotropic: K is a multiple of the centring matrix
    np.testing.assert_allclose(full.rho[0, 1:], 1 / 14, atol=1e-12)


def test_multiple_correlation_against_regression():
    for reference in ("Si", "Sb", "Na"):
        residual = partial_residuals(CUPS, "Al", reference)
        ratio = np.log(CUPS.amounts[:, 1] / CUPS.amounts[:, CUPS.parts.index(reference)])
        answer = multiple_r2(CUPS, "Al", reference)
        assert answer.r2 == pytest.approx(1 - residual.var() / ratio.var(), abs=1e-10)
        assert answer.ref == reference
    least = min(multiple_r2(CUPS, "Al", other).r2 for other in CUPS.parts if other != "Al")
    assert multiple_r2(CUPS, "Al").r2 == pytest.approx(least)
    centred = multiple_r2(CUPS, "Al", centred=True)
    assert centred.response_variance == pytest.approx(clr(CUPS)[:, 1].var(ddof=1)) and centred.ref == "centred"
    with pytest.raises(UsageError, match="own reference"):
        multiple_r2(CUPS, "Al", "Al")
    with pytest.raises(UsageError, match="exclude"):
        multiple_r2(CUPS, "Al", "Si", centred=True)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (np.ones((20, 4)), {}, "same proportions"),
        (np.column_stack([random_table(0), 2 * random_table(0)[:, 2]]), {}, "between parts '(2|6)' and '(6|2)'"),
        (np.column_stack([random_table(0), np.ones((40, 2))]), {}, "between parts '(6|7)' and '(7|6)'"),
        (random_table(0)[:5], {}, "5 samples do not determine"),
        (random_table(0)[:1], {}, "1 sample"),
        (random_table(0)[:, :2], {}, "at least 3"),
        (random_table(0), {"shrink": "oracle"}, "unknown"),
        (random_table(0), {"shrink": 1.5}, r"not in \(0, 1\]"),
        (random_table(0), {"names": ["a", "b"]}, "names"),
        (random_table(0), {"names": ["a"] * 6}, "distinct"),
    ],
)
def test_what_cannot_be_answered_is_refused(table, options, message):
    with pytest.raises(UsageError, match=message):
        partial_correlation(table, **options)


def test_one_constant_part_is_no_obstacle():
    table = np.column_stack([random_table(0), np.ones(40)])
    assert np.isfinite(partial_correlation(table).rho).all()


def test_requests_out_of_range_are_refused():
    result = partial_correlation(CUPS)
    for call, message in [
        (lambda: result.edges(alpha=0), "alpha"),
        (lambda: result.edges(correction="holm"), "correction"),
        (lambda: result.interval(1.0), "mass"),
        (lambda: result.between("Al", "Xx"), "unknown"),
        (lambda: partial_correlation(random_table(0)[:6]).interval(), "no spread"),
        (lambda: partial_residuals(CUPS, "Al", without="Al"), "response"),
        (lambda: partial_residuals(CUPS, "Al", "Al"), "reference"),
        (lambda: partial_residuals(random_table(0)[:5], 0), "no residual"),
    ]:
        with pytest.raises(UsageError, match=message):
            call()
    assert repr(result) == "PartialCorrelation(11 parts, 47 samples)"
