"""The reproduction at its smallest scale: complete, seeded, and with controls that can fail."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers.marginalization_models import run


@pytest.mark.slow
def test_a_smoke_run_is_complete():
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    report = run(Scale.SMOKE)
    assert len(report.checks) == 7 and len(report.controls) == 2 and len(report.baselines) == 4
    assert report.checks[6].name.startswith("time of 16 marginals")
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "marginalization-models" and len(stored["tables"]) == 3
