"""Metrics against scikit-learn, closed forms and invariants."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Seed, UsageError
from educe.uncertainty import (
    auroc,
    binned,
    bootstrap,
    brier,
    ece,
    fit_temperature,
    murphy,
    reliability,
    rms_ce,
    selective_curve,
)

predictions = st.lists(
    st.tuples(st.integers(0, 20).map(lambda v: v / 20), st.integers(0, 1)), min_size=1, max_size=60
).map(lambda pairs: tuple(np.array(column, dtype=float) for column in zip(*pairs, strict=True)))


def forecaster(n, seed=0):
    """Probabilities and outcomes of a perfect forecaster."""
    rng = Seed(seed).child("forecaster").numpy()
    p = rng.random(n)
    return p, (rng.random(n) < p).astype(float)


def test_a_perfect_forecaster_is_calibrated():
    errors = [ece(*forecaster(n)) for n in (300, 30_000)]
    # Mean distance in a bin of n/10 predictions is below .5 sqrt(10/n): .0091 for 30,000.
    assert errors[1] < 0.0125 < errors[0] + 0.02
    assert brier(*forecaster(100_000)) == pytest.approx(1 / 6, abs=0.005)


def test_a_constant_forecaster():
    y = np.array([1.0] * 30 + [0.0] * 70)
    p = np.full(100, 0.3)
    assert ece(p, y) == pytest.approx(0.0, abs=1e-12) and brier(p, y) == pytest.approx(0.21) and auroc(p, y) == 0.5


@given(predictions, st.integers(1, 12), st.sampled_from(["equal", "width"]))
def test_the_root_mean_square_is_never_below_the_mean(pair, bins, mass):
    assert rms_ce(*pair, bins, mass) >= ece(*pair, bins, mass) - 1e-12


@given(predictions, st.integers(1, 12), st.sampled_from(["equal", "width"]), st.randoms())
def test_the_order_of_the_predictions_does_not_matter(pair, bins, mass, random):
    order = list(range(len(pair[0])))
    random.shuffle(order)
    assert ece(pair[0][order], pair[1][order], bins, mass) == pytest.approx(ece(*pair, bins, mass))
    assert binned(*pair, bins, mass).weight.sum() == pytest.approx(1.0)


@given(predictions)
def test_it_agrees_with_scikit_learn(pair):
    metrics = pytest.importorskip("sklearn.metrics")
    p, y = pair
    assert brier(p, y) == pytest.approx(metrics.brier_score_loss(y, p, pos_label=1))
    if 0 < y.sum() < len(y):
        assert auroc(p, y) == pytest.approx(metrics.roc_auc_score(y, p))
    else:
        assert math.isnan(auroc(p, y))


@pytest.mark.parametrize(("mass", "strategy"), [("width", "uniform"), ("equal", "quantile")])
def test_bins_are_those_of_scikit_learn(mass, strategy):
    curve = pytest.importorskip("sklearn.calibration").calibration_curve
    p, y = forecaster(1000, seed=3)
    truth, stated = curve(y, p, n_bins=10, strategy=strategy)
    found = binned(p, y, 10, mass)
    assert found.confidence == pytest.approx(stated, abs=1e-3 if mass == "equal" else 1e-12)
    assert found.accuracy == pytest.approx(truth, abs=0.015 if mass == "equal" else 1e-12)


@pytest.mark.slow
def test_calibration_errors_agree_with_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    import torch

    p, y = forecaster(500, seed=4)
    for norm, ours in (("l1", ece), ("l2", rms_ce)):
        theirs = functional.binary_calibration_error(torch.tensor(p), torch.tensor(y).int(), n_bins=10, norm=norm)
        assert ours(p, y, 10, "width") == pytest.approx(float(theirs), abs=1e-6)


def test_rates_are_expectations_over_trials():
    rates, p = np.array([0.25, 1.0, 0.5]), np.array([0.3, 0.9, 0.1])
    trials = np.repeat(np.arange(3), 4)
    y = np.array([1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0.0])
    for metric in (brier, auroc, ece, rms_ce):
        assert metric(p, rates) == pytest.approx(metric(p[trials], y)), metric


@given(predictions)
def test_the_brier_score_splits(pair):
    parts = murphy(*pair)
    assert parts.reliability - parts.resolution + parts.uncertainty == pytest.approx(brier(*pair))


def test_a_reliability_diagram_has_wilsons_intervals():
    statsmodels = pytest.importorskip("statsmodels.stats.proportion")
    found = reliability([0.7] * 50, [1] * 40 + [0] * 10)
    low, high = statsmodels.proportion_confint(40, 50, method="wilson")
    # Ten bins of equal mass on one tie: each holds 5 predictions and the mean outcome.
    assert found.counts.tolist() == [5.0] * 10 and found.accuracy == pytest.approx([0.8] * 10)
    one = reliability([0.7] * 50, [1] * 40 + [0] * 10, bins=1)
    assert (one.low[0], one.high[0]) == pytest.approx((low, high), abs=1e-4)
    assert one.ece == pytest.approx(0.1) and one.variant == "1 bins of equal mass"


def test_selective_accuracy_is_best_first():
    p, y = forecaster(2000, seed=5)
    curve = selective_curve(p, y)
    assert curve.coverage[-1] == 1.0 and curve.accuracy[-1] == pytest.approx(y.mean())
    assert curve.accuracy[199] > 0.9 and curve.area < 1 - y.mean()
    ideal = selective_curve([0.9, 0.8, 0.2], [1, 1, 0])
    assert ideal.accuracy.tolist() == pytest.approx([1, 1, 2 / 3]) and ideal.area == pytest.approx(1 / 9)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_temperature_is_recovered(temperature):
    rng = Seed(6).numpy()
    logits = rng.normal(0, 3, size=(20_000, 4))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (shares.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    # Standard error about .01 for 20,000 items.
    assert fit_temperature(logits * temperature, y) == pytest.approx(temperature, rel=0.06)
    assert fit_temperature(logits[:, 0] * 0 + 3.0, [0.5] * 20_000) == pytest.approx(100.0)
    assert fit_temperature([5.0, 5.0], [1, 1]) == pytest.approx(0.01)


def test_a_temperature_agrees_with_a_grid():
    rng = Seed(7).numpy()
    logits = rng.normal(0, 4, size=200)
    y = 1 / (1 + np.exp(-logits / 2.5))
    grid = np.geomspace(0.2, 50, 4000)
    scaled = logits[:, None] / grid
    loss = (np.logaddexp(0, scaled) - y[:, None] * scaled).sum(0)
    assert fit_temperature(logits, y) == pytest.approx(grid[loss.argmin()], rel=0.01)


def test_a_bootstrap_interval_covers_a_mean():
    rng = Seed(8).numpy()
    x = rng.normal(0, 1, size=400)
    found = bootstrap(np.mean, x, mass=0.95, replicates=4000)
    assert found.value == x.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.1)
    paired = bootstrap(lambda a, b: (a - b).mean(), x, x + 1.0)
    assert (paired.low, paired.high) == pytest.approx((-1.0, -1.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda: ece([0.5], [0.5, 1.0]),
        lambda: ece([], []),
        lambda: brier([1.5], [1]),
        lambda: brier([float("nan")], [1]),
        lambda: brier([0.5], [2]),
        lambda: auroc([float("nan"), 1.0], [0, 1]),
        lambda: ece([0.5], [1], 0),
        lambda: ece([0.5], [1], 10, "mass"),
        lambda: fit_temperature([[1.0, 2.0]], [2]),
        lambda: fit_temperature([[1.0, float("inf")]], [0]),
        lambda: fit_temperature([1.0, 2.0], [0]),
        lambda: fit_temperature([[1.0, 2.0]], [0.5]),
        lambda: bootstrap(np.mean, []),
        lambda: bootstrap(np.mean, [1.0], [1.0, 2.0]),
        lambda: bootstrap(np.mean, [1.0], mass=1.0),
        lambda: bootstrap(np.mean, [1.0], replicates=0),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(UsageError):
        call()
