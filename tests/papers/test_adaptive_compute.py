"""The reproduction at smoke scale: complete and seeded; thresholds and shares by hand."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers.adaptive_compute import _samples_for, _share, run


@pytest.mark.slow
def test_a_smoke_run_is_complete_and_the_seed_decides():
    report = run(Scale.SMOKE)
    assert len(report.checks) == 5 and len(report.controls) == 2 and len(report.baselines) == 11
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert stored["slug"] == "adaptive-compute" and len(stored["tables"]) == 2
    # What is replayed is what the served model would have said.
    assert report.controls[1].passed
    assert run(Scale.SMOKE).checks == report.checks


def test_shares_of_a_gain_and_the_samples_for_them():
    share = {1: 0.0, 2: 0.5, 4: 0.7, 16: 1.0}
    assert _samples_for(share, 0.6) == pytest.approx(3.0)
    assert _samples_for(share, 0.0) == 1 and _samples_for(share, 2.0) == 16
    assert _share(0.8, 0.6, 0.4) == pytest.approx(0.5) and _share(0.8, 0.6, 0.0) == 0.0
