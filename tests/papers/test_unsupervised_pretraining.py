"""The reproduction at its smallest scale: all parts are there, and what must hold at any scale holds."""

import json

import pytest

from educe.core import Scale
from educe.papers.unsupervised_pretraining import run


@pytest.mark.slow
def test_the_smallest_run_is_complete_and_its_controls_hold():
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    report = run(Scale.SMOKE)
    assert len(report.checks) == 6
    assert all(control.passed for control in report.controls) and len(report.controls) == 3
    assert [check.passed for check in report.checks[:2]] == [True, True]
    assert {item.name.split(",")[0] for item in report.baselines} == {"pretrained", "ridge", "least squares"}
    assert all({"exponent", "expected"} <= row.keys() for row in report.tables["Cost as m or d doubles"])
    kappas = [row["worst kappa"] for row in report.tables["Informativeness as the weakest factor fades"]]
    assert kappas[-1] > 3 * kappas[0]
    assert "<svg" in report.figures["unsupervised-pretraining"]
    json.dumps(report.to_json(), allow_nan=False)
