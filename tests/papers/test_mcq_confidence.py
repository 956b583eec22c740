"""The reproduction at smoke scale on a coherent table: complete, seeded, and showing what must be so."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from educe.core import Scale, Seed
from educe.lm import TabularLM
from educe.papers.mcq_confidence import run
from educe.tasks import make

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
    assert stored["slug"] == "mcq-confidence" and len(stored["tables"]) == 2


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
    assert "abacus" in run(Scale.SMOKE).notes
