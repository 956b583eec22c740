"""Rewards score each step once; what a reward gets wrong is a clear error, a time-out a soft stop."""

import asyncio
import math

import pytest

from educe.core import BackendError, Budget, CapabilityError, UsageError
from educe.lm import Completion, FakeLM, Session, TabularLM
from educe.reason import (
    FunctionReward,
    LogprobReward,
    Prefix,
    Question,
    SelfEvaluation,
    Step,
    StepCheck,
    aggregate_scores,
    make_reward,
    score_steps,
)
from educe.reason._equations import equations_hold
from educe.reason.reward import logit

QUESTION = Question("What is 2 + 3?", examples=())
TWO = Prefix((Step("a\n", 2, -1.0), Step("b", 3, -2.0)), ended="stop")


@pytest.mark.parametrize(
    ("how", "value"), [("last", 0.8), ("min", 0.5), ("prod", 0.28), ("mean", (0.5 + 0.7 + 0.8) / 3)]
)
def test_aggregations(how, value):
    assert aggregate_scores([0.5, 0.7, 0.8], how) == pytest.approx(value)
    assert aggregate_scores([], how) == 0.0


@pytest.mark.parametrize("score", [0.0, 1e-9, 0.2, 0.5, 0.999, 1.0])
def test_the_logit_is_clipped_and_odd(score):
    assert logit(score) == pytest.approx(-logit(1 - score), rel=1e-6)
    assert abs(logit(score)) <= math.log((1 - 1e-7) / 1e-7) + 1e-9


async def test_the_log_probability_reward_is_a_geometric_mean():
    (scored,) = await score_steps("logprob", QUESTION, [TWO], Session(FakeLM(["x"])))
    assert scored.scores == pytest.approx((math.exp(-1.0 / 2), math.exp(-3.0 / 5)))
    half = Prefix(TWO.steps, (0.25,), "stop")
    (again,) = await score_steps("logprob", QUESTION, [half], Session(FakeLM(["x"])))
    assert again.scores == pytest.approx((0.25, math.exp(-3.0 / 5)))


async def test_missing_log_probabilities_are_told():
    with pytest.raises(CapabilityError, match="log-probabilities"):
        await score_steps(LogprobReward(), QUESTION, [Prefix((Step("a"),))], Session(FakeLM(["x"])))


async def test_self_evaluation_is_the_share_of_yes():
    def table(prompt, text):
        return {"yes": 0.6, "no": 0.2, "": 0.2} if prompt.endswith("assistant:") and not text else {"": 1.0}

    session = Session(TabularLM(table))
    (scored,) = await score_steps("self-eval", QUESTION, [TWO], session)
    assert scored.scores == pytest.approx((0.75, 0.75))
    assert session.ledger.calls == 2
    stopped = Session(TabularLM(table), Budget(calls=1))
    await stopped.score(QUESTION.messages(), ["yes"])
    (cut,) = await score_steps(SelfEvaluation(), QUESTION, [TWO], stopped)
    assert (cut.ended, stopped.stopped) == ("budget", "calls")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("3 x 8 = 24, so 24 + 1 = 25.", True),
        ("2 + 2 = 5", False),
        ("It is 4.", None),
        ("(3 + 4) * 2 = 14", True),
        ("10/3 = 3.33", None),
        ("10/4 = 2.5", True),
        ("1,000 + 1 = 1001", True),
        ("2y + 3 = 7", None),
        ("2^3 = 8", None),
        ("5 - -3 = 8", True),
        ("x = 3 + 4 = 8", False),
        ("1 / 0 = 3", None),
        ("((((1 + 1 = 2", None),
        ("= = = 1 + = 2", None),
    ],
)
def test_equations(text, verdict):
    assert equations_hold(text) is verdict


def test_a_hostile_step_is_read_in_no_time():
    assert equations_hold("1 + " * 50_000 + "= 2") is None
    assert equations_hold("(" * 100_000 + "1 = 1") is None
    assert equations_hold("1 = " * 20_000) in (None, True)


