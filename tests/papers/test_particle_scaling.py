"""The reproduction at smoke scale: its structure, what must hold at every scale, and the stored result."""

import importlib
import json
from pathlib import Path

import pytest

from educe.core import Scale, Seed
from educe.papers import _particle_scaling_worlds as worlds
from educe.papers.particle_scaling import card, run
from educe.reason import StepTarget

RESULT = Path(__file__).parents[2] / "results" / "particle-scaling.json"


@pytest.mark.slow
def test_the_report_is_complete():
    report = run(Scale.SMOKE, seed=1)
    json.dumps(report.to_json())
    assert len(report.checks) == 6 and len(report.controls) == 2 and len(report.baselines) == 5
    assert {row["method"] for row in report.tables["accuracy by regime"]} >= {"DVTS", "beam", "particle filter"}
    assert next(iter(report.figures.values())).count("<svg") == 1


def test_the_letters_are_31_texts_whose_probabilities_sum_to_one():
    law = dict(worlds.TabularLM(worlds.letters_law).completions(worlds.LETTERS.messages()))
    assert len(law) == 31
    total, exact = worlds.letters_exact(Seed(0), StepTarget(lambda score: 0.0))
    assert len(exact) == 31 and total == pytest.approx(1.0)
    assert {row.text for row in law} == set(exact)


def test_the_chain_is_right_with_the_probability_it_says():
    question, operations, values = worlds.chain(Seed(3), 0)
    model = worlds.chain_model(operations, values, 4)
    assert question.text.startswith(f"What is {values[0]} ")
    text, probability = "", 1.0
    for token in [*(f"(3) {value}\n" for value in values[1:-1]), f"(3) The answer is {values[-1]}."]:
        probability *= model.next_tokens(question.messages(), text)[token]
        text += token
    assert probability == pytest.approx((worlds.RIGHT / 4) ** worlds.STEPS_OF_CHAIN)


def test_a_wrong_path_never_ends_at_the_right_answer():
    _, operations, values = worlds.chain(Seed(4), 0)
    assert all(slip > 0 for slip in worlds.SLIPS)
    model = worlds.chain_model(operations, values, 1)
    text = ""
    for place in range(worlds.STEPS_OF_CHAIN):
        law = model.next_tokens("sum", text)
        ends = {int(token.split()[-1].rstrip(".")) for token in law}
        assert len(law) == 6 and min(ends) >= values[place + 1] + (place > 0)
        text += max(law, key=lambda token: int(token.split()[-1].rstrip(".")))


def test_the_names_on_the_card_exist():
    for name in card.api:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_the_stored_result_is_of_this_card_and_says_the_load():
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert (stored["slug"], stored["scale"], stored["seed"]) == (card.slug, "small", 0)
    assert len(stored["load"].split()) == 3 and RESULT.with_suffix(".svg").exists()
