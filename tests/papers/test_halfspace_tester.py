"""The reproduction at its smallest scale: all parts are there, and what must hold at any scale holds."""

import pytest

from educe.core import Scale
from educe.papers.halfspace_tester import run


@pytest.mark.slow
def test_the_smallest_run_is_complete_and_never_accepts_a_wrong_halfspace():
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    report = run(Scale.SMOKE)
    assert [check.passed for check in report.checks[2:]] == [True, True, True]
    assert all(control.passed for control in report.controls) and len(report.controls) == 3
    assert len(report.baselines) == 5
    assert {"Laws", "Certificate against n", "Cost as n or d doubles"} <= report.tables.keys()
    assert all({"exponent", "expected"} <= row.keys() for row in report.tables["Cost as n or d doubles"])
    assert "<svg" in report.figures["halfspace-tester"]