async def test_a_step_check_scores_each_step_by_all_before_it():
    seen = []

    def check(question, texts):
        seen.append(list(texts))
        return {1: True, 2: None}[len(texts)]

    session = Session(FakeLM(["x"]))
    (scored,) = await score_steps(StepCheck(check, right=0.9, unknown=0.4), QUESTION, [TWO], session)
    assert scored.scores == (0.9, 0.4)
    assert seen == [["a\n"], ["a\n", "b"]]
    assert session.ledger.tool_calls == 2


async def test_a_function_sees_every_text_once():
    seen = []

    def judge(question, text):
        seen.append(text)
        return 0.5

    async def judge_soon(question, text):
        await asyncio.sleep(0)
        return judge(question, text)

    for function in (judge, judge_soon):
        seen.clear()
        session = Session(FakeLM(["x"]))
        scored = await score_steps(FunctionReward(function), QUESTION, [TWO, TWO], session)
        assert [prefix.scores for prefix in scored] == [(0.5, 0.5)] * 2
        assert sorted(seen) == ["a\n", "a\nb"]
        assert session.ledger.tool_calls == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01, None, "0.5", True, [0.5]])
async def test_what_is_no_score_is_named(value):
    reward = FunctionReward(lambda question, text: value, "mine")
    with pytest.raises(UsageError, match="Reward 'mine' gave"):
        await score_steps(reward, QUESTION, [TWO], Session(FakeLM(["x"])))


async def test_a_reward_that_raises_carries_its_words():
    def broken(question, text):
        raise KeyError("weights")

    with pytest.raises(BackendError, match="KeyError: 'weights'"):
        await score_steps(FunctionReward(broken), QUESTION, [TWO], Session(FakeLM(["x"])))


async def test_a_slow_reward_ends_the_session_softly():
    async def slow(question, text):
        await asyncio.sleep(30)

    session = Session(FakeLM(["x"]))
    (cut,) = await score_steps(FunctionReward(slow, seconds=0.02), QUESTION, [TWO], session)
    assert (cut.ended, session.ledger.stopped_by) == ("budget", "reward")
    assert (await score_steps("logprob", QUESTION, [TWO], session))[0].ended == "budget"


async def test_an_interrupt_does_not_wait_for_a_reward():
    async def slow(question, text):
        await asyncio.sleep(30)

    session = Session(FakeLM(["x"]))
    task = asyncio.ensure_future(score_steps(FunctionReward(slow), QUESTION, [TWO], session))
    await asyncio.sleep(0.02)
    session.stop()
    (cut,) = await asyncio.wait_for(task, 10)
    assert (cut.ended, session.ledger.stopped_by) == ("budget", "interrupt")


class Odd:
    """A reward whose shape is wrong."""

    name, requires = "odd", ()

    def __init__(self, result):
        self.result = result

    async def __call__(self, question, prefixes, lm):
        return self.result


@pytest.mark.parametrize(("result", "hint"), [([], "0 of 1 answers"), ([[0.5]], "1 scores for 2 steps")])
async def test_wrong_shapes_are_told(result, hint):
    with pytest.raises(UsageError, match=hint):
        await score_steps(Odd(result), QUESTION, [TWO], Session(FakeLM(["x"])))


def test_rewards_by_name():
    assert make_reward("exact") == StepCheck()
    with pytest.raises(UsageError, match="did you mean 'logprob'"):
        make_reward("logprobs")
    with pytest.raises(UsageError, match="is no reward"):
        make_reward(lambda question, text: 0.5)
    with pytest.raises(UsageError, match="seconds=0"):
        FunctionReward(lambda question, text: 0.5, seconds=0)


async def test_a_completion_without_steps_needs_no_score():
    scored = await score_steps("logprob", QUESTION, [Prefix(ended="stop")], Session(FakeLM([""])))
    assert scored == [Prefix(ended="stop")]
    assert Completion("").finish == "stop"
