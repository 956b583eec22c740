"""The reproduction at smoke scale: complete, seeded, and on a model of one's own."""

import json
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from educe.core import Scale, Seed
from educe.lm import FakeLM
from educe.papers._chain_world import answer_law, chain_model, chain_questions, draw_table
from educe.papers.rpc import run
from educe.tasks import make


@pytest.mark.slow
def test_a_smoke_run_is_complete():
    start = time.thread_time()
    report = run(Scale.SMOKE)
    assert time.thread_time() - start < 5
    assert len(report.checks) == 4 and len(report.controls) == 2 and len(report.baselines) >= 5
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "rpc" and len(stored["tables"]) == 3


@pytest.mark.slow
def test_the_seed_decides():
    one, two, other = run(Scale.SMOKE, 3), run(Scale.SMOKE, 3), run(Scale.SMOKE, 4)
    assert one.checks == two.checks and one.figures == two.figures != other.figures


@pytest.mark.slow
def test_it_runs_on_a_model_of_ones_own():
    answers = {problem.text: problem.solution for problem in make("chain_arithmetic", 8, "test", 1)}

    def answer(prompt, seed):
        text = prompt.removeprefix("user: ").removesuffix("\nassistant:")
        return (answers[text] if seed % 3 else "The answer is 0.", -float(1 + seed % 3))

    report = run(Scale.SMOKE, lm=FakeLM(answer), tasks=make("chain_arithmetic", 8, "test", 1))
    assert "not known for this model" in report.notes
    assert report.tables["accuracy"][0]["coverage"] > 0.9


def test_the_model_of_chain_sums_has_the_law_it_is_said_to_have():
    table = draw_table(5, Seed(1))
    assert np.allclose(table.sum(2), 1.0) and (table > 0).all()
    questions, references, chains = chain_questions(5, 6, (2, 3), Seed(2))
    lm = chain_model(table)
    for question, reference, chain in zip(questions, references, chains, strict=True):
        assert int(reference) == sum(chain) % 5
        law = answer_law(table, chain)
        exact = lm.exact(question.messages())
        for value in range(5):
            ending = f"The answer is {value}."
            found = exact.probability(lambda text, ending=ending: text.endswith(ending))
            assert abs(found - law[value]) < 1e-6
