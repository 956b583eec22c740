"""DEUP against closed forms of excess risk, and its folds and noise against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.uncertainty import DEUP, BayesianPolynomial, Feature, evaluate, features


class Line:
    """Least squares on one column."""

    def fit(self, X, y):
        self.slope, self.offset = np.polyfit(X[:, 0], y, 1)
        return self

    def predict(self, X):
        return self.slope * X[:, 0] + self.offset


class Memory:
    """Remembers which rows it was fitted on, and predicts 1 for those."""

    def fit(self, X, y):
        self.rows = set(X[:, 0])
        return self

    def predict(self, X):
        return np.array([float(x in self.rows) for x in X[:, 0]])


class Nearest:
    """Mean of the five nearest targets: a light error model."""

    def fit(self, X, y):
        self.X, self.y = X, y
        return self

    def predict(self, X):
        near = np.argsort(np.abs(X[:, :1] - self.X[:, 0]), axis=1)[:, :5]
        return self.y[near].mean(1)


def test_a_line_on_a_parabola_has_the_excess_risk_of_the_closed_form():
    # On x uniform in [-1, 1] the best line for x^2 is the constant 1/3: the excess risk is (x^2 - 1/3)^2.
    x = np.linspace(-1, 1, 401)[:, None]
    deup = DEUP(Line(), Nearest(), "x").fit(x, x[:, 0] ** 2)
    predicted = deup.predict(x).epistemic
    # Folds move the line by O(1/n), and five neighbours span 0.025 of x; the slope of the excess is at most 8/3.
    assert np.abs(predicted - (x[:, 0] ** 2 - 1 / 3) ** 2).max() < 0.08


@pytest.mark.slow
def test_a_forest_finds_it_too_and_logs_lie_below_means():
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, 400)[:, None]
    y = x[:, 0] ** 2 + rng.normal(0, 0.3, 400)
    mean = DEUP(Line(), "forest", "x").fit(x, y).predict(x).epistemic
    log = DEUP(Line(), "forest", "x", log=True).fit(x, y).predict(x).epistemic
    # E of squared noise is 0.09, and its mean of logarithms is lower by a factor of 3.6.
    assert np.median(log) < 0.7 * np.median(mean)
    assert abs(mean.mean() - (0.09 + 4 / 45)) < 0.04  # the sd of the mean of 400 such losses is below 0.008


def test_a_right_model_with_much_outside_data_gives_its_posterior_variance():
    # 20,000 losses of variance 2 * 0.2^4 about 0.2^2: their mean has sd 4e-4, so 2.5e-3 is above six of them.
    rng = np.random.default_rng(3)
    x, outside = rng.uniform(-1, 1, (12, 1)), rng.uniform(-1, 1, (20_000, 1))
    truth = 0.5 + outside[:, 0]
    y = 0.5 + x[:, 0] + rng.normal(0, 0.2, 12)
    deup = DEUP(BayesianPolynomial(1, 0.2), Mean(), "x", aleatoric=0.04)
    deup.fit(x, y, outside, truth + rng.normal(0, 0.2, 20_000))
    excess = np.mean((deup.predictor_.predict(outside) - truth) ** 2)
    assert abs(deup.errors_.mean() - excess) < 2.5e-3
    assert abs(deup.predict(outside[:1]).epistemic[0] - deup.errors_.mean()) < 1e-12


class Mean:
    def fit(self, X, y):
        self.mean = y.mean()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean)


def test_the_polynomial_agrees_with_the_kernel_form_of_its_posterior():
    rng = np.random.default_rng(0)
    x, z = rng.uniform(-2, 2, 15), rng.uniform(-2, 2, 4)
    y = rng.normal(size=15)
    mean, std = BayesianPolynomial(3, 0.3, 2.0).fit(x[:, None], y).predict(z[:, None], return_std=True)

    def kernel(a, b):
        return 4.0 * sum(np.outer(a**k, b**k) for k in range(4))

    gram = kernel(x, x) + 0.09 * np.eye(15)
    np.testing.assert_allclose(mean, kernel(z, x) @ np.linalg.solve(gram, y), rtol=1e-7)
    variance = np.diag(kernel(z, z) - kernel(z, x) @ np.linalg.solve(gram, kernel(x, z)))
    np.testing.assert_allclose(std**2, variance, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=12, max_size=40), st.integers(2, 4), st.integers(0, 1000))
def test_no_row_is_judged_by_a_predictor_that_saw_it(values, folds, seed):
    distinct = sorted(set(values))
    x = np.array(values, dtype=float)[:, None]
    deup = DEUP(Memory(), Mean(), "x", folds=folds)
    if len(distinct) < folds:
        with pytest.raises(UsageError, match="Use fewer folds"):
            deup.fit(x, np.zeros(len(x)), seed=seed)
        return
    deup.fit(x, np.zeros(len(x)), seed=seed)
    assert (deup.errors_ == 0).all()  # Memory errs exactly on rows it has seen
    sizes = np.bincount([deup.fold_[values.index(v)] for v in distinct])
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.slow
def test_the_order_of_outside_data_changes_nothing_and_the_seed_decides():
    rng = np.random.default_rng(5)
    x, out = rng.normal(size=(30, 1)), rng.normal(size=(60, 1))
    y, truth = np.sin(x[:, 0]), np.sin(out[:, 0])
    order = rng.permutation(60)
    one = DEUP(Line(), features="xd").fit(x, y, out, truth).predict(x)
    two = DEUP(Line(), features="xd").fit(x, y, out[order], truth[order]).predict(x)
    np.testing.assert_allclose(one.epistemic, two.epistemic, rtol=1e-12)
    three = DEUP(Line(), features="xd").fit(x, y, out, truth, seed=1).predict(x)
    assert (three.epistemic != one.epistemic).any()


def test_repeats_tell_the_noise_and_stay_in_one_fold():
    x = np.repeat(np.arange(6.0), 2)[:, None]
    y = np.array([0, 2, 1, 1, 0, 4, 2, 2, 1, 3, 5, 5.0])
    deup = DEUP(Mean(), Mean(), "x", aleatoric="repeats", folds=3).fit(x, y)
    assert all(deup.fold_[2 * i] == deup.fold_[2 * i + 1] for i in range(6))
    means = [y[deup.fold_ != k].mean() for k in range(3)]
    losses = np.array([(y[i] - means[deup.fold_[i]]) ** 2 for i in range(12)])
    np.testing.assert_allclose(deup.errors_, losses - np.repeat([2, 0, 8, 0, 2, 0.0], 2))
    assert deup.predict(x).aleatoric[0] == pytest.approx(2.0)
    with pytest.raises(UsageError, match="Repeat queries"):
        DEUP(Mean(), Mean(), "x", aleatoric="repeats").fit(np.arange(20.0)[:, None], np.zeros(20))


def test_parts_add_up_and_support_is_reported():
    x = np.linspace(0, 1, 40)[:, None]
    found = DEUP(Line(), Mean(), "x", aleatoric=lambda z: 0.1 * z[:, 0]).fit(x, x[:, 0]).predict([[0.5], [2.0]])
    np.testing.assert_allclose(found.total, found.epistemic + found.aleatoric)
    np.testing.assert_allclose(found.aleatoric, [0.05, 0.2])
    assert found.epistemic.tolist() == [0.0, 0.0]  # errors are zero, less a noise: clipped
    assert found.supported.tolist() == [True, False]


def test_confidence_in_answers_is_scored_with_the_same_interface():
    x = np.arange(40.0)[:, None]
    found = DEUP(Memory(), Nearest(), "x", loss="zero-one").fit(x, (x[:, 0] >= 20).astype(float))
    # Out of fold the memory always says 0: wrong above 20, right below.
    assert found.predict([[5.0], [35.0]]).epistemic.tolist() == [0.0, 1.0]


def test_densities_integrate_to_one_and_features_mean_what_they_say():
    rng = np.random.default_rng(2)
    x = rng.normal(2, 3, (20, 1))
    grid = np.linspace(-30, 30, 6001)[:, None]
    for kind in ("kde", "mahalanobis"):
        columns = features.log_density(kind, bandwidth=0.3).fit(x, None, None, Seed(0))
        assert np.trapezoid(np.exp(columns(grid))[:, 0], grid[:, 0]) == pytest.approx(1, abs=1e-6)
    near = features.distance().fit(x, None, None, Seed(0))(grid[:50])[:, 0]
    np.testing.assert_allclose(near, np.abs(grid[:50] - x[:, 0]).min(1), rtol=1e-6)
    bits = features.seen().fit(x, None, None, Seed(0))(np.concatenate([x[:3], x[:3] + 1]))
    assert bits[:, 0].tolist() == [1, 1, 1, 0, 0, 0]


def test_the_bootstrap_variance_of_a_mean_is_that_of_the_mean():
    y = np.random.default_rng(0).normal(size=50)
    feature = features.model_variance("ensemble", members=2000).fit(np.zeros((50, 1)), y, Mean(), Seed(0))
    # A variance from 2,000 normal members has relative sd 0.032; 0.16 is five of them (6e-7 of false alarm).
    assert np.exp(feature(np.zeros((1, 1))))[0, 0] == pytest.approx(y.var() / 50, rel=0.16)


def test_evaluate_agrees_with_scipy():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(4)
    p, t = rng.integers(0, 9, 60) / 9, rng.integers(0, 9, 60) / 9
    score = evaluate(p, t, weights=np.arange(60))
    assert score.spearman == pytest.approx(spearmanr(p, t).statistic)
    assert score.mean_true == pytest.approx(np.average(t, weights=np.arange(60)))
    assert np.isnan(evaluate([1, 1], [0, 1]).spearman)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"predictor": object()}, "has no fit"),
        ({"error_model": "tree"}, "no error model"),
        ({"aleatoric": "known"}, "cannot be estimated"),
        ({"aleatoric": "repeats", "loss": "zero-one"}, "cannot be estimated"),
        ({"aleatoric": -1.0}, "is no noise"),
        ({"folds": 1}, "leave nothing out"),
        ({"loss": "cubic"}, "is no loss"),
        ({"features": "xq"}, "cannot be read"),
        ({"features": "xx"}, "cannot be read"),
        ({"features": ()}, "No feature"),
    ],
)
def test_a_bad_parameter_is_refused(words, match):
    with pytest.raises(UsageError, match=match):
        DEUP(**{"predictor": Mean(), **words})


def test_bad_data_are_refused():
    deup, x = DEUP(Mean(), Mean(), "x"), np.arange(20.0)[:, None]
    with pytest.raises(UsageError, match="Call fit first"):
        deup.predict(x)
    with pytest.raises(UsageError, match="do not fit"):
        deup.fit(x, np.zeros(19))
    with pytest.raises(UsageError, match="not finite"):
        deup.fit(x, np.full(20, np.nan))
    with pytest.raises(UsageError, match="Only one of"):
        deup.fit(x, np.zeros(20), X_out=x)
    with pytest.raises(UsageError, match="columns"):
        deup.fit(x, np.zeros(20), np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(UsageError, match="no return_std"):
        DEUP(Mean(), Mean(), "v").fit(x, np.zeros(20))
    with pytest.raises(UsageError, match="one finite number per row"):
        DEUP(Mean(), Mean(), "x", loss=lambda y, mean: y.sum()).fit(x, np.zeros(20))
    with pytest.raises(UsageError, match="negative or not finite"):
        DEUP(Mean(), Mean(), "x", aleatoric=lambda z: -1.0).fit(x, np.zeros(20))
    with pytest.raises(UsageError, match="one column"):
        BayesianPolynomial().fit(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(UsageError, match="out of range"):
        BayesianPolynomial(noise=0.0).fit(x, np.zeros(20))
    with pytest.raises(UsageError, match="no source"):
        features.model_variance("dropout")
    with pytest.raises(UsageError, match="no density"):
        features.log_density("flow")
    with pytest.raises(UsageError, match="Give two or more"):
        evaluate([1.0], [1.0])
    assert isinstance(features.position(), Feature)
