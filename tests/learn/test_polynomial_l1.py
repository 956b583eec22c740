"""Least absolute deviations against the linear program, and what a polynomial can separate."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import PolynomialL1


def test_the_loss_is_close_to_the_linear_programs():
    optimize = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2))
    y = np.where(x @ [1.0, -1.0] + 0.5 * random.normal(size=300) > 0, 1, -1)
    model = PolynomialL1(degree=2, iterations=200).fit(x, y)
    features = model._features(x)
    n, p = features.shape
    identity = np.eye(n)
    program = optimize.linprog(
        np.concatenate([np.zeros(p), np.ones(n)]),
        A_ub=np.block([[features, -identity], [-features, -identity]]),
        b_ub=np.concatenate([y, -y]),
        bounds=[(None, None)] * p + [(0, None)] * n,
    )
    loss = np.abs(features @ model.coef_ - y).sum()
    assert program.fun <= loss + 1e-6 and loss <= 1.005 * program.fun


def test_the_threshold_makes_the_fewest_errors():
    random = np.random.default_rng(1)
    x = random.normal(size=(200, 2))
    y = np.where(x[:, 0] + random.normal(size=200) > 0.7, "yes", "no")
    model = PolynomialL1(degree=1).fit(x, y)
    values = model._features(x) @ model.coef_
    errors = [((values > cut) != (y == "yes")).mean() for cut in np.append(values, values.min() - 1)]
    assert 1 - model.score(x, y) == pytest.approx(min(errors))


def test_degree_two_learns_what_no_halfspace_can():
    x = np.random.default_rng(2).normal(size=(800, 2))
    y = np.where((x**2).sum(1) < 1.4, 1, -1)
    assert PolynomialL1(degree=2).fit(x, y).score(x, y) > 0.97
    assert PolynomialL1(degree=1).fit(x, y).score(x, y) < 0.7


def test_bad_input_is_named():
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(UsageError, match="multiclass"):
        PolynomialL1().fit(x, np.arange(50) % 3)
    with pytest.raises(UsageError, match="degree=0"):
        PolynomialL1(degree=0).fit(x, np.arange(50) % 2)
    with pytest.raises(UsageError, match="Lower the degree"):
        PolynomialL1(degree=9).fit(np.tile(x, (1, 10)), np.arange(50) % 2)
    with pytest.raises(UsageError, match="3 features, but PolynomialL1 is expecting 2"):
        PolynomialL1().fit(x, np.arange(50) % 2).predict(np.zeros((2, 3)))
