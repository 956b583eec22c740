"""The reproduction at its smallest scale: complete, seeded, and honest about a missing peer."""

import json
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers._synthetic_digits import seven_segment_digits
from educe.papers.programmable_vi import run


@pytest.mark.slow
def test_a_smoke_run_is_complete():
    pytest.importorskip("matplotlib")
    run(Scale.SMOKE)
    start = time.thread_time()
    report = run(Scale.SMOKE)
    assert time.thread_time() - start < 5
    assert len(report.checks) == 5 and len(report.controls) == 2
    assert all(control.passed for control in report.controls)
    assert report.checks[2].passed and report.checks[3].passed, "unbiasedness holds at any scale"
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "programmable-vi" and len(stored["tables"]) == 3


@pytest.mark.slow
def test_without_pyro_the_run_says_so(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "pyro":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyro", None)
    report = run(Scale.SMOKE)
    assert "not installed" in report.notes and not report.baselines


def test_synthetic_digits_are_binary_and_tell_apart():
    images, labels = seven_segment_digits(200, seed=1)
    assert images.shape == (200, 784) and set(images.unique().tolist()) == {0.0, 1.0}
    assert set(labels.tolist()) == set(range(10))
    assert float(images[labels == 8].mean()) > 1.5 * float(images[labels == 1].mean())
    again, _ = seven_segment_digits(200, seed=1)
    assert (again == images).all()
