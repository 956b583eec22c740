"""The reproduction at smoke scale: complete, seeded, and reading hints as it says."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from educe.core import Scale, Seed
from educe.papers._small_reasoner import chains, hint_for, prompt_of
from educe.papers.know_what_they_know import run


@pytest.mark.slow
def test_a_smoke_run_is_complete_and_the_seed_decides():
    report = run(Scale.SMOKE)
    assert len(report.checks) == 7 and len(report.controls) == 2 and len(report.baselines) == 7
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert stored["slug"] == "know-what-they-know" and len(stored["tables"]) == 2
    assert report.verdict != "shown", "a model that was hardly trained knows nothing"
    assert run(Scale.SMOKE).checks == report.checks


def test_hints_state_an_entry_that_the_chain_needs():
    rng = np.random.default_rng(0)
    for chain in chains(13, 40, range(1, 4), Seed(0), "all"):
        sums = np.cumsum(chain) % 13
        entries = {(int(a), b, int(c)) for a, b, c in zip(sums, chain[1:], sums[1:], strict=False)}
        assert hint_for(chain, 13, rng) in entries
        a, b, wrong = hint_for(chain, 13, rng, right=False)
        assert (a + b) % 13 != wrong and (a, b, (a + b) % 13) in entries
    assert prompt_of((5, 9), 13, (5, 9, 1)) == [16, 5, 9, 1, 13, 5, 9, 14]
