"""Heads against scikit-learn and by counting."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import CategoricalTable, LeastSquares, Logistic


def data(n=200, p=4, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, p)) + 1
    return x, x @ np.arange(1.0, p + 1) + 3 + random.normal(size=n)


@pytest.mark.parametrize("penalty", [0.0, 5.0])
@pytest.mark.parametrize("intercept", [True, False])
def test_least_squares_is_ridge_regression(penalty, intercept):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = data()
    ours = LeastSquares(penalty, intercept).fit(x, y)
    theirs = linear_model.Ridge(alpha=penalty, fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-8)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-8)


def test_least_squares_takes_the_shortest_of_many_solutions():
    x, y = data(3, 5)
    np.testing.assert_allclose(LeastSquares().fit(x, y).coef_, np.linalg.pinv(x) @ y)


def test_logistic_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = data()
    labels = np.digitize(y, np.quantile(y, [0.3, 0.7]))
    ours = Logistic(penalty=2.0).fit(x, labels)
    theirs = linear_model.LogisticRegression(C=0.5, tol=1e-10, max_iter=2000).fit(x, labels)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-4)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))


def test_the_table_counts():
    shares = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    table = CategoricalTable(smoothing=1e-9).fit(shares, ["b", "a", "a"])
    np.testing.assert_allclose(table.table_, [[0.5, 0.5], [1.0, 0.0]], atol=1e-8)
    assert table.predict([[0.1, 0.9]]) == ["a"]


def test_bad_input_is_named():
    x, y = data(10)
    with pytest.raises(UsageError, match="penalty=-1"):
        LeastSquares(-1).fit(x, y)
    with pytest.raises(UsageError, match="not numeric"):
        LeastSquares().fit(x, ["a"] * 10)
    with pytest.raises(UsageError, match="contains NaN"):
        LeastSquares().fit(x, np.full(10, np.nan))
    with pytest.raises(UsageError, match="one class only"):
        Logistic().fit(x, np.ones(10))
    with pytest.raises(UsageError, match="holds fractions"):
        Logistic().fit(x, y)
    with pytest.raises(UsageError, match="no probabilities"):
        CategoricalTable().fit(x, np.arange(10) % 2)
    with pytest.raises(UsageError, match="9 values but X has 10"):
        LeastSquares().fit(x, y[:9])
