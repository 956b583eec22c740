"""Each scheme: its exact law has the right mean, and its draws follow that law."""

from collections import Counter
from fractions import Fraction as F

import pytest

from educe.core import UsageError
from educe.prob import Ancestors, LogNumber, log_of
from educe.prob.resampling import SCHEMES

WEIGHTS = [F(1), F(0), F(5), F(2)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n", [1, 3, 4])
def test_the_expected_number_of_offspring_is_proportional(scheme, n):
    law = list(Ancestors(WEIGHTS, scheme, n).enumerate())
    assert sum(p for _, p in law) == 1
    for index, weight in enumerate(WEIGHTS):
        assert sum(p * ancestors.count(index) for ancestors, p in law) == n * weight / 8


@pytest.mark.parametrize("scheme", SCHEMES)
def test_draws_follow_the_law(scheme):
    dist = Ancestors([LogNumber(log_of(w) + 900) for w in WEIGHTS], scheme)
    law = {ancestors: float(p) for ancestors, p in Ancestors(WEIGHTS, scheme).enumerate()}
    counts = Counter(dist.sample(4_000, seed=2))
    assert set(counts) <= set(law)
    for ancestors, p in law.items():
        # Six standard deviations of at most 35 outcomes: 7e-8.
        assert abs(counts[ancestors] - 4_000 * p) <= 6 * (4_000 * p * (1 - p)) ** 0.5 + 1e-6


def test_no_mass_has_no_ancestors():
    with pytest.raises(UsageError, match="zero"):
        Ancestors([F(0), F(0)])
