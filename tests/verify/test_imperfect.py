"""Imperfect verifiers against Bayes' rule, enumeration and SciPy's Wilson interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from educe.core import UsageError
from educe.verify import ImperfectVerifier, Verdict, estimate_error_rates, precision_after_acceptance

rates = st.floats(0, 1)


@given(rates, rates, rates)
def test_precision_is_bayes_rule(r: float, c: float, s: float) -> None:
    joint = {(True, True): r * c, (True, False): r * (1 - c), (False, True): (1 - r) * (1 - s), (False, False): 0.0}
    accepted = joint[True, True] + joint[False, True]
    found = precision_after_acceptance(r, c, s)
    assert math.isnan(found) if accepted == 0 else found == pytest.approx(joint[True, True] / accepted)


def test_the_declared_errors_happen() -> None:
    verifier = ImperfectVerifier(lambda item: item[0] == "r", soundness=0.75, completeness=0.9, seed=3)
    n = 4000
    right = [verifier(f"r{i}") is Verdict.PROVED for i in range(n)]
    wrong = [verifier(f"w{i}") is Verdict.REFUTED for i in range(n)]
    # Standard errors .0047 and .0068; six of them.
    assert np.mean(right) == pytest.approx(0.9, abs=0.0285)
    assert np.mean(wrong) == pytest.approx(0.75, abs=0.0411)
    assert right == [verifier(f"r{i}") is Verdict.PROVED for i in range(n)]
    assert ImperfectVerifier(lambda item: Verdict.LIMIT_HIT, soundness=0.0)("x") is Verdict.LIMIT_HIT


def test_estimates_and_intervals() -> None:
    rng = np.random.default_rng(0)
    right = [rng.random(50) < share for share in rng.random(40)]
    accepted = [np.where(r, rng.random(50) < 0.9, rng.random(50) < 0.2) for r in right]
    found = estimate_error_rates(accepted, right)
    all_right, all_accepted = np.concatenate(right), np.concatenate(accepted)
    assert found.completeness == pytest.approx(all_accepted[all_right].mean())
    assert found.soundness == pytest.approx(1 - all_accepted[~all_right].mean())
    hits, trials = int(all_accepted[all_right].sum()), int(all_right.sum())
    interval = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert found.completeness_interval == pytest.approx((interval.low, interval.high))
    assert found.soundness_between_tasks[0] < found.soundness < found.soundness_between_tasks[1]
    assert found.precision == pytest.approx([r[a].mean() for a, r in zip(accepted, right, strict=True)])


def test_nothing_to_estimate_from() -> None:
    found = estimate_error_rates([[False, False]], [[False, False]])
    assert math.isnan(found.completeness) and found.soundness == 1.0 and math.isnan(found.precision[0])
    assert all(map(math.isnan, found.completeness_interval))


def test_bad_input_is_refused() -> None:
    for options in ({"soundness": 1.5}, {"completeness": -0.1}, {"soundness": math.nan}):
        with pytest.raises(UsageError, match="no probability"):
            ImperfectVerifier(bool, **options)
    for accepted, right in (([], []), ([[1]], []), ([[1, 0]], [[1]]), ([[[1]]], [[[1]]])):
        with pytest.raises(UsageError):
            estimate_error_rates(accepted, right)
    with pytest.raises(UsageError):
        precision_after_acceptance(2.0, 1.0, 1.0)
