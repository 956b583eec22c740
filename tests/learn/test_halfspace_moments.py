"""T1 to T3 against population values, a search over halfspaces, and a second way to the eigenvalue."""

import math

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import check_spread, check_strip_mass, disagreement_bound
from educe.learn.halfspace_moments import DENSE_DIMENSIONS, complement, unit


@pytest.fixture(scope="module")
def gaussian():
    return np.random.default_rng(0).normal(size=(200_000, 5))


def test_the_strip_of_a_gaussian_holds_what_it_should(gaussian):
    # 16,000 points in the strip: standard error 0.8 %, and 1.4 % in its third; 6 of them are below 1e-8.
    whole, inner = check_strip_mass([1, 2, 3, 4, 5], gaussian, sigma=0.2)
    exact = math.erf(0.1 / math.sqrt(2)) / (0.2 / math.sqrt(2 * math.pi))
    assert whole.value == pytest.approx(exact, abs=0.05)
    assert inner.value == pytest.approx(1.0, abs=0.09)
    assert whole.passed and inner.passed


def test_the_spread_of_a_gaussian_is_one_one_two(gaussian):
    smallest, largest, fourth = (test.value for test in check_spread(gaussian))
    assert smallest == pytest.approx(1, abs=0.03)
    assert largest == pytest.approx(1, abs=0.03)
    assert fourth == pytest.approx(2, abs=0.25)


def test_the_fourth_moment_is_the_largest_variance_of_a_quadratic_form():
    z = np.random.default_rng(1).laplace(size=(4000, 3))
    products = np.einsum("ni,nj->nij", z, z).reshape(len(z), -1)
    expected = np.linalg.eigvalsh(np.cov(products.T, bias=True))[-1]  # antisymmetric forms have variance zero
    assert check_spread(z)[2].value == pytest.approx(expected, rel=1e-9)


def test_lanczos_agrees_with_the_dense_way(monkeypatch):
    pytest.importorskip("scipy")
    z = np.random.default_rng(2).normal(size=(3000, 6))
    dense = check_spread(z)[2].value
    monkeypatch.setattr("educe.learn.halfspace_moments.DENSE_DIMENSIONS", 5)
    assert check_spread(z)[2].value == pytest.approx(dense, rel=1e-5)
    assert DENSE_DIMENSIONS == 60


@pytest.mark.parametrize("law", ["normal", "laplace", "standard_cauchy"])
def test_the_first_moment_is_never_below_its_bound(law):
    z = getattr(np.random.default_rng(3), law)(size=(3000, 4))
    smallest, _, fourth = (test.value for test in check_spread(z))
    bound = smallest**1.5 / math.sqrt(smallest**2 + fourth)
    for v in np.random.default_rng(4).normal(size=(300, 4)):
        assert np.abs(z @ unit(v, 4)).mean() >= bound


@pytest.mark.parametrize("theta", [0.0132, 0.05, 0.2])
def test_disagreement_of_a_gaussian_is_bounded_closely(gaussian, theta):
    bound = disagreement_bound([0, 0, 1, 0, 0], gaussian, theta)
    assert theta / math.pi < bound < 1.6 * theta


@pytest.mark.parametrize("law", ["normal", "heavy", "clusters", "lattice", "shifted"])
def test_no_halfspace_within_the_angle_disagrees_more(law):
    """Soundness by search: random directions, then coordinate steps towards more disagreement."""
    random = np.random.default_rng(5)
    n, d, theta = 4000, 4, 0.15
    x = {
        "normal": lambda: random.normal(size=(n, d)),
        "heavy": lambda: random.standard_t(1.5, size=(n, d)),
        "clusters": lambda: random.normal(size=(n, d)) * 0.1 + random.choice([-1, 1], size=(n, 1)) * [0.05, 1, 0, 0],
        "lattice": lambda: random.integers(-3, 4, size=(n, d)).astype(float),
        "shifted": lambda: random.normal(size=(n, d)) + np.array([0, 2, 0, 0]),
    }[law]()
    w = unit([1, 0, 0, 0], d)
    bound = disagreement_bound(w, x, theta)
    basis = complement(w)
    sides = x @ w >= 0

    def disagreement(u, angle=theta):
        direction = math.cos(angle) * w + math.sin(angle) * (basis @ unit(u, d - 1))
        return ((x @ direction >= 0) != sides).mean()

    worst = 0.0
    for start in random.normal(size=(20, d - 1)):
        u, best = start, disagreement(start)
        for _ in range(40):
            other = u + 0.3 * random.normal(size=d - 1)
            value = disagreement(other)
            if value > best:
                u, best = other, value
        worst = max(worst, best, disagreement(u, theta / 2))
    assert 0 < worst <= bound


def test_disagreement_grows_with_the_angle_and_ends_at_one(gaussian):
    x = gaussian[:2000]
    bounds = [disagreement_bound([1, 0, 0, 0, 0], x, theta) for theta in (0, 0.01, 0.1, 0.5, 1.0, math.pi / 2, 3)]
    assert bounds == sorted(bounds) and bounds[0] == 0 and bounds[-1] == 1


def test_bad_input_is_named(gaussian):
    with pytest.raises(UsageError, match="w has 2 entries but X has 5"):
        disagreement_bound([1, 2], gaussian, 0.1)
    with pytest.raises(UsageError, match="no direction"):
        disagreement_bound(np.zeros(5), gaussian, 0.1)
    with pytest.raises(UsageError, match="no angle"):
        disagreement_bound(np.ones(5), gaussian, -0.1)
    with pytest.raises(UsageError, match="no width"):
        check_strip_mass(np.ones(5), gaussian, sigma=0)
    with pytest.raises(UsageError, match="'uniform' is unknown"):
        check_spread(gaussian[:100], target="uniform")
    with pytest.raises(UsageError, match="row 1, column 0"):
        check_spread([[1.0, 2.0], [math.nan, 3.0]])
