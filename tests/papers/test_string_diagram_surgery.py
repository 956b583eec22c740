"""The reproduction at smoke scale: complete, with a baseline that loses and controls that hold."""

import json
import time
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers.string_diagram_surgery import run


def test_a_smoke_run_is_complete():
    start = time.thread_time()
    report = run(Scale.SMOKE)
    assert time.thread_time() - start < 5
    assert [check.passed for check in report.checks[:5]] == [True] * 5
    assert len(report.checks) == 6 and all(control.passed for control in report.controls)
    ours, *others = report.baselines
    # Back-door adjustment may be right on every one of the few graphs of a smoke run.
    assert ours.measured < 1e-10 and others[0].measured > 1e-4 and len(others) == 2
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "string-diagram-surgery" and stored["tables"]["random models"]


@pytest.mark.slow
def test_the_seed_decides():
    one, two, other = run(Scale.SMOKE, 3), run(Scale.SMOKE, 3), run(Scale.SMOKE, 4)
    assert one.checks == two.checks and one.figures == two.figures
    assert one.tables != other.tables
