"""What holds for every family: splits by content, references that pass their own checkers, near misses that do not."""

import itertools
import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.core import Seed, UsageError
from educe.reason import Question
from educe.tasks import FAMILIES, SPLITS, make, split_of, stream
from educe.tasks.problem import FINAL
from educe.verify import AnswerKind, extract

NAMES = sorted(FAMILIES)


def settings_of_dials():
    return [(name, level) for name in NAMES for level in FAMILIES[name].difficulties]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_content(name):
    keys = {split: {json.dumps(p.key) for seed in range(3) for p in make(name, 60, split, seed)} for split in SPLITS}
    assert not keys["train"] & keys["dev"]
    assert not keys["train"] & keys["test"]
    assert not keys["dev"] & keys["test"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32), st.integers(0, 2**32), st.data())
def test_no_two_seeds_bring_one_content_into_two_splits(name, seed, other, data):
    level = data.draw(st.sampled_from(list(FAMILIES[name].difficulties)))
    drawn = {}
    for split, at in (("train", seed), ("dev", other), ("test", seed)):
        source = stream(Seed(at).numpy(), name, level, split)
        for _ in range(5):
            problem = next(source)
            assert problem.split == split == split_of(problem.key)
            assert drawn.setdefault(json.dumps(problem.key), split) == split
            # The key survives a journey through JSON, so that a stored problem stays in its split.
            assert split_of(json.loads(json.dumps(problem.key))) == split


def test_the_same_chain_has_one_split_in_all_its_forms():
    for name in ("multiple_choice", "multiple_choice_at_once"):
        for problem in make(name, 30, "test", seed=4):
            assert problem.key[0] == "chain"
            assert split_of(problem.key) == "test"
    assert {p.key[0] for p in make("chain_arithmetic", 5)} == {"chain"}
    assert {p.key[0] for p in make("claims", 5)} == {p.key[0] for p in make("two_hop_facts", 5)}


def test_shares_of_the_splits():
    # 20000 distinct keys: the standard error of a share of 0.1 is 0.0021; six of them fail once in 5e8 runs.
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(20000):
        counts[split_of(["share", number])] += 1
    assert abs(counts["train"] / 20000 - 0.8) < 6 * 0.0029
    assert abs(counts["dev"] / 20000 - 0.1) < 6 * 0.0022
    assert abs(counts["test"] / 20000 - 0.1) < 6 * 0.0022


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), settings_of_dials())
def test_every_reference_passes_its_own_checkers(name, level):
    rng = np.random.default_rng(5)
    for split in SPLITS:
        source = stream(rng, name, level, split)
        for _ in range(8):
            problem = next(source)
            assert problem.difficulty == level
            assert problem.check(problem.solution)
            assert problem.check_steps(problem.solution) == [True] * (len(problem.steps) + 1)
            question = Question.from_json(problem.question_json())
            assert question.answer_kind is problem.kind
            assert question.messages() == [{"role": "user", "content": problem.prompt}]
            assert problem.answer not in problem.question_json().values() or problem.kind is AnswerKind.NUMBER


@pytest.mark.parametrize("name", NAMES)
def test_another_problems_answer_is_not_right(name):
    problems = make(name, 60, "dev", seed=2)
    wrong = [
        (problem, other)
        for problem, other in itertools.pairwise(problems)
        if other.answer != problem.answer and problem.kind is not AnswerKind.CHOICE
    ]
    if problems[0].kind is AnswerKind.CHOICE:
        for problem in problems:
            verdicts = [problem.check(f"{FINAL}{letter}.") for letter in "ABCD"]
            assert verdicts.count(True) == 1
            assert verdicts["ABCD".index(problem.answer)]
        return
    assert wrong
    for problem, other in wrong:
        if name == "list_programs":
            continue  # two programs may be one function; see test_list_programs
        assert not problem.check(other.solution)
        assert problem.check_steps(f"{FINAL}{other.answer}.") == [False]


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_is_off_by_one_is_wrong(name):
    for problem in make(name, 10, "dev", seed=3):
        if problem.kind is AnswerKind.NUMBER:
            for near in (
                int(problem.answer) + 1,
                int(problem.answer) - 1,
                int(problem.answer) + 10,
                10 * int(problem.answer) + 7,
            ):
                assert not problem.check(f"{FINAL}{near}.")
        if problem.kind is AnswerKind.BOOLEAN:
            assert not problem.check(f"{FINAL}{'no' if problem.answer == 'yes' else 'yes'}.")
        if problem.kind is AnswerKind.TEXT:
            assert not problem.check(f"{FINAL}{problem.answer}x.")
        assert not problem.check("I do not know.")
        assert not problem.check("")


@pytest.mark.parametrize("name", [name for name in NAMES if FAMILIES[name].kind is AnswerKind.NUMBER])
def test_a_step_with_one_digit_changed_is_wrong(name):
    for problem in make(name, 20, "dev", seed=3):
        for place, step in enumerate(problem.steps):
            at = max(i for i, character in enumerate(step) if character.isdigit())
            spoiled = step[:at] + str((int(step[at]) + 1) % 10) + step[at + 1 :]
            if "* " in step and re.search(r"\(0|\b0 \*|\* 0", step):
                continue  # a factor beside zero may change without changing the value
            lines = [*problem.steps[:place], spoiled]
            assert problem.check_steps("\n".join(lines)) == [True] * place + [False]


@pytest.mark.parametrize("name", NAMES)
def test_more_problems_begin_with_the_fewer(name):
    few, many = make(name, 5, seed=8), make(name, 12, seed=8)
    assert [problem.id for problem in few] == [problem.id for problem in many[:5]]
    assert len({problem.id for problem in many}) == 12
    assert [problem.id for problem in few] != [problem.id for problem in make(name, 5, seed=9)]


@pytest.mark.parametrize("name", NAMES)
def test_blank_lines_do_not_count(name):
    problem = make(name, 1)[0]
    spaced = problem.solution.replace("\n", "\n\n") + "\n"
    assert problem.check_steps(spaced) == problem.check_steps(problem.solution)


def test_letters_are_balanced():
    # 400 letters, each with probability 1/4: six standard errors of a share are 0.13.
    letters = [problem.answer for problem in make("multiple_choice", 400, "train")]
    assert all(abs(letters.count(letter) / 400 - 0.25) < 0.13 for letter in "ABCD")


def test_the_answer_of_a_choice_is_read_as_its_text():
    problem = make("multiple_choice", 1)[0]
    read = extract(problem.solution, problem.kind, problem.choices)
    assert read == problem.choices["ABCD".index(problem.answer)]
    assert problem.check_answer(read)


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_travels_to_another_process(name):
    problem = make(name, 1)[0]
    again = pickle.loads(pickle.dumps(problem))
    assert again.id == problem.id
    assert again.check_steps(problem.solution) == problem.check_steps(problem.solution)


def test_bad_requests_are_refused():
    with pytest.raises(UsageError, match="no family"):
        make("chain_arithmetics", 1)
    with pytest.raises(UsageError, match="Split 'trian'"):
        make("letters", 1, "trian")
    with pytest.raises(UsageError, match="off the dial"):
        make("letters", 1, difficulty=99)
    with pytest.raises(UsageError, match="asks for no problem"):
        make("letters", 0)
    with pytest.raises(UsageError, match="Ask for fewer"):
        make("linear_equations", 1000, difficulty=1)
