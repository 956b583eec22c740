"""The sensitivity curve: it moves with the assumed strength towards the truth; bad input."""

import numpy as np
import pytest

from educe.causal import VLUCI, sensitivity
from educe.core import UsageError


@pytest.mark.slow
def test_the_curve_moves_towards_the_truth():
    """Nothing is asserted on the gate: networks per arm can shape the outcome's law without any confounding."""
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(800, 2)), rng.normal(size=800)
    t = (rng.logistic(size=800) < 2 * c).astype(float)
    y = x[:, 0] + 2 * c + t + 0.2 * rng.normal(size=800)
    curve = sensitivity(VLUCI(hidden=(16,), epochs=60, batch=100), x, t, y, (0.0, 2.0))
    assert curve.gains[0] == curve.z_scores[0] == 0 and curve.supported == (max(curve.z_scores) > 3)
    assert abs(curve.effects[1] - 1) < 0.5 * abs(curve.effects[0] - 1)


@pytest.mark.parametrize("wrong", [(1.0, 2.0), (0.0, -1.0), (0.0, float("inf"))])
def test_strengths_without_zero_are_refused(wrong):
    x, t = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    with pytest.raises(UsageError, match="no zero to compare with"):
        sensitivity(VLUCI(), x, t, x[:, 0], wrong)


def test_it_needs_a_binary_treatment():
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(UsageError, match="log-odds"):
        sensitivity(VLUCI(treatment="continuous"), x, x[:, 1], x[:, 0], (0.0, 1.0))
