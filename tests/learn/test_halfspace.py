"""The ramp, the descent and the estimator: derivatives, invariances, scikit-learn's battery and its classifiers."""

import math
import pickle

import numpy as np
import pytest
import torch

from educe.core import Refusal, UsageError
from educe.learn import Certified, PolynomialL1, Rejected, TesterLearner, psgd_sphere, ramp_loss


def labelled(n=80_000, d=4, flips=0.1, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, d))
    return x, np.where(x.sum(1) >= 0, 1, -1) * np.where(random.random(n) < flips, -1, 1)


@pytest.fixture(scope="module")
def fitted():
    x, y = labelled()
    return TesterLearner(eta=0.1, sigma=0.05).fit(x, y), x, y


@pytest.mark.parametrize("smooth", [True, False])
def test_the_ramp_rises_from_zero_to_one_with_its_slope(smooth):
    sigma = 0.3
    t = np.linspace(-0.4, 0.4, 4001)
    value, slope = ramp_loss(t, sigma, smooth=smooth)
    assert value[0] == 0 and value[-1] == 1 and (np.diff(value) >= 0).all()
    numeric = np.gradient(value, t)
    away = np.abs(np.abs(t) - sigma / 2) > 1e-3
    np.testing.assert_allclose(numeric[away], slope[away], atol=2e-2)
    inner = np.abs(t) < sigma / 6
    np.testing.assert_allclose(value[inner], 0.5 + t[inner] / sigma)
    assert slope.max() <= 4 / (3 * sigma) + 1e-9
    assert np.trapezoid(slope, t) == pytest.approx(1, abs=2e-3)


def test_a_full_batch_step_follows_the_gradient_that_autograd_finds():
    x, y = labelled(500, 3)
    w = np.array([0.6, 0.0, 0.8])
    path = psgd_sphere(x, y, sigma=0.8, start=w, steps=1, batch=None, step=0.1, smooth=True)

    v = torch.tensor(w, requires_grad=True)
    t = -torch.tensor(y, dtype=torch.float64) * (torch.tensor(x) @ (v / v.norm())) / 0.8
    s = (3 * t.abs() - 0.5).clamp(0, 1)
    outer = 2 / 3 + (s + s**2 - s**3) / 3 - 0.5
    loss = (0.5 + t.sign() * torch.where(t.abs() <= 1 / 6, t.abs(), outer)).mean()
    loss.backward()
    stepped = w - 0.1 * v.grad.numpy()
    np.testing.assert_allclose(path[1], stepped / np.linalg.norm(stepped), atol=1e-12)


def test_the_descent_stays_on_the_sphere_and_repeats_with_its_seed():
    x, y = labelled(3000)
    one = psgd_sphere(x, y, sigma=0.5, steps=40, batch=200, seed=3)
    np.testing.assert_array_equal(one, psgd_sphere(x, y, sigma=0.5, steps=40, batch=200, seed=3))
    assert not np.array_equal(one, psgd_sphere(x, y, sigma=0.5, steps=40, batch=200, seed=4))
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1)
    assert one.shape == (41, 4)


def test_a_gaussian_is_accepted_with_the_truth_inside_the_certificate(fitted):
    learner, x, y = fitted
    result = learner.result_
    assert isinstance(result, Certified)
    angle = math.acos(min(1.0, float(learner.coef_[0] @ np.full(4, 0.5))))
    assert angle < 0.05 and angle < result.theta
    assert 0.8 * angle / math.pi <= result.excess_bound <= 0.25
    assert learner.score(x, y) == pytest.approx(0.9, abs=0.01)
    assert result.train_error == pytest.approx(0.1, abs=0.015)
    assert result.ledger.seconds > 0


def test_scikit_learn_finds_no_better_classifier(fitted):
    linear_model = pytest.importorskip("sklearn.linear_model")
    learner, x, y = fitted
    other = linear_model.LogisticRegression(fit_intercept=False).fit(x, y)
    assert learner.score(x, y) == pytest.approx(other.score(x, y), abs=0.005)


def test_a_cube_of_corners_is_rejected_and_does_not_predict():
    x, y = labelled()
    corners = np.sign(x)
    learner = TesterLearner(eta=0.1, sigma=0.05).fit(corners, y)
    assert isinstance(learner.result_, Refusal) and "strip mass" in learner.result_.reason
    with pytest.raises(Rejected, match="strip mass"):
        learner.predict(corners)
    assert learner.set_params(if_rejected="predict").predict(corners).shape == (len(x),)


def test_whitening_rescues_a_stretched_gaussian_and_gives_w_in_old_coordinates():
    x, y = labelled()
    stretch = np.array([[4.0, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0.1, 0], [1, 0, 0, 1]])
    assert isinstance(TesterLearner(eta=0.1, sigma=0.05).fit(x @ stretch, y).result_, Refusal)
    learner = TesterLearner(eta=0.1, sigma=0.05, whiten=True).fit(x @ stretch, y)
    assert isinstance(learner.result_, Certified)
    assert learner.score(x @ stretch, y) == pytest.approx(0.9, abs=0.01)
    with pytest.raises(UsageError, match="linearly dependent"):
        TesterLearner(whiten=True).fit(x[:, [0, 1, 1]], y)


def test_adversarial_noise_tries_wider_strips():
    x, y = labelled(60_000, flips=0.0)
    y[np.argsort(-np.abs(x.sum(1)))[:600]] *= -1
    learner = TesterLearner(noise="adversarial", sigma=0.1).fit(x, y)
    assert isinstance(learner.result_, Certified)
    assert 0 <= (learner.predict(x) != y).mean() - 0.01 <= learner.result_.excess_bound < 0.05


def test_the_same_seed_gives_the_same_halfspace_from_any_container(fitted):
    learner, x, y = fitted
    again = TesterLearner(eta=0.1, sigma=0.05).fit(torch.tensor(x), torch.tensor(y))
    np.testing.assert_array_equal(again.coef_, learner.coef_)

    class Table:
        columns = ("a", "b", "c", "d")

        def to_numpy(self):
            return x

    named = TesterLearner(eta=0.1, sigma=0.05).fit(Table(), y)
    np.testing.assert_array_equal(named.coef_, learner.coef_)
    assert list(named.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        named.predict(x)


def test_parameters_are_stored_shown_and_refused():
    learner = TesterLearner(eta=0.3)
    assert repr(learner) == "TesterLearner(eta=0.3)"
    assert learner.get_params()["eta"] == 0.3
    with pytest.raises(UsageError, match="no parameter 'etta'; did you mean 'eta'"):
        learner.set_params(etta=1)
    x, y = labelled(100)
    for change, match in [
        ({"eta": 0.7}, "no Massart noise"), ({"sigma": 0}, "no width"), ({"if_rejected": "shrug"}, "'shrug'"),
        ({"target": "cauchy"}, "'cauchy' is unknown"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=match):
            TesterLearner(**change).fit(x, y)
    with pytest.raises(UsageError, match="Column 1 of X is constant"):
        TesterLearner().fit(np.column_stack([x[:, 0], np.ones(100)]), y)
    with pytest.raises(UsageError, match="minimum of 10"):
        TesterLearner().fit(x[:5], y[:5])
    assert pickle.loads(pickle.dumps(learner)).eta == 0.3


@pytest.mark.slow
# No warning but the one that says the class does not inherit from scikit-learn's.
@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("estimator", [TesterLearner(if_rejected="predict"), PolynomialL1(degree=2, iterations=10)])
def test_scikit_learn_takes_it_for_an_estimator(estimator):
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    checks.check_estimator(estimator)
