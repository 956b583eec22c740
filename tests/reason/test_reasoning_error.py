"""Exact errors against simulation, enumeration and the published special cases."""

import math
from itertools import product

import numpy as np
import pytest

from educe.core import Seed, UsageError
from educe.reason import reasoning_error

CASES = list(product((0.3, 0.6), (1, 3, 10), (1, 4, 16), (True, False)))


@pytest.mark.parametrize(("p", "k", "n", "correct"), CASES)
def test_formulas_agree_with_simulation(p, k, n, correct):
    rng = Seed(0).child("error", k, n, int(10 * p)).numpy()
    counts = rng.multinomial(n, [p / k] * k + [1 - p], size=40_000)[:, :k]
    estimates = {
        "sc": counts.sum(1) / n,
        "pc": (counts > 0).sum(1) * p / k,
        "ppl": (counts[:, 0] > 0) * p / k,
    }
    for how, values in estimates.items():
        losses = (values - correct) ** 2
        error = losses.std() / math.sqrt(len(losses))
        # 6 standard errors over 108 comparisons: a false alarm below 1e-6. The estimated error is 0 where an event is so
        # rare that it never came; five events of loss 1 are allowed for.
        assert abs(losses.mean() - reasoning_error(p, k, n, correct, how).total) <= 6 * error + 5 / 40_000, how


def enumerate_pc(p, k, n, correct):
    """Mean squared error of perplexity consistency over all sequences of n draws from k paths and the rest."""
    total = 0.0
    for draws in product(range(k + 1), repeat=n):
        weight = math.prod(1 - p if d == k else p / k for d in draws)
        estimate = len({d for d in draws if d < k}) * p / k
        total += weight * (estimate - correct) ** 2
    return total


@pytest.mark.parametrize(("k", "n"), [(1, 3), (2, 4), (3, 5)])
@pytest.mark.parametrize("correct", [True, False])
def test_perplexity_consistency_agrees_with_enumeration(k, n, correct):
    assert reasoning_error(0.55, k, n, correct, "pc").total == pytest.approx(enumerate_pc(0.55, k, n, correct))


@pytest.mark.parametrize("correct", [True, False])
def test_one_path_is_the_perplexity_estimator(correct):
    for p, n in product((0.1, 0.5, 0.9), (0, 1, 7)):
        assert reasoning_error(p, 1, n, correct, "pc") == pytest.approx(reasoning_error(p, 1, n, correct, "ppl"))


def test_a_certain_path_has_no_error_after_one_sample():
    assert reasoning_error(1.0, 1, 1, True, "pc").total == 0.0
    assert reasoning_error(1.0, 1, 5, True, "sc").total == 0.0


def test_the_published_form_differs_from_the_exact_one():
    assert reasoning_error(0.5, 1, 1, True, "pc").estimation == pytest.approx(0.375)
    assert reasoning_error(0.5, 1, 1, True, "pc-published").estimation == pytest.approx(0.3125)
    assert reasoning_error(0.6, 3, 16, True, "pc").estimation == pytest.approx(0.0170, abs=5e-5)
    assert reasoning_error(0.6, 3, 16, True, "pc-published").estimation == pytest.approx(0.0234, abs=5e-5)


def test_the_rate_is_exponential():
    errors = [reasoning_error(0.6, 3, n, True, "pc").estimation for n in (40, 60, 80)]
    slopes = np.diff(np.log(errors)) / 20
    assert slopes == pytest.approx([math.log(0.8)] * 2, rel=1e-3)


@pytest.mark.parametrize(
    "bad", [(1.2, 1, 1), (-0.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (0.5, 1, 1, True, "mode"), (0.5, 1, 0, True, "sc")]
)
def test_bad_parameters_are_refused(bad):
    with pytest.raises(UsageError):
        reasoning_error(*(bad if len(bad) > 3 else (*bad, True)))
