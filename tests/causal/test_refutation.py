"""Refutations of discrete effects: closed forms, a confounded table, placebo and support, refusals, bad input."""

import numpy as np
import pytest

from educe.causal import Refutation, Table, do, e_value, refute
from educe.core import Refusal, UsageError

SMOKING = Table(("S", "T", "C"), np.array([[[500, 100], [10, 20]], [[100, 50], [20, 200]]]))
FRONT_DOOR = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]


def test_a_trial_in_closed_form():
    """The posterior mean of a difference of two beta variables; 4,000 draws, six standard errors."""
    trial = Table(("A", "B"), [[40, 10], [12, 28]])
    found = refute(trial, [("A", "B")], do=("A", 0, 1), of=("B", 1), draws=4000)
    expected = 28.25 / 40.5 - 10.25 / 50.5
    spread = np.sqrt(28.25 * 12.25 / 40.5**2 / 41.5 + 10.25 * 40.25 / 50.5**2 / 51.5)
    assert found.effect == pytest.approx(expected, abs=6 * spread / np.sqrt(4000))
    assert found.interval[0] < expected < found.interval[1] and found.passed
    assert (found.cells, found.empty, found.fewest) == (4, 0, 10)
    assert found.e_value == pytest.approx(e_value((28.25 / 40.5) / (10.25 / 50.5)), rel=0.05)


def test_it_agrees_with_do_and_the_placebo_does_nothing():
    found = refute(SMOKING, FRONT_DOOR, "H", do=("S", 0, 1), of=("C", 1), seed=2)
    assert isinstance(found, Refutation)
    exact = [
        do(SMOKING.normalised(), FRONT_DOOR, "H", do={"S": s}, of="C").probability(lambda c: c == 1) for s in (0, 1)
    ]
    assert found.effect == pytest.approx(exact[1] - exact[0], abs=0.03)
    assert abs(found.placebo) < 0.1 < found.effect and found.passed
    assert found == refute(SMOKING, FRONT_DOOR, "H", do=("S", 0, 1), of=("C", 1), seed=2)


def test_do_reports_its_support():
    table = Table(("A", "B"), [[40, 0], [12, 28]])
    report = do(table, [("A", "B")], do={"A": 1}, of="B").details["overlap"]
    assert report == {"cells": 4, "empty": 1, "fewest": 0, "units with the value": 40}
    assert "overlap" not in do(table.normalised(), [("A", "B")], do={"A": 1}, of="B").details


def test_what_is_not_identified_is_refused():
    bow = [("H", "S"), ("H", "C"), ("S", "C")]
    found = refute(SMOKING, bow, "H", do=("S", 0, 1), of=("C", 1))
    assert isinstance(found, Refusal) and "S <-> C" in found.reason


def test_the_e_value_by_its_bound():
    """A confounder of strength e with both multiplies a risk ratio by at most e^2 / (2 e - 1)."""
    for ratio in (1.2, 2.0, 5.0):
        strength = e_value(ratio)
        assert strength**2 / (2 * strength - 1) == pytest.approx(ratio)
        assert e_value(1 / ratio) == pytest.approx(strength)
    assert e_value(1.0) == 1


@pytest.mark.parametrize(
    ("data", "extra", "words"),
    [
        (SMOKING, {"mass": 1.0}, "strictly between"),
        (SMOKING, {"do": ("S", 0, 7)}, "not among the values"),
        (SMOKING, {"of": ("C", 7)}, "not among the values"),
        (SMOKING.normalised(), {}, "no posterior"),
        (Table(("S", "T", "C"), np.stack([SMOKING.tensor[0], 0 * SMOKING.tensor[0]])), {}, "one value in all units"),
    ],
)
def test_bad_input_is_refused(data, extra, words):
    with pytest.raises(UsageError, match=words):
        refute(data, FRONT_DOOR, "H", **({"do": ("S", 0, 1), "of": ("C", 1)} | extra))
    with pytest.raises(UsageError, match="no E-value"):
        e_value(0.0)
