"""The reproduction at smoke scale: complete and seeded. What it measures means nothing at that size."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale
from educe.papers.forward_diffusion import run


def figures_without_seconds(report):
    return [(check.name, check.measured) for check in report.checks + report.controls]


@pytest.mark.slow
def test_a_smoke_run_is_complete_and_the_seed_decides():
    report = run(Scale.SMOKE)
    assert len(report.checks) == 8 and len(report.controls) == 4 and len(report.baselines) == 3
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    assert json.loads(json.dumps(report.to_json()))["slug"] == "forward-diffusion"
    assert figures_without_seconds(run(Scale.SMOKE)) == figures_without_seconds(report)
    assert figures_without_seconds(run(Scale.SMOKE, 1)) != figures_without_seconds(report)
