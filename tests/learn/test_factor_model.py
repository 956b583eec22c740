"""The closed form against likelihood searches, scikit-learn, SciPy's density and exact posteriors."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import FactorModel, LeastSquares, MLEThenERM


def world(m=3000, d=6, r=2, seed=0):
    random = np.random.default_rng(seed)
    loadings = random.normal(size=(d, r)) * 1.5
    z = random.normal(size=(m, r))
    return z @ loadings.T + random.normal(size=(m, d)), loadings, z


def test_no_other_loadings_are_more_likely():
    x, _, _ = world()
    model = FactorModel(2, center=False).fit(x)
    best = model.log_prob(x).mean()
    random = np.random.default_rng(1)
    for scale in (1e-3, 1e-2, 0.1, 1):
        for _ in range(20):
            other = model.loadings_ + scale * random.normal(size=(6, 2))
            assert FactorModel.known(other).log_prob(x).mean() <= best + 1e-12


def test_expectation_maximisation_ends_at_the_closed_form():
    x, _, _ = world(500)
    model = FactorModel(2, center=False).fit(x)
    second = x.T @ x / len(x)
    b = np.random.default_rng(2).normal(size=(6, 2))
    for _ in range(3000):  # Rubin and Thayer's EM with the noise fixed at one
        gain = np.linalg.solve(b.T @ b + np.eye(2), b.T)
        b = second @ gain.T @ np.linalg.inv(np.eye(2) - gain @ b + gain @ second @ gain.T)
    np.testing.assert_allclose(b @ b.T, model.loadings_ @ model.loadings_.T, atol=1e-6)


def test_the_density_is_the_gaussian_one():
    stats = pytest.importorskip("scipy.stats")
    x, loadings, _ = world(20)
    model = FactorModel.known(loadings, noise=0.7, mean=np.arange(6.0))
    exact = stats.multivariate_normal(np.arange(6.0), loadings @ loadings.T + 0.7 * np.eye(6)).logpdf(x)
    np.testing.assert_allclose(model.log_prob(x), exact)


def test_scikit_learn_agrees_on_learned_noise():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x, _, _ = world(400)
    ours, theirs = FactorModel(2, "learn").fit(x), decomposition.PCA(2).fit(x)
    # Its covariance is unbiased, ours the maximum of the likelihood.
    assert ours.noise_variance_ == pytest.approx(theirs.noise_variance_ * (len(x) - 1) / len(x))
    assert ours.log_prob(x).mean() == pytest.approx(theirs.score(x), abs=1e-4)


def test_the_posterior_is_the_regression_of_the_factors():
    x, loadings, z = world(200_000)
    model = FactorModel.known(loadings)
    weights = np.linalg.lstsq(x, z, rcond=None)[0]
    np.testing.assert_allclose(model.represent(x[:50]), x[:50] @ weights, atol=0.05)
    draws = model.posterior(x[0], n=40_000, seed=1)
    values = draws.values["z"].numpy()
    np.testing.assert_allclose(values.mean(0), model.represent(x[:1])[0], atol=0.03)
    np.testing.assert_allclose(np.cov(values.T), np.linalg.inv(loadings.T @ loadings + np.eye(2)), atol=0.01)


def test_predictions_do_not_depend_on_the_rotation_of_the_factors():
    x, loadings, z = world()
    y = z[:, 0]
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(2, 2)))[0]
    one, other = (
        MLEThenERM(FactorModel.known(b), LeastSquares()).fit(None, x[:50], y[:50]).predict(x)
        for b in (loadings, loadings @ rotation)
    )
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_weak_factors_are_shrunk_to_zero_and_refits_agree():
    x = np.random.default_rng(0).normal(size=(100, 5)) * 0.5
    model = FactorModel(2).fit(x)
    np.testing.assert_array_equal(model.loadings_, 0)
    np.testing.assert_array_equal(model.represent(x), 0)
    x, _, _ = world()
    np.testing.assert_array_equal(FactorModel(2).fit(x).loadings_, FactorModel(2).fit(x.copy()).loadings_)


def test_bad_input_is_named():
    x, _, _ = world(10)
    for model, match in [
        (FactorModel(0), "rank=0"), (FactorModel(6), "not below the 6 columns"), (FactorModel(2, 0.0), "no variance"),
        (FactorModel(2, "guess"), "no variance"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=match):
            model.fit(x)
    with pytest.raises(UsageError, match="fit these 2 points exactly"):
        FactorModel(2, "learn").fit(x[:2])
    with pytest.raises(UsageError, match="1 sample"):
        FactorModel(2).fit(x[:1])
    x[3, 2] = np.nan
    with pytest.raises(UsageError, match="row 3, column 2"):
        FactorModel(2).fit(x)
    with pytest.raises(ValueError, match="not fitted"):
        FactorModel(2).represent(x)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_takes_it_for_a_transformer():
    pytest.importorskip("sklearn.utils.estimator_checks").check_estimator(FactorModel(1))
