"""A step policy cuts and continues answers exactly; drawing step by step has the law of drawing at once."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Budget, UsageError
from educe.lm import Completion, FakeLM, Session, TabularLM
from educe.reason import Prefix, Question, Step, StepPolicy
from educe.reason.steps import continued, draw_whole, extend

QUESTION = Question("Which letters?", kind="text", examples=())
PLAIN = StepPolicy(temperature=1.0)


@given(st.text("ab\n", max_size=12), st.sampled_from(["\n", "\n\n", "ab"]))
def test_cutting_loses_nothing(text, boundary):
    steps = StepPolicy(boundary=boundary).split(text)
    assert "".join(steps) == text
    assert all(step.count(boundary) <= 1 or boundary == "\n\n" for step in steps)
    assert all(step.endswith(boundary) for step in steps[:-1])


@pytest.mark.parametrize(
    "options",
    [
        {"boundary": ""},
        {"max_steps": 0},
        {"max_tokens": 0},
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"top_p": 0.0},
    ],
)
def test_bad_policies_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        StepPolicy(**options)


@pytest.mark.parametrize(
    ("row", "text", "ended"),
    [
        (Completion("a", finish="stop", stopped_at="\n"), "a\n", None),
        (Completion("a", finish="stop"), "a", "stop"),
        (Completion("a", finish="length"), "a", "length"),
        (Completion("a", finish="budget"), "a", "budget"),
        # A server that does not tell: an announced answer is an end, nothing written is one, all else a boundary.
        (Completion("a", finish="stop", stopped_at=""), "a\n", None),
        (Completion("The answer is a.", finish="stop", stopped_at=""), "The answer is a.", "stop"),
        (Completion("", finish="stop", stopped_at=""), "", "stop"),
        (Completion("", finish="stop", stopped_at="\n"), "\n", None),
    ],
)
def test_how_a_row_becomes_a_step(row, text, ended):
    prefix = StepPolicy().grown(Prefix((Step("b\n"),), (0.5,)), row)
    assert (prefix.text, prefix.ended, prefix.scores) == ("b\n" + text, ended, (0.5,))


def test_the_last_step_ends_an_answer():
    policy = StepPolicy(max_steps=2, max_tokens=3)
    row = Completion("a", (1, 2), (-1.0, -1.0), None, (0, 1), "stop", stopped_at="\n")
    assert policy.grown(Prefix((Step("b\n"),)), row).ended == "length"
    assert policy.grown(Prefix((Step("b\n", 2),)), row).ended == "length"
    assert policy.grown(Prefix(), row).ended is None


def test_an_answer_under_way_is_the_assistants_beginning():
    assert continued(QUESTION, Prefix()) == QUESTION.messages()
    begun = continued(QUESTION, Prefix((Step("a\n"), Step("b\n"))))
    assert begun == [*QUESTION.messages(), {"role": "assistant", "content": "a\nb\n"}]


def law(prompt, text):
    share = 0.2 + 0.6 * (text.count("a") + 1) / (len(text) + 2)
    return {"a\n": 0.8 * share, "b\n": 0.8 * (1 - share), "": 0.2} if len(text) < 8 else {"": 1.0}


@pytest.mark.slow
async def test_step_by_step_has_the_law_of_all_at_once():
    lm = TabularLM(law)
    n = 4000
    drawn = [Prefix()] * n
    session = Session(lm, seed=3)
    while any(prefix.ended is None for prefix in drawn):
        drawn = await extend(QUESTION, session, PLAIN, drawn)
    counts = Counter(prefix.text for prefix in drawn)
    exact = lm.exact(QUESTION.messages())
    shares = dict(zip(exact.values, exact.probabilities.tolist(), strict=True))
    assert set(counts) <= set(shares)
    for text, share in shares.items():
        # Binomial counts: 5.5 standard deviations and one count are passed by chance less than 1e-6 of times in all.
        assert abs(counts[text] - n * share) < 5.5 * math.sqrt(n * share) + 1
    assert session.ledger.samples == n
    whole = await draw_whole(QUESTION, Session(lm), PLAIN, 50)
    assert all(prefix.ended == "stop" for prefix in whole)


async def test_log_probabilities_of_steps_add_up_to_the_models():
    lm = TabularLM(law)
    for prefix in await draw_whole(QUESTION, Session(lm), PLAIN, 20):
        total = math.fsum(step.logprob for step in prefix.steps)
        assert total == pytest.approx(math.log(lm.probability(QUESTION.messages(), prefix.text)))


async def test_equal_prefixes_share_one_request_and_draw_apart():
    lm = FakeLM(lambda prompt, seed: f"{seed % 7}\nrest")
    session = Session(lm)
    grown = await extend(QUESTION, session, PLAIN, [Prefix()] * 12)
    assert len(lm.prompts) == 1
    assert len({prefix.text for prefix in grown}) > 1
    again = await extend(QUESTION, session, PLAIN, [*grown[:1] * 3, grown[-1].cut()])
    assert len(lm.prompts) == 2
    assert again[-1].ended == "budget"
    assert session.ledger.samples == 12


async def test_rows_that_a_budget_denies_are_marked():
    session = Session(FakeLM(["a\nb"]), Budget(samples=2))
    grown = await extend(QUESTION, session, PLAIN, [Prefix()] * 4)
    assert [prefix.ended for prefix in grown] == [None, None, "budget", "budget"]
    further = await extend(QUESTION, session, PLAIN, grown)
    assert [len(prefix.steps) for prefix in further] == [2, 2, 0, 0]


async def test_a_step_never_passes_the_limit_on_tokens():
    session = Session(FakeLM(["word " * 100]), trace=True)
    (grown,) = await extend(QUESTION, session, StepPolicy(max_tokens=20), [Prefix((Step("a\n", 5),))])
    assert (grown.tokens, grown.ended) == (20, "length")
