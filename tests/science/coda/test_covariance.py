"""The estimator against scikit-learn's own battery, the Gaussian density and the function it wraps."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.science import CompositionalCovariance, ilr, partial_correlation, replace_zeros, roman_cups

CUPS = roman_cups()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimator CompositionalCovariance does not inherit")
@pytest.mark.parametrize("shrink", ["ledoit-wolf", None])
def test_scikit_learns_battery(shrink):
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    checks.check_estimator(CompositionalCovariance(shrink=shrink), on_skip=None)


def test_it_wraps_the_function():
    pandas = pytest.importorskip("pandas")
    model = CompositionalCovariance(shrink=None).fit(pandas.DataFrame(CUPS.amounts, columns=CUPS.parts))
    expected = partial_correlation(CUPS)
    np.testing.assert_array_equal(model.partial_correlation_, expected.rho)
    np.testing.assert_allclose(model.covariance_, np.linalg.pinv(model.precision_, rcond=1e-10), atol=1e-9)
    assert list(model.feature_names_in_) == list(CUPS.parts) and model.result_.parts == CUPS.parts


def test_the_score_is_the_gaussian_log_density():
    stats = pytest.importorskip("scipy.stats")
    model = CompositionalCovariance(shrink=None).fit(CUPS)
    coordinates = ilr(CUPS)
    law = stats.multivariate_normal(coordinates.mean(axis=0), np.cov(coordinates, rowvar=False))
    assert model.score(CUPS) == pytest.approx(law.logpdf(coordinates).mean(), rel=1e-9)


@pytest.mark.slow
def test_a_search_over_shrinkages():
    search = pytest.importorskip("sklearn.model_selection")
    grid, folds = [0.01, 0.5, 1.0], search.KFold(3)
    found = search.GridSearchCV(CompositionalCovariance(), {"shrink": grid}, cv=folds).fit(CUPS.amounts)
    by_hand = [
        np.mean(
            [CompositionalCovariance(w).fit(CUPS.amounts[a]).score(CUPS.amounts[b]) for a, b in folds.split(CUPS[0])]
        )
        for w in grid
    ]
    assert found.best_params_["shrink"] == grid[int(np.argmax(by_hand))]
    assert found.best_score_ == pytest.approx(max(by_hand), rel=1e-12)


def test_zeros_are_replaced_counted_and_kept_out_of_the_score():
    table = CUPS.amounts.copy()
    table[3, 9] = table[5, 9] = 0
    table = np.vstack([table, np.zeros(11)])
    model = CompositionalCovariance(shrink=None, detection_limit=0.01).fit(table)
    assert model.zeros_replaced_ == {"9": 2} and model.samples_dropped_ == 1
    expected = partial_correlation(replace_zeros(table[:-1], 0.01, keep_sums=False).amounts)
    np.testing.assert_allclose(model.partial_correlation_, expected.rho, atol=1e-12)
    assert np.isfinite(model.score(table))
    with pytest.raises(UsageError, match="Replace zeros"):
        CompositionalCovariance(zeros="raise").fit(table)
    with pytest.raises(UsageError, match="zeros only"):
        CompositionalCovariance().fit(np.zeros((4, 3)))


def test_parameters_and_state():
    model = CompositionalCovariance(shrink=0.5)
    assert repr(model) == "CompositionalCovariance(shrink=0.5)"
    assert model.set_params(shrink=None).get_params() == {"shrink": None, "zeros": "replace", "detection_limit": None}
    with pytest.raises(UsageError, match="unknown"):
        model.set_params(shrinkage=1)
    with pytest.raises(ValueError, match="not fitted"):
        model.score(CUPS)
    with pytest.raises(UsageError, match="zeros"):
        CompositionalCovariance(zeros="drop").fit(CUPS)
    with pytest.raises(UsageError, match="tests nothing"):
        CompositionalCovariance().fit(CUPS.amounts[:, :2]).result_.pvalue  # noqa: B018
