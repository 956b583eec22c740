"""The reproduction at its smallest scale: all parts are there, and exact statements hold at any scale."""

import pytest

from educe.core import Scale
from educe.papers.denotational_validation import run


@pytest.mark.slow
def test_the_smallest_run_is_complete_and_exact():
    pytest.importorskip("matplotlib")
    report = run(Scale.SMOKE)
    assert [check.passed for check in report.checks] == [True] * 4
    assert report.verdict == "shown"
    assert len(report.baselines) == 7 and report.baselines[0].measured == 0
    assert all(baseline.measured > 0 for baseline in report.baselines[1:])
    assert all("invalid" in row["finding"] for row in report.tables["counter-examples"])
    assert "<svg" in next(iter(report.figures.values()))
