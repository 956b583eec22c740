"""The reproduction at smoke scale: its structure, its exact checks, and its repeatability."""

import importlib
import json
from pathlib import Path

import pytest

from educe.core import Scale
from educe.papers.compositional_partial_correlation import card, run

RESULT = Path(__file__).parents[2] / "results" / "compositional-partial-correlation.json"


@pytest.mark.slow
def test_the_report_is_complete_and_repeats():
    report = run(Scale.SMOKE, seed=1)
    shown = report.to_json()
    json.dumps(shown)
    assert [check.name.split(":")[0] for check in report.checks[:3]] == ["cups"] * 3
    assert all(check.passed for check in report.checks[:3])  # exact statements: they hold at every scale
    assert len(report.controls) == 2 and len(report.baselines) == 4
    assert len(shown["tables"]["Cups: pairs with p < 0.05"]) == 9
    assert next(iter(report.figures.values())).count("<svg") == 1
    again = run(Scale.SMOKE, seed=1)
    assert again.checks == report.checks and again.controls == report.controls


def test_the_names_on_the_card_exist():
    for name in card.api:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_the_stored_result_is_of_this_card():
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert (stored["slug"], stored["scale"], stored["seed"]) == (card.slug, "small", 0)
    assert RESULT.with_suffix(".svg").exists()
