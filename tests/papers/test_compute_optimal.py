"""The reproduction at smoke scale: its structure, what must hold at every scale, and the stored result."""

import importlib
import json
from pathlib import Path

import pytest

from educe.core import Scale, Seed
from educe.papers import _compute_optimal_world as world
from educe.papers.compute_optimal import card, run

RESULT = Path(__file__).parents[2] / "results" / "compute-optimal.json"


@pytest.mark.slow
def test_the_report_is_complete():
    report = run(Scale.SMOKE, seed=1)
    json.dumps(report.to_json())
    assert len(report.checks) == 6 and len(report.controls) == 2 and len(report.baselines) == 4
    assert len(report.tables["by bin"]) == 10
    assert next(iter(report.figures.values())).count("<svg") == 1


@pytest.mark.parametrize("place", range(5))
def test_the_task_is_solved_with_the_probability_of_its_skill(place):
    question, model, _, answer = world.task(Seed(3), place)
    values = [int(question.text.split()[2].rstrip("?"))]
    words = question.text.rstrip("?").split()[3:]
    for sign, change in zip(words[::2], words[1::2], strict=True):
        values.append(values[-1] + (1 if sign == "+" else -1) * int(change))
    assert values[-1] == answer
    text, probability = "", 1.0
    for token in [*(f"(3) {value}\n" for value in values[1:-1]), f"(3) The answer is {answer}."]:
        probability *= model.next_tokens(question.messages(), text)[token]
        text += token
    assert probability == pytest.approx((world.SKILLS[place] / world.WORDINGS) ** world.STEPS)


def test_the_names_on_the_card_exist():
    for name in card.api:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_the_stored_result_is_of_this_card_and_says_the_load():
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert (stored["slug"], stored["scale"], stored["seed"]) == (card.slug, "small", 0)
    assert len(stored["load"].split()) == 3 and RESULT.with_suffix(".svg").exists()
