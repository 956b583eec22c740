"""Algorithm, exact risk, informativeness and rates against closed forms and simulation."""

import math

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import (
    FactorModel,
    FactorWorld,
    Head,
    LatentModel,
    LeastSquares,
    MLEThenERM,
    excess_risk,
    informativeness,
    label_equivalent,
    rate_sweep,
)


@pytest.fixture(scope="module")
def world():
    return FactorWorld.draw(d=20, rank=3, seed=0)


def test_the_excess_risk_is_that_of_a_large_test_set(world):
    x, y = world.labelled(60, seed=1)
    model = world.model().fit(world.unlabelled(500, seed=2), x, y)
    fresh, labels = world.labelled(400_000, seed=3)
    measured = np.mean((model.predict(fresh) - labels) ** 2) - np.mean((fresh @ world.best - labels) ** 2)
    # The difference has a standard deviation of at most 2 sqrt(v * excess) per point: 1.3e-3 in the mean, here x5.
    assert measured == pytest.approx(excess_risk(model, world), abs=6e-3)
    assert excess_risk(world.best, world) == 0


def test_no_linear_predictor_beats_the_best(world):
    x, y = world.labelled(300_000, seed=4)
    np.testing.assert_allclose(np.linalg.lstsq(x, y, rcond=None)[0], world.best, atol=0.02)
    assert np.var(y - x @ world.best) == pytest.approx(world.conditional_variance, rel=0.02)


def test_with_the_loadings_known_the_risk_is_that_of_random_design_regression(world):
    """E excess = r v / (n - r - 1) exactly; 800 draws have a standard error of 3.3 %, and 20 % is six of them."""
    n, rank = 30, 3
    risks = []
    for seed in range(800):
        x, y = world.labelled(n, seed)
        risks.append(excess_risk(world.known().fit(None, x, y), world))
    assert np.mean(risks) == pytest.approx(rank * world.conditional_variance / (n - rank - 1), rel=0.2)


def test_many_unlabelled_points_equal_known_loadings(world):
    x, y = world.labelled(50, seed=5)
    known = excess_risk(world.known().fit(None, x, y), world)
    pretrained = excess_risk(world.model().fit(world.unlabelled(300_000, seed=6), x, y), world)
    assert pretrained == pytest.approx(known, abs=3e-3)


def test_when_labels_depend_on_the_noise_unlabelled_points_do_not_help():
    base = FactorWorld.draw(d=20, rank=3, seed=0)
    outside = np.zeros(20)
    outside[0] = 1.0
    wrong = FactorWorld(base.loadings, base.weights, base.label_variance, outside)
    x, y = wrong.labelled(5000, seed=7)
    points = wrong.unlabelled(100_000, seed=8)
    assert wrong.excess(wrong.model().fit(points, x, y)) > 0.5
    # The same labels on x itself have no such floor.
    assert excess_risk(LeastSquares().fit(x, y), wrong) < 0.02


def test_kappa_is_moderate_near_the_truth_and_grows_as_a_factor_fades():
    random = np.random.default_rng(0)
    kappas = []
    for strength in (3.0, 1.0, 0.3, 0.1):
        loadings = np.zeros((6, 2))
        loadings[0, 0], loadings[1, 1] = 3.0, strength
        turn = np.zeros((6, 2))
        turn[2:, 1] = 0.2 * strength * random.normal(size=4)
        kappas.append(informativeness(loadings + turn, FactorWorld(loadings, np.ones(2)), samples=40_000).kappa)
    assert kappas == sorted(kappas)
    assert 1 <= kappas[0] < 2 and kappas[-1] > 5


def test_distances_are_exact_in_one_factor():
    """Two loadings b and c of one column each: the marginals are two normal laws."""
    stats = pytest.importorskip("scipy.stats")
    b, c = 1.0, 2.0
    world = FactorWorld(np.array([[b], [0.0]]), np.ones(1))
    result = informativeness(np.array([[c], [0.0]]), world, samples=200_000)
    grid = np.linspace(-15, 15, 30_001)
    densities = [stats.norm.pdf(grid, 0, math.sqrt(1 + value**2)) for value in (b, c)]
    assert result.marginal == pytest.approx(np.trapezoid(np.abs(densities[0] - densities[1]), grid) / 2, abs=5e-3)
    # Given z the laws are N(b z, 1) and N(c z, 1): distance 2 Phi(|z| / 2) - 1, averaged over z.
    z = np.linspace(-8, 8, 4001)
    inner = 2 * stats.norm.cdf(np.abs(z) * (c - b) / 2) - 1
    assert result.joint == pytest.approx(np.trapezoid(inner * stats.norm.pdf(z), z), abs=5e-3)


def test_informativeness_does_not_see_rotations(world):
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    result = informativeness(world.loadings @ rotation, world, samples=1000)
    assert result.joint < 1e-6


def test_the_rates_are_one_over_m_and_one_over_n():
    table = rate_sweep(
        lambda seed: FactorWorld.draw(d=15, rank=2, seed=seed), [200, 800, 3200], [30, 120, 480],
        fixed_n=2000, fixed_m=3000, repetitions=30, seed=1,
    )  # fmt: skip
    assert table.slope_unlabelled.exponent == pytest.approx(-1, abs=0.3)
    assert table.slope_labelled.exponent == pytest.approx(-1, abs=0.3)
    assert table.slope_labelled.low < table.slope_labelled.exponent < table.slope_labelled.high
    assert all(len(values) == 30 for values in table.unlabelled.values())


def test_labels_are_read_off_a_power_law():
    curve = {n: 3.0 / n for n in (10, 50, 400, 1000)}
    assert label_equivalent(0.02, curve) == pytest.approx(150)
    assert label_equivalent(1.0, curve) == 0
    assert label_equivalent(1e-9, curve) == math.inf
    with pytest.raises(UsageError, match="cannot be read"):
        label_equivalent(0.0, curve)


def test_scikit_learn_fits_on_either_side(world):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = world.labelled(40, seed=9)
    points = world.unlabelled(1000, seed=10)
    ours = MLEThenERM(FactorModel(3, center=False), LeastSquares()).fit(points, x, y)
    theirs = MLEThenERM(FactorModel(3, center=False), linear_model.LinearRegression(fit_intercept=False))
    np.testing.assert_allclose(theirs.fit(points, x, y).predict(x), ours.predict(x))
    assert isinstance(FactorModel(), LatentModel) and isinstance(LeastSquares(), Head)
    assert ours.get_params()["latent__rank"] == 3
    assert ours.set_params(latent__rank=2).latent.rank == 2


def test_bad_input_is_named(world):
    x, y = world.labelled(10)
    with pytest.raises(UsageError, match="no latent model and head"):
        MLEThenERM().fit(x, x, y)
    with pytest.raises(ValueError, match="not fitted"):
        world.known().predict(x)
    with pytest.raises(UsageError, match="3 features, but FactorModel is expecting 20"):
        world.model().fit(x, x[:, :3], y)
    with pytest.raises(UsageError, match="weights has shape"):
        FactorWorld(np.ones((4, 2)), np.ones(3))
    with pytest.raises(UsageError, match="make no factor model"):
        FactorWorld.draw(d=2, rank=2)
    with pytest.raises(UsageError, match="5 weights, x has 20"):
        excess_risk(np.ones(5), world)
    with pytest.raises(UsageError, match="Give the same shape"):
        informativeness(np.ones((3, 2)), world)
    with pytest.raises(UsageError, match="gives no slope"):
        rate_sweep(lambda seed: world, [10], [10, 20], fixed_n=10, fixed_m=10)
