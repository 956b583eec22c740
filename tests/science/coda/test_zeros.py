"""Zero replacement against composition-stats and against the two things that it promises to keep."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.science import closure, replace_zeros


@pytest.fixture
def table():
    amounts = np.random.default_rng(0).lognormal(size=(30, 4))
    amounts[::5, 1] = 0
    amounts[::7, 3] = 0
    return closure(amounts)


def test_sums_and_observed_ratios_stay(table):
    done = replace_zeros(table, 0.01)
    assert (done.amounts > 0).all()
    np.testing.assert_allclose(done.amounts.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(done.amounts[:, 0] / done.amounts[:, 2], table[:, 0] / table[:, 2], rtol=1e-13)
    assert done.amounts[table == 0] == pytest.approx(0.0065)
    assert done.replaced == {"1": 6, "3": 5} and done.share == pytest.approx(11 / 120)


def test_it_agrees_with_composition_stats(table):
    peer = pytest.importorskip("composition_stats")
    theirs = peer.multiplicative_replacement(table, delta=0.0065)
    np.testing.assert_allclose(replace_zeros(table, 0.01).amounts, theirs, atol=1e-14)


def test_readings_that_were_never_closed_keep_what_was_seen():
    done = replace_zeros([[0, 4, 0], [2, 8, 1]], [2.0, 1.0, 1.0], keep_sums=False)
    np.testing.assert_allclose(done.amounts, [[1.3, 4, 0.65], [2, 8, 1]])


def test_a_limit_is_guessed_from_the_part_alone():
    done = replace_zeros([[0.0, 4.0, 6.0], [0.5, 3.0, 6.5]])
    assert done.amounts[0, 0] == pytest.approx(0.325)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([[0.0, 1.0], [0.0, 2.0]], {}, "part '0' are zero"),
        ([[0.0, 0.0], [1.0, 2.0]], {}, "sample 0"),
        ([[-1.0, 1.0]], {}, "Negative"),
        ([[0.0, 1.0], [1.0, 1.0]], {"detection_limit": 5.0}, "smaller detection limit"),
        ([[0.0, 1.0], [1.0, 1.0]], {"detection_limit": [0.1, 0.1, 0.1]}, "neither"),
        ([[0.0, 1.0], [1.0, 1.0]], {"detection_limit": -1.0}, "neither"),
        ([[0.0, 1.0], [1.0, 1.0]], {"fraction": 0.0}, "fraction"),
    ],
)
def test_what_makes_no_sense_is_refused(x, options, message):
    with pytest.raises(UsageError, match=message):
        replace_zeros(x, **options)
