"""Questions refuse nonsense at the border; equal answers are equal."""

import pytest

from educe.core import UsageError
from educe.lm import Completion, FakeLM
from educe.lm.prompt import prompt_text
from educe.reason import Answer, Question, ask, infer_kind, read_answers
from educe.verify.answers import AnswerKind, extract


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("How many legs do three spiders have?", "number"),
        ("Tom has 3 apples. He eats one. How many are left?", "number"),
        ("What is 17 + 25?", "number"),
        ("How much is a dozen?", "number"),
        ("Is ice cold?", "boolean"),
        ("Does a spider have eight legs?", "boolean"),
        ("Is it red or blue?", "text"),
        ("Who wrote Hamlet?", "text"),
        ("What is the capital of France?", "text"),
        ("How many? Name the author.", "text"),
    ],
)
def test_the_kind_is_guessed_from_the_last_sentence(text, kind):
    assert str(infer_kind(text)) == kind
    assert str(Question(text).kind) == kind


def test_choices_are_put_by_letter():
    question = Question("Which?", choices=("pear", "stone"))
    assert question.messages()[-1]["content"].splitlines()[:3] == ["Which?", "A. pear", "B. stone"]
    assert str(question.kind) == "choice"


def test_examples_come_as_earlier_turns():
    messages = Question("3 + 3?", examples=(("2 + 2?", "4"),)).messages()
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[-1]["content"] == "3 + 3?"


@pytest.mark.parametrize("kind", list(AnswerKind))
def test_the_kinds_own_examples_can_be_read_back(kind):
    choices = ("pear", "stone") if kind is AnswerKind.CHOICE else ()
    question = Question("Which?", kind, choices)
    messages = question.messages()
    for asked, told in zip(messages[:-1:2], messages[1::2], strict=True):
        lines = asked["content"].splitlines()
        options = tuple(line[3:] for line in lines[1:])
        assert extract(told["content"], kind, options) is not None
        assert len(lines) == 1 or options
    assert messages[-1]["content"].startswith("Which?")


def test_without_examples_the_kinds_instruction_is_given():
    bare = Question("How many?", examples=())
    assert len(bare.messages()) == 1 and "The answer is" in bare.messages()[0]["content"]
    assert Question("How many?", examples=(), instruction="").messages()[0]["content"] == "How many?"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"text": ""}, "empty"),
        ({"text": "  \n"}, "empty"),
        ({"text": 3}, "empty"),
        ({"text": "Q", "kind": "colour"}, "'colour'"),
        ({"text": "Q", "choices": ("one",)}, "1 choices"),
        ({"text": "Q", "choices": tuple(map(str, range(27)))}, "27 choices"),
        ({"text": "Q", "choices": ("a", "")}, "empty"),
        ({"text": "Q", "choices": ("pear", "Pear")}, "repeat"),
        ({"text": "Q", "kind": "choice"}, "does not fit"),
        ({"text": "Q", "kind": "number", "choices": ("1", "2")}, "does not fit"),
    ],
)
def test_bad_questions_are_refused(arguments, hint):
    with pytest.raises(UsageError, match=hint):
        Question(**arguments)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ([], "no JSON object"),
        ({}, "'question' is missing"),
        ({"question": 3}, "'question' is missing"),
        ({"question": "Q", "answer": "4"}, "'answer' is unknown"),
        ({"question": "Q", "choices": "ab"}, "malformed"),
        ({"question": "Q", "examples": [["a"]]}, "malformed"),
        ({"question": "Q", "choices": [1, 2]}, "no text"),
    ],
)
def test_bad_objects_are_refused(data, hint):
    with pytest.raises(UsageError, match=hint):
        Question.from_json(data)


def test_json_round_trip():
    question = Question("Which?", None, ("pear", "stone"), (("a", "b"),), "Say it.", "q7")
    assert Question.from_json({**question.to_json(), "id": "q7"}) == question


async def test_equal_answers_come_back_as_one():
    completions = [Completion(text) for text in ("The answer is 0.5.", "It is 1/2", "no idea", "The answer is 3.")]
    cut = Completion("The answer is 3.", finish="budget")
    one, other, none, three, lost = await read_answers(Question("How much?"), [*completions, cut])
    assert one is other
    assert none is None and lost is None
    assert three == Answer("3.0", three.kind) and hash(three) == hash(Answer("3.0", three.kind))
    assert one != three


@pytest.mark.parametrize(
    ("name", "question", "turns"),
    [
        ("abacus", Question("What is 2 + 2?"), ["What is 2 + 2?"]),
        ("abacus", Question("2 + 2?", examples=(("1 + 1?", "2"),)), ["1 + 1?", "2", "2 + 2?"]),
        ("another", Question("What is 2 + 2?"), [turn["content"] for turn in Question("What is 2 + 2?").messages()]),
    ],
)
async def test_a_model_that_was_trained_on_bare_questions_gets_no_examples_of_ours(name, question, turns):
    lm = FakeLM(lambda prompt, seed: "The answer is 4.", name=name)
    await ask(question, lm, "greedy")
    roles = ("user", "assistant")
    assert lm.prompts == [prompt_text([{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)])]
