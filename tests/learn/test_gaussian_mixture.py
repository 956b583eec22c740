"""EM against scikit-learn's, exact responsibilities and its own monotonicity."""

import itertools
import math

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import CategoricalTable, GaussianMixture, MLEThenERM

CENTRES = np.array([[4.0, 0, 0], [0, 4, 0], [0, 0, 4], [-4, -4, 0]])


def draw(m=2000, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    z = random.integers(len(CENTRES), size=m)
    return CENTRES[z] + spread * random.normal(size=(m, 3)), z


def matched(means):
    """Distance to the true centres under the best permutation."""
    return min(np.abs(means[list(order)] - CENTRES).max() for order in itertools.permutations(range(len(CENTRES))))


def test_the_centres_are_found():
    # 500 points a cluster: a standard error of 0.045 for each of 12 coordinates, 0.27 is six of them.
    model = GaussianMixture(4).fit(draw()[0])
    assert matched(model.means_) < 0.27
    assert model.log_likelihoods_.shape == (5,)


def test_the_density_and_the_responsibilities_are_exact():
    model = GaussianMixture.known(CENTRES, variance=2.0)
    x = draw(5)[0]
    kernel = np.exp(-((x[:, None] - CENTRES) ** 2).sum(2) / 4) / (4 * math.pi) ** 1.5 / 4
    np.testing.assert_allclose(model.log_prob(x), np.log(kernel.sum(1)))
    np.testing.assert_allclose(model.represent(x), kernel / kernel.sum(1, keepdims=True))
    posterior = model.posterior(x[0])
    np.testing.assert_allclose(posterior.probabilities.numpy(), model.represent(x[:1])[0])
    assert posterior.mode() == kernel[0].argmax()


def test_more_steps_are_never_less_likely():
    x = draw(300)[0]
    values = [
        GaussianMixture(4, starts=1, iterations=k, tolerance=1e-300, seed=3).fit(x).log_likelihoods_[0]
        for k in range(1, 15)
    ]
    assert (np.diff(values) >= -1e-12).all()


def test_scikit_learn_finds_the_same_optimum():
    mixture = pytest.importorskip("sklearn.mixture")
    x, _ = draw(3000)
    theirs = mixture.GaussianMixture(4, covariance_type="spherical", n_init=3, random_state=0).fit(x)
    ours = GaussianMixture(4, "learn").fit(x)
    assert ours.variance_ == pytest.approx(theirs.covariances_.mean(), abs=0.02)
    # It fits weights and variances too, so it can only be a little more likely.
    assert -0.002 < theirs.score(x) - ours.log_prob(x).mean() < 0.01


def test_the_names_of_clusters_do_not_matter_to_predictions():
    x, z = draw(400)
    y = np.array(["even", "odd"])[z % 2]
    orders = ([0, 1, 2, 3], [3, 1, 0, 2])
    first, second = (
        MLEThenERM(GaussianMixture.known(CENTRES[order]), CategoricalTable()).fit(None, x[:60], y[:60]).predict(x)
        for order in orders
    )
    np.testing.assert_array_equal(first, second)
    assert (first == y).mean() > 0.97


def test_one_cluster_is_the_mean_and_equal_seeds_agree():
    x, _ = draw(50)
    model = GaussianMixture(1, "learn").fit(x)
    np.testing.assert_allclose(model.means_[0], x.mean(0))
    assert model.variance_ == pytest.approx(x.var(0).mean())
    np.testing.assert_array_equal(GaussianMixture(3).fit(x).means_, GaussianMixture(3).fit(x).means_)


def test_bad_input_is_named():
    x, _ = draw(10)
    for model, match in [
        (GaussianMixture(0), "components=0"), (GaussianMixture(2, -1.0), "no variance"),
        (GaussianMixture(2, starts=0), "starts=0"), (GaussianMixture(11), "10 sample"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=match):
            model.fit(x)
    with pytest.raises(UsageError, match="All rows of X are equal"):
        GaussianMixture(2, "learn").fit(np.ones((5, 2)))
    with pytest.raises(UsageError, match="fit these 2 points exactly"):
        GaussianMixture(2, "learn").fit([[0.0, 0.0], [5.0, 5.0]])
    with pytest.raises(UsageError, match="NaN or infinity"):
        GaussianMixture(2).fit([[0.0, math.inf], [1.0, 2.0]])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_takes_it_for_a_transformer():
    pytest.importorskip("sklearn.utils.estimator_checks").check_estimator(GaussianMixture(2))
