"""The reproduction at smoke scale: its structure, what must hold at every scale, and the stored result."""

import importlib
import json
from pathlib import Path

import pytest

from educe.core import Scale
from educe.papers.krylov_recycling import card, run

RESULT = Path(__file__).parents[2] / "results" / "krylov-recycling.json"


@pytest.mark.slow
def test_the_report_is_complete():
    report = run(Scale.SMOKE, seed=1)
    json.dumps(report.to_json())
    assert len(report.checks) == 7 and len(report.controls) == 2 and len(report.baselines) >= 7
    by_name = {check.name: check for check in report.checks}
    assert next(check for name, check in by_name.items() if "misses" in name).passed
    assert report.checks[3].passed  # recycling between systems helps, sorted or not
    assert all(control.passed for control in report.controls)
    assert next(iter(report.figures.values())).count("<svg") == 1


def test_the_names_on_the_card_exist():
    for name in card.api:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_the_stored_result_is_of_this_card_and_says_the_load():
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert (stored["slug"], stored["scale"], stored["seed"]) == (card.slug, "small", 0)
    assert len(stored["load"].split()) == 3 and RESULT.with_suffix(".svg").exists()
