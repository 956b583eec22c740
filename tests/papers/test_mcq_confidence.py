"""The reproduction at smoke scale on a coherent table: complete, seeded, and showing what must be so."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import educe
from educe.core import Scale, Seed, UsageError
from educe.lm import TabularLM
from educe.papers._mcq_world import chain_items, coherent_model
from educe.papers.mcq_confidence import card, run
from educe.tasks import make

RESULT = Path(__file__).parents[2] / "results" / "mcq-confidence.json"

REASONS = ("x", "y", "z")


def law(prompt, text):
    """Reason by one word, then answer by it; at once, the mean over words. The right letter is not looked for."""
    question = prompt.split("\nAnswer at once.")[0].removeprefix("user: ").split("\nassistant:")[0]
    given = {}
    for reason in REASONS:
        weights = Seed(0).child(question, reason).numpy().dirichlet([0.4] * 4) + 1e-6
        given[reason] = weights / weights.sum()
    if text == "":
        return {f"{reason}\n": 1 / 3 for reason in REASONS}
    if text.endswith("is"):
        shares = given.get(text[0], sum(given.values()) / 3)
        return {f" {letter}": float(share) for letter, share in zip("ABCD", shares, strict=True)}
    return {"The answer is": 1.0} if text.endswith("\n") else {"": 1.0}


@pytest.fixture(scope="module")
def problems():
    return make("multiple_choice", 30, "dev")


@pytest.fixture(scope="module")
def report(problems):
    return run(Scale.SMOKE, lm=TabularLM(law), tasks=problems)


@pytest.mark.slow
def test_a_smoke_run_is_complete(report):
    assert len(report.checks) == 6 and len(report.controls) == 2 and len(report.baselines) == 5
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert stored["slug"] == "mcq-confidence" and len(stored["tables"]) == 3


@pytest.mark.slow
def test_a_coherent_model_is_surer_after_reasoning(report):
    rows = {row["mode"]: row for row in report.tables["modes"]}
    assert (
        rows["cot"]["confidence"] > rows["marginal"]["confidence"]
        and rows["cot"]["confidence"] > rows["direct"]["confidence"]
    )
    assert report.checks[0].passed and report.checks[5].passed


@pytest.mark.slow
def test_the_seed_decides(report, problems):
    again = run(Scale.SMOKE, lm=TabularLM(law), tasks=problems)
    assert again.checks == report.checks and again.figures == report.figures
    assert run(Scale.SMOKE, 4, lm=TabularLM(law), tasks=problems).checks != report.checks


@pytest.mark.slow
def test_it_runs_on_the_packaged_model():
    problems = make("multiple_choice", 3, "dev")
    assert "abacus" in run(Scale.SMOKE, lm=educe.load("abacus"), tasks=problems).notes


@pytest.fixture(scope="module")
def table():
    return chain_items(6, Seed(2)), coherent_model(Seed(3))


def test_the_table_answers_at_once_as_on_average_after_reasoning(table):
    """Against enumeration of every reasoning; the mean of the maxima is not below the maximum of the means."""
    items, model = table
    for item in items[:2]:
        options = [f"{letter}. {choice}" for letter, choice in zip("ABCD", item.choices, strict=True)]
        asked = [{"role": "user", "content": "\n".join([item.text, *options])}]
        after: dict[str, dict[str, float]] = {}
        for row, logprob in model.completions(asked):
            reasoning, _, letter = row.text.rpartition("The answer is ")
            laws = after.setdefault(reasoning, dict.fromkeys("ABCD", 0.0))
            laws[letter] += math.exp(logprob)
        direct = model.next_tokens(asked, "The answer is")
        for letter in "ABCD":
            assert direct[f" {letter}"] == pytest.approx(sum(law[letter] for law in after.values()), abs=1e-12)
        assert sum(max(law.values()) for law in after.values()) >= max(direct.values()) - 1e-12


def test_right_options_stand_in_each_place_and_are_the_sums(table):
    items, _ = table
    assert [item.answer for item in items] == list("ABCDAB")
    for item in items:
        numbers = [int(number) for number in item.text.removeprefix("What is ").rstrip("?").split(" + ")]
        assert int(item.choices["ABCD".index(item.answer)]) == sum(numbers) and len(set(item.choices)) == 4


def test_tasks_without_a_model_are_refused(problems):
    with pytest.raises(UsageError, match="Give lm="):
        run(Scale.SMOKE, tasks=problems)


def test_the_stored_result_is_of_this_card():
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert (stored["slug"], stored["scale"], stored["seed"]) == (card.slug, "small", 0)
    assert "coherent table" in stored["notes"] and RESULT.with_suffix(".svg").exists()
