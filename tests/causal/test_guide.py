"""The guide runs as it stands."""

import doctest
from pathlib import Path


def test_the_guide_runs():
    page = Path(__file__).parents[2] / "docs" / "causal.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 20 and failed == 0
