"""The doubly robust average: coverage in known worlds, closed forms, refusal without overlap, bad input."""

import numpy as np
import pytest
import torch

from educe.causal import TLearner, average_effect, overlap, robustness_value
from educe.core import Posterior, Refusal, UsageError


def world(n, seed=0, pull=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    t = (rng.logistic(size=n) < pull * x[:, 0]).astype(float)
    return x, t, x[:, 0] + (2 + x[:, 1]) * t + rng.normal(size=n)


@pytest.mark.slow
def test_intervals_cover_as_often_as_they_say():
    """200 worlds at 0.9: five standard errors are 0.106, so a false alarm is rarer than one in a million."""
    hits = 0
    for seed in range(200):
        low, high = average_effect(*world(300, seed), mass=0.9).details["interval"]
        hits += low < 2 < high
    assert abs(hits / 200 - 0.9) < 0.106


@pytest.mark.slow
def test_it_is_right_if_either_model_is():
    """An outcome model that knows nothing, with the right propensity; five standard errors."""

    class Nothing:
        def fit(self, x, y):
            return self

        def predict(self, x):
            return np.zeros(len(x))

    found = average_effect(*world(4000), TLearner(Nothing()))
    assert abs(found.details["effect"] - 2) < 5 * found.details["standard_error"]
    x, t, y = world(4000)
    assert abs(y[t == 1].mean() - y[t == 0].mean() - 2) > 0.5


def test_the_answer_carries_overlap_placebo_and_sensitivity():
    pandas = pytest.importorskip("pandas")
    x, t, y = world(500)
    found = average_effect(pandas.DataFrame(x, columns=["a", "b"]), torch.as_tensor(t), y.tolist(), seed=3)
    assert isinstance(found, Posterior)
    details = found.details
    assert details == average_effect(x, t, y, seed=3).details
    assert details["placebo"]["passed"] and abs(details["placebo"]["effect"]) < abs(details["effect"])
    report = details["overlap"]
    assert report["column"] == 0 and 0 <= report["lowest"] < report["highest"] <= 1 and report["outside"] < 0.1
    assert all(10 < units < 500 for units in report["effective"])
    assert 0.2 < details["robustness_value"] < 1
    assert float(found.expect(lambda d: d["effect"])) == pytest.approx(details["effect"], abs=0.02)


def test_without_overlap_the_answer_is_a_refusal_that_names_the_column():
    x, t, y = world(400, pull=40.0)
    found = average_effect(x[:, ::-1], t, y)
    assert isinstance(found, Refusal) and "column 1 of x" in found.reason and "no counterparts" in found.reason
    assert found.certificate.outside > 0.1


def test_a_randomised_treatment_overlaps():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(2000, 2)), rng.integers(0, 2, 2000)
    report = overlap(x, t)
    assert report.outside == 0 and report.imbalance < 0.25
    # Weights near 2 for all: nearly every unit counts.
    assert sum(report.effective) > 1950


def test_the_robustness_value_in_closed_form():
    """With r the value, r / sqrt(1 - r) equals the partial f, by its definition."""
    for t_statistic in (0.5, 2.0, 9.0):
        value = robustness_value(t_statistic, 100)
        assert value / np.sqrt(1 - value) == pytest.approx(t_statistic / 10)
    assert robustness_value(-2.0, 100) == robustness_value(2.0, 100) > robustness_value(2.0, 100, 0.5)
    assert robustness_value(0.0, 5) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, t, y: ((x, t, y), {"folds": 1}), "folds=1"),
        (lambda x, t, y: ((x, t, y), {"mass": 0}), "mass=0"),
        (lambda x, t, y: ((x, t, y), {"allowed": 1}), "allowed=1"),
        (lambda x, t, y: ((x, t * 3, y), {}), "t holds 3"),
        (lambda x, t, y: ((np.c_[x, x[:, 0] * 0], t, y), {}), "Column 2 of x is constant"),
        (lambda x, t, y: ((x, t, y * np.nan), {}), "y contains NaN"),
        (lambda x, t, y: ((x, np.eye(100)[0], y), {}), "Arm t=1 has 1 units"),
    ],
)
def test_bad_input_is_refused(change, words):
    arguments, extra = change(*world(100))
    with pytest.raises(UsageError, match=words):
        average_effect(*arguments, **extra)


@pytest.mark.parametrize("wrong", [(1.0, 0), (float("nan"), 5), (1.0, 5, 0.0)])
def test_bad_statistics_are_refused(wrong):
    with pytest.raises(UsageError, match="out of range"):
        robustness_value(*wrong)
