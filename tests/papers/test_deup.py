"""The reproduction at smoke scale: complete and seeded."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers.deup import run


@pytest.mark.slow
def test_a_smoke_run_is_complete_and_the_seed_decides():
    report = run(Scale.SMOKE)
    assert len(report.checks) == 6 and len(report.controls) == 2 and len(report.baselines) == 4
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    assert json.loads(json.dumps(report.to_json()))["slug"] == "deup"
    assert not report.checks[-1].passed and report.checks[-1].measured == "not run"
    assert run(Scale.SMOKE).tables == report.tables != run(Scale.SMOKE, 1).tables
