"""The reproduction at smoke scale: complete, seeded, and on a model of one's own."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale, Seed
from educe.papers._small_reasoner import bank_of, chains, results, solution_of
from educe.papers.language_monkeys import run
from educe.tasks import split_of


@pytest.fixture(scope="module")
def report():
    return run(Scale.SMOKE)


@pytest.mark.slow
def test_a_smoke_run_is_complete(report):
    assert len(report.checks) == 5 and len(report.controls) == 2 and len(report.baselines) >= 8
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "language-monkeys" and len(stored["tables"]) == 3
    assert report.verdict != "shown", "sixty samples cannot show a rise from 100 to 1,000"


def test_exact_mixtures_are_fitted_as_by_another_program(report):
    found = {row["rates"]: row["misfit"] for row in report.tables["largest misfit of exp(a k^b) to exact curves"]}
    expected = {"Beta(0.15, 1.0)": 0.040, "Beta(0.2, 2.0)": 0.028, "Beta(0.3, 3.0)": 0.012, "Beta(0.5, 5.0)": 0.027}
    for name, misfit in {**expected, "all 0.02": 0.081, "all 0.002": 0.081}.items():
        assert found[name] == pytest.approx(misfit, abs=0.0015), name


@pytest.mark.slow
def test_the_seed_decides(report):
    assert run(Scale.SMOKE).checks == report.checks


def test_chains_are_split_by_content_and_answers_are_read():
    test = chains(13, 50, range(1, 4), Seed(0), "test")
    assert len(set(test)) == 50 and all(split_of(list(chain)) == "test" for chain in test)
    assert all(split_of(list(chain)) == "train" for chain in chains(13, 50, range(1, 4), Seed(0)))
    chain = (5, 9, 3)
    assert solution_of(chain, 13) == [5, 9, 1, 1, 3, 4, 15] and results(solution_of(chain, 13)) == (1, 4)
    drawn = [[[5, 9, 1, 1, 3, 4], [5, 9, 2, 2, 3, 4], [5, 9], []]]
    whole, last = (bank_of([chain], drawn, 13, whole=flag).rows[0] for flag in (True, False))
    assert whole.verdicts.tolist() == [1, 0, 0, 0] and last.verdicts.tolist() == [1, 1, 0, 0]
    assert whole.answers.tolist() == [0, 1, -1, -1] and [a.text for a in whole.classes] == ["1 4", "2 4"]
