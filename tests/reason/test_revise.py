"""Sequential revision and self-refine: what the model is shown, how the result is chosen, what it costs."""

import pytest

from educe.core import Budget, UsageError, run_sync
from educe.lm import FakeLM, Session
from educe.reason import FunctionReward, Question, Revise, SelfRefine, make_method, revision_prompt
from educe.reason.self_refine import CRITICISE, REWRITE

QUESTION = Question("What is 2 + 2?", examples=())


def counting(prompt, seed):
    """The n-th answer of a chain is the number n; with context cut it says how many it saw."""
    return f"The answer is {prompt.count('assistant: The answer') + 1}."


def test_a_chain_sees_its_own_earlier_answers():
    lm = FakeLM(counting)
    posterior = run_sync(Revise(chains=2, length=3, select="majority")(QUESTION, Session(lm)))
    assert posterior.details["chains"] == [["1", "2", "3"]] * 2
    # Both chains said the same, so each round is one request.
    assert len(lm.prompts) == 3
    assert posterior.ledger.samples == 6


def test_only_the_most_recent_answers_are_shown():
    posterior = run_sync(Revise(chains=1, length=5, context=2, select="majority")(QUESTION, Session(FakeLM(counting))))
    assert posterior.details["chains"] == [["1", "2", "3", "3", "3"]]


def test_the_verifier_chooses_within_chains_and_then_across():
    """Chain one says 1, 1, 9 and chain two 9, 2, 2: the sums within chains are 1: 0.8, 9: 0.6 and 9: 0.6, 2: 1.0."""
    said = {0: ["1", "1", "9"], 1: ["9", "2", "2"]}
    scores = {"1": 0.4, "2": 0.5, "9": 0.6}

    def answer(prompt, seed):
        place = prompt.count("Check the answer")
        chain = 0 if "The answer is 1." in prompt else 1
        if not place:
            answer.first = 1 - getattr(answer, "first", 1)
            chain = answer.first
        return f"The answer is {said[chain][place]}."

    async def judge(question, text):
        return scores[text.split()[-1].rstrip(".")]

    method = Revise(chains=2, length=3, reward=FunctionReward(judge))
    posterior = run_sync(method(QUESTION, Session(FakeLM(answer))))
    assert sorted(posterior.details["chains"]) == [["1", "1", "9"], ["9", "2", "2"]]
    assert posterior.mode().text == "2"
    assert posterior.probability(lambda a: a.text == "9") == 0.0
    assert posterior.probability(lambda a: a.text == "1") == pytest.approx(0.8 / 1.8)


def test_the_last_answer_is_not_the_result():
    """A chain that breaks its right answer: majority over the chain keeps it."""

    def breaks(prompt, seed):
        return "The answer is 5." if prompt.count("assistant: The answer") == 2 else "The answer is 4."

    posterior = run_sync(Revise(chains=1, length=3, select="majority")(QUESTION, Session(FakeLM(breaks))))
    assert posterior.details["chains"] == [["4", "4", "5"]]
    assert posterior.mode().text == "4"


def test_another_form_of_prompt_for_a_model_that_was_trained_on_chains():
    def plain(question, earlier):
        return "|".join([question.text, *earlier, ""])

    lm = FakeLM(["The answer is 4."])
    run_sync(Revise(chains=1, length=2, select="majority", prompt=plain)(QUESTION, Session(lm)))
    assert lm.prompts[1] == "What is 2 + 2?|The answer is 4.|"
    assert len(revision_prompt(QUESTION, ["a", "b"])) == 1 + 4


def test_the_sample_budget_is_spread_over_chains_and_their_length():
    assert make_method("revise", Budget(samples=16)) == Revise(chains=4, length=4)
    assert make_method("revise:chains=2", Budget(samples=16)) == Revise(chains=2, length=8)
    assert make_method("revise:length=16", Budget(samples=16)) == Revise(chains=1, length=16)
    assert make_method("revise", Budget(samples=1)) == Revise(chains=1, length=1)


@pytest.mark.parametrize("options", [{"chains": 0}, {"length": 0}, {"context": 0}, {"select": "last"}])
def test_bad_revisions_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        Revise(**options)


def test_refining_stops_where_no_error_is_found():
    def answer(prompt, seed):
        last = prompt.splitlines()[-2]
        if last.endswith(CRITICISE):
            return "No error." if "The answer is 4." in prompt else "2 + 2 is not 5."
        return "The answer is 4." if last.endswith(REWRITE) else "The answer is 5."

    lm = FakeLM(answer)
    posterior = run_sync(SelfRefine(rounds=5)(QUESTION, Session(lm)))
    assert posterior.mode().text == "4"
    assert posterior.details["rewrites"] == [1]
    assert posterior.ledger.samples == 4
    assert "2 + 2 is not 5." in lm.prompts[2]


def test_no_rounds_is_one_sample():
    posterior = run_sync(SelfRefine(rounds=0, n=3)(QUESTION, Session(FakeLM(["The answer is 4."]))))
    assert (posterior.ledger.samples, posterior.confidence) == (3, 1.0)


def test_a_cut_rewrite_leaves_the_answer_before_it():
    posterior = run_sync(SelfRefine(rounds=9)(QUESTION, Session(FakeLM(["The answer is 4."]), Budget(samples=3))))
    assert posterior.mode().text == "4"
    assert posterior.ledger.stopped_by == "samples"


@pytest.mark.parametrize("options", [{"n": 0}, {"rounds": -1}, {"max_tokens": 0}, {"temperature": 0.0}])
def test_bad_refinements_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        SelfRefine(**options)
