"""Lessons in revising: right answers last, the closest wrong one before them."""

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import UsageError
from educe.learn import edit_distance, make_revision_data, revision_text
from educe.learn.rollouts import Rollout
from educe.tasks import make

PROBLEMS = make("letters", 3, "train", seed=1)


def rollouts(texts):
    return [
        Rollout(PROBLEMS[number], [1], [], [2], text, right)
        for number, answers in texts.items()
        for text, right in answers
    ]


@given(st.text("ab", max_size=9), st.text("ab", max_size=9), st.text("ab", max_size=9))
def test_the_edit_distance_is_a_distance(first, second, third):
    there = edit_distance(first, second)
    assert there == edit_distance(second, first)
    assert (there == 0) == (first == second)
    assert there <= edit_distance(first, third) + edit_distance(third, second)
    assert abs(len(first) - len(second)) <= there <= max(len(first), len(second))
    # Texts that share a long block need no more than the rest to be changed.
    block = SequenceMatcher(None, first, second).find_longest_match().size
    assert there <= len(first) + len(second) - 2 * block


def test_the_closest_wrong_answer_stands_last():
    found = make_revision_data(
        rollouts({0: [("aaaa", True), ("bbbb", False), ("aaab", False), ("cccc", False)]}), most=3, seed=2
    )
    assert [lesson.answer for lesson in found] == ["aaaa"]
    shown = {
        lesson.earlier[-1]
        for seed in range(30)
        for lesson in make_revision_data(rollouts({0: [("aaaa", True), ("bbbb", False), ("aaab", False)]}), seed=seed)
        if lesson.earlier
    }
    assert shown == {"aaab"}


def test_the_number_of_wrong_answers_is_uniform():
    wrong = [(f"b{number}", False) for number in range(9)]
    answers = [(f"a{number}", True) for number in range(2000)]
    counts = [len(lesson.earlier) for lesson in make_revision_data(rollouts({1: answers + wrong}))]
    for number in range(5):
        # Binomial with mean 400 and standard deviation 17.9; 5.5 of these.
        assert abs(counts.count(number) - 400) < 99
    assert max(counts) == 4
    assert all(
        len(set(lesson.earlier)) == len(lesson.earlier) for lesson in make_revision_data(rollouts({1: answers + wrong}))
    )


def test_problems_do_not_mix_and_none_without_a_right_answer_is_used():
    found = make_revision_data(rollouts({0: [("a", True), ("b", False)], 1: [("c", False)], 2: [("d", True)]}))
    assert {lesson.question for lesson in found} == {PROBLEMS[0].prompt, PROBLEMS[2].prompt}
    assert all("c" not in lesson.earlier for lesson in found)
    assert make_revision_data(rollouts({0: [("a", True), ("b", False)]}), most=0)[0].earlier == ()


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="most=-1"):
        make_revision_data([], most=-1)


def test_the_text_ends_where_the_next_answer_begins():
    assert revision_text("2 + 2?", []) == "Question: 2 + 2?\nAnswer:\n"
    assert revision_text("2 + 2?", ["5\n", "6"]).endswith("Answer:\n5\nAnswer:\n6\nAnswer:\n")
