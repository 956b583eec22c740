"""The reproduction at its smallest scale: all parts are there; its figures mean nothing at that size."""

import pytest

from educe.core import Scale
from educe.papers.dynamic_connectome import run


@pytest.mark.slow
def test_the_smallest_run_is_complete():
    for name in ("matplotlib", "networkx", "sklearn"):
        pytest.importorskip(name)
    report = run(Scale.SMOKE)
    assert len(report.checks) == 5 and len(report.controls) == 2
    assert {baseline.name for baseline in report.baselines} >= {"pipeline, rank 4", "static correlation + SBM"}
    assert all(0 <= baseline.measured <= 1 for baseline in report.baselines)
    assert len(report.tables["what was recovered"]) == 1
    assert "<svg" in next(iter(report.figures.values()))
