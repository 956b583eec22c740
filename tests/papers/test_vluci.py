"""The reproduction at smoke scale: complete, seeded, and honest about what is missing."""

import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import educe.causal
from educe.core import Scale
from educe.papers.vluci import card, run


def test_every_name_of_the_card_exists():
    for name in card.api:
        room, found = name.rsplit(".", 1)
        assert room == "educe.causal" and hasattr(educe.causal, found)


@pytest.mark.slow
def test_a_smoke_run_is_complete_and_the_seed_decides():
    report, again = run(Scale.SMOKE, 3), run(Scale.SMOKE, 3)
    assert len(report.checks) == 5 and len(report.controls) == 2 and len(report.baselines) == 8
    assert report.checks == again.checks and report.figures == again.figures
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "vluci" and len(stored["tables"]) == 4
    rows = stored["tables"]["errors by strength of the confounder"]
    assert {row["strength"] for row in rows} == {0.0, 0.7, 1.5}


@pytest.mark.slow
def test_without_scikit_learn_the_diabetes_table_is_missing_and_said_to_be(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    report = run(Scale.SMOKE)
    assert "diabetes table is missing" in report.notes
    assert not report.tables["diabetes covariates, two hidden, simulated treatment and outcome"]
