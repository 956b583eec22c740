"""P(True) against a model whose judgement is known; as a reward; and re-weighting."""

import asyncio
import math

import pytest

from educe.core import Budget, CapabilityError, Posterior, UsageError
from educe.lm import FakeLM, Session, TabularLM
from educe.reason import Prefix, Question, Step, WeightedBestOfN, make_method
from educe.uncertainty import PTrueScorer, Shot, judge, p_true, reweigh

SEEN = []


def law(prompt, text):
    """Believes answers that end in 4 with .9, others with .2; likes the letter A by a fixed factor of odds."""
    SEEN.append(prompt)
    if text:
        return {"": 1.0}
    if "Proposed Answer" not in prompt:
        return {"The answer is 4.": 0.5, "The answer is 5.": 0.5}
    last = prompt.rpartition("Proposed Answer: ")[2]
    belief = 0.9 if last.splitlines()[0].rstrip(".").endswith("4") else 0.2
    true_first = "(A) True" in last
    share = belief if true_first else 1 - belief
    # The bias adds .05 to (A) where there is room.
    a = min(0.97, share + 0.05)
    return {" (A)": 0.8 * a, " (B)": 0.8 * (1 - a), " I do not know": 0.2}


def test_swapping_removes_the_bias_and_the_mass_is_told():
    found = asyncio.run(judge(TabularLM(law), "2 + 2 = ?", "4"))
    assert found.probability == pytest.approx((0.95 + (1 - 0.15)) / 2) and found.mass == pytest.approx(0.8)
    assert found.swing == pytest.approx(0.1)
    assert p_true(TabularLM(law), "2 + 2 = ?", "5") == pytest.approx((0.25 + (1 - 0.85)) / 2)
    assert p_true(TabularLM(law), "2 + 2 = ?", "4", swap=False) == pytest.approx(0.95)


def test_the_prompt_shows_examples_and_ideas():
    SEEN.clear()
    p_true(TabularLM(law), "2 + 2 = ?", "4", ["3", "4"], [Shot("1 + 1 = ?", "3", False, ("2",))], swap=False)
    assert SEEN[-1] == (
        "Question: 1 + 1 = ?\nHere are some brainstormed ideas:\n2\nProposed Answer: 3\nIs the proposed answer:\n"
        "(A) True\n(B) False\nThe proposed answer is: (B)\n\nQuestion: 2 + 2 = ?\nHere are some brainstormed ideas:\n"
        "3\n4\nProposed Answer: 4\nIs the proposed answer:\n(A) True\n(B) False\nThe proposed answer is:"
    )


def test_it_is_a_reward():
    method = WeightedBestOfN(n=12, reward=PTrueScorer(n_others=3), final="best")
    session = Session(TabularLM(law))
    posterior = asyncio.run(method(Question("2 + 2 = ?"), session))
    assert posterior.mode().text == "4"
    assert {round(score, 3) for score in posterior.details["scores"]} <= {0.9, 0.2}
    assert session.ledger.samples == 12 + 3
    assert make_method("weighted-best-of-n").reward == "logprob"


def test_empty_answers_and_budgets():
    scorer = PTrueScorer()
    question = Question("2 + 2 = ?")
    session = Session(TabularLM(law))
    empty, whole = asyncio.run(scorer(question, [Prefix((Step(" "),)), Prefix((Step("4"),))], session))
    assert empty == [0.0] and whole[0] > 0.8
    spent = Session(TabularLM(law), Budget(calls=1))
    assert asyncio.run(scorer(question, [Prefix((Step("4"),))], spent)) == [None]
    assert math.isnan(p_true(spent, "2 + 2 = ?", "4"))


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="empty"):
        p_true(TabularLM(law), "2 + 2 = ?", " ")
    for options in ({"n_others": -1}, {"temperature": 0.0}, {"max_tokens": 0}):
        with pytest.raises(UsageError, match="out of"):
            PTrueScorer(**options)
    deaf = FakeLM(["x"])
    deaf.capabilities = frozenset({"text", "chat"})
    with pytest.raises(CapabilityError, match="score"):
        p_true(deaf, "2 + 2 = ?", "4")


def test_reweighing_multiplies():
    votes = Posterior.uniform(["4", "5", "5"])
    found = reweigh(votes, {"4": 0.9, "5": 0.1}.get)
    assert found.probability(lambda a: a == "4") == pytest.approx(0.9 / 1.1)
    assert reweigh(votes, lambda a: float("nan") if a == "5" else 1.0).probability(lambda a: a == "4") == 1.0
    with pytest.raises(UsageError, match="no weight"):
        reweigh(votes, lambda a: -1.0)
