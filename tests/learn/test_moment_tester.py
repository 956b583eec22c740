"""Moments against SciPy and by hand; false alarms and power."""

import itertools
import math

import numpy as np
import pytest

from educe.core import Refusal, UsageError
from educe.learn import MomentsAccepted, MomentTester
from educe.learn.moment_tester import _gaussian_moment, monomial_exponents


def test_exponents_are_counted_and_distinct():
    for d, k in [(1, 4), (3, 4), (8, 4)]:
        items = monomial_exponents(d, k)
        assert len(items) == len(set(items)) == math.comb(d + k, k)


def test_gaussian_moments_are_those_of_quadrature():
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    for powers in itertools.product(range(5), repeat=2):
        exact = math.prod(float(weights @ nodes**power) for power in powers)
        assert _gaussian_moment(powers) == pytest.approx(exact, abs=1e-9)


def test_the_worst_moment_is_the_one_found_by_hand():
    x = np.random.default_rng(0).uniform(-1.7, 1.7, size=(3000, 2))
    result = MomentTester(degree=4).test(x)
    assert isinstance(result, Refusal)
    by_hand = {}
    for a, b in itertools.product(range(5), repeat=2):
        if 0 < a + b <= 4:
            mean = (x[:, 0] ** a * x[:, 1] ** b).mean()
            expected, second = _gaussian_moment((a, b)), _gaussian_moment((2 * a, 2 * b))
            by_hand[a, b] = abs(mean - expected) / math.sqrt((second - expected**2) / len(x))
    worst = max(by_hand, key=by_hand.get)
    assert result.certificate.powers == worst
    assert result.certificate.deviation == pytest.approx(by_hand[worst])


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_a_gaussian_passes(degree):
    # delta = 1e-7, and 5 degrees: below one false alarm in a million.
    x = np.random.default_rng(degree).normal(size=(40_000, 3))
    result = MomentTester(degree, delta=1e-7).test(x)
    assert isinstance(result, MomentsAccepted) and result.accepted
    assert result.moments == math.comb(3 + degree, degree) - 1
    assert result.worst.deviation <= result.threshold


def test_only_enough_moments_tell_a_cube_from_a_gaussian():
    corners = np.random.default_rng(1).choice([-1.0, 1.0], size=(4000, 3))
    assert MomentTester(degree=2, delta=1e-7).test(corners).accepted
    assert isinstance(MomentTester(degree=4).test(corners), Refusal)


def test_bad_input_is_named():
    with pytest.raises(UsageError, match="degree=0 is out of range"):
        MomentTester(0)
    with pytest.raises(UsageError, match="delta=1"):
        MomentTester(delta=1)
    with pytest.raises(UsageError, match="minimum of 100"):
        MomentTester().test(np.zeros((5, 2)))
    with pytest.raises(UsageError, match="Column 0 of X is constant"):
        MomentTester().test(np.zeros((500, 2)))
    with pytest.raises(UsageError, match="Lower the degree"):
        MomentTester(8).test(np.random.default_rng(0).normal(size=(200, 20)))
