"""The reproduction at smoke scale: complete, seeded, and honest about missing peers."""

import json
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers.causal_de_finetti import run


@pytest.mark.slow
def test_a_smoke_run_is_complete():
    run(Scale.SMOKE)
    start = time.thread_time()
    report = run(Scale.SMOKE)
    assert time.thread_time() - start < 5
    assert len(report.checks) == 4 and len(report.controls) == 2 and len(report.baselines) >= 2
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "causal-de-finetti" and len(stored["tables"]) == 2


def test_without_its_peers_the_run_says_so_and_claims_nothing(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("causallearn"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "causallearn", None)
    report = run(Scale.SMOKE)
    assert "not installed" in report.notes and not report.checks[1].passed and not report.checks[3].passed
    assert [baseline.name.split(",")[0] for baseline in report.baselines][1:] == ["random choice"]


@pytest.mark.slow
def test_the_seed_decides():
    one, two, other = run(Scale.SMOKE, 3), run(Scale.SMOKE, 3), run(Scale.SMOKE, 4)
    assert one.checks == two.checks and one.figures == two.figures != other.figures
