"""The Weibull mixture against SciPy's densities, synthetic data and a second implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Seed, UsageError
from educe.reason import WeibullMixture, weibull_prune
from educe.reason.pruning import log_density

scipy_stats = pytest.importorskip("scipy.stats")


@given(st.floats(0.01, 20), st.floats(0.01, 50), st.floats(1e-4, 30))
def test_the_density_is_scipys(shape, scale, x):
    expected = scipy_stats.weibull_min.logpdf(x, shape, scale=scale)
    assert log_density(np.array([x]), shape, scale)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_it_recovers_a_mixture():
    rng = Seed(1).numpy()
    high = 2.0 * rng.weibull(8.0, 3000)
    low = 0.4 * rng.weibull(1.5, 2000)
    keep, mixture = weibull_prune(np.concatenate([high, low]))
    # Standard errors are about .01 for the weight and 2 % for the rest; the tolerances are over five of them.
    assert mixture.weight == pytest.approx(0.6, abs=0.05)
    assert (mixture.high_shape, mixture.high_scale) == pytest.approx((8.0, 2.0), rel=0.12)
    assert (mixture.low_shape, mixture.low_scale) == pytest.approx((1.5, 0.4), rel=0.12)
    assert keep[:3000].mean() > 0.99 and keep[3000:].mean() < 0.05 and not mixture.on_bound


def test_its_likelihood_is_that_of_scipys_densities():
    values = Seed(2).numpy().uniform(0.05, 1.0, 40)
    _, m = weibull_prune(values)
    density = m.weight * scipy_stats.weibull_min.pdf(values, m.high_shape, scale=m.high_scale)
    density += (1 - m.weight) * scipy_stats.weibull_min.pdf(values, m.low_shape, scale=m.low_scale)
    assert m.log_likelihood == pytest.approx(np.log(density).sum())
    high = m.weight * scipy_stats.weibull_min.pdf(values, m.high_shape, scale=m.high_scale) / density
    assert m.high_posterior(values) == pytest.approx(high)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40).filter(lambda values: max(values) > 1e-6), st.booleans())
def test_something_is_always_kept_and_only_the_lower_go(values, scale):
    keep, mixture = weibull_prune(values, scale=scale)
    assert keep.any() and keep[int(np.argmax(values))]
    assert (mixture is None) == (len(values) < 8)
    dropped = np.array(values)[~keep]
    assert (dropped < np.mean(values)).all()


def test_scaling_first_makes_it_invariant():
    values = Seed(3).numpy().uniform(0.0, 1.0, 60) ** 3
    plain = weibull_prune(values, scale=True)
    for factor in (1e-200, 1e-6, 7.0):
        assert weibull_prune(values * factor, scale=True).keep.tolist() == plain.keep.tolist()


def test_equal_paths_all_stay():
    assert weibull_prune([0.25] * 20).keep.all()
    assert weibull_prune([1e-300] * 20, scale=True).keep.all()


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [-0.1, 0.5], [float("nan")], [float("inf")], [[0.1]]])
def test_bad_probabilities_are_refused(bad):
    with pytest.raises(UsageError):
        weibull_prune(bad)


def test_names_of_the_two_components_go_by_their_means():
    mixture = WeibullMixture(0.5, 2.0, 3.0, 2.0, 1.0, 0.0, False)
    assert mixture.high_posterior([5.0])[0] > 0.99 and mixture.high_posterior([0.2])[0] < 0.5
