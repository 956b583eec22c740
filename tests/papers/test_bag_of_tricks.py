"""The reproduction at smoke scale: complete and seeded; rewards by hand; the stored result."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from educe.core import Scale, Seed, UsageError, run_sync
from educe.papers.bag_of_tricks import METHODS, TASKS, _by_reward, _reward, card, run
from educe.reason import Question
from educe.tasks import FAMILIES, make

RESULT = Path(__file__).parents[2] / "results" / "bag-of-tricks.json"


@pytest.mark.slow
def test_a_smoke_run_is_complete():
    report = run(Scale.SMOKE)
    assert len(report.checks) == 5 and len(report.controls) == 2 and len(report.baselines) == 4 + 6
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert stored["slug"] == "bag-of-tricks" and len(stored["tables"]["accuracy minus greedy"]) == len(METHODS)
    exact = next(row for row in report.tables["rewards"] if row["reward"] == "exact")
    assert all(exact["accuracy"] >= row["accuracy"] for row in report.tables["rewards"])


def test_there_are_eight_tasks_that_exist():
    assert len(set(TASKS)) == 8 and set(TASKS) <= set(FAMILIES)


async def test_the_exact_reward_tells_right_from_wrong_and_the_lot_tells_nothing():
    problem = make("claims", 1, "dev")[0]
    question = Question.from_json(problem.question_json())
    exact = _reward("exact", problem, Seed(0)).function
    assert await exact(question, problem.solution) == 1.0 and await exact(question, "The answer is maybe.") == 0.0
    lot = _reward("random", problem, Seed(0)).function
    assert await lot(question, "a") == await lot(question, "a") != await lot(question, "b")
    assert await lot(question, "a") != await _reward("random", problem, Seed(1)).function(question, "a")


@pytest.mark.slow
def test_the_exact_reward_finds_every_right_sample():
    import educe

    problems = make("claims", 4, "dev")
    model = educe.load("abacus")
    right, mean = run_sync(_by_reward(problems, model, Seed(0)))
    model.close()
    assert right["exact"].mean() >= max(mean, *(values.mean() for values in right.values()))


def test_problems_in_place_of_names_are_refused():
    with pytest.raises(UsageError, match="family of problems"):
        run(Scale.SMOKE, tasks=make("claims", 1))


def test_the_stored_result_is_of_this_card():
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert (stored["slug"], stored["scale"], stored["seed"]) == (card.slug, "small", 0)
    assert RESULT.with_suffix(".svg").exists()
