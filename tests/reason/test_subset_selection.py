"""Selectors on subsets against enumeration of all subsets, and against what an enumerable model must give."""

from itertools import combinations

import numpy as np
import pytest

from educe.core import UsageError
from educe.lm import Completion, TabularLM
from educe.reason import Answer, BankRow, Question, SampleBank, coverage, select

QUESTION = Question("2 + 2 = ?")


def bank_of(names, verdicts, scores):
    answers = {name: Answer(name, "number") for name in names if name}
    rows = [Completion(str(i), (i,), (-1.0,)) for i in range(len(names))]
    row = BankRow.of(rows, [answers.get(name) for name in names], verdicts, {"reward": scores})
    return SampleBank((QUESTION,), (row,))


NAMES = ["4", "5", "4", None, "6", "5"]
VERDICTS = [1, 0, 1, 0, 0, 0]
SCORES = [0.5, 0.4, 0.1, 0.9, 0.5, 0.3]


def enumerated(how, k):
    credits = []
    for chosen in combinations(range(6), k):
        readable = [i for i in chosen if NAMES[i]]
        totals = {}
        for i in readable:
            totals[NAMES[i]] = totals.get(NAMES[i], 0) + (1 if how == "majority" else SCORES[i])
        if how == "oracle":
            credits.append(any(VERDICTS[i] for i in chosen))
        elif not readable:
            credits.append(0.0)
        elif how == "best":
            top = max(SCORES[i] for i in readable)
            winners = [i for i in readable if SCORES[i] == top]
            credits.append(np.mean([VERDICTS[i] for i in winners]))
        else:
            winners = [name for name, total in totals.items() if total >= max(totals.values()) - 1e-9]
            credits.append(np.mean([name == "4" for name in winners]))
    return np.mean(credits)


@pytest.mark.parametrize("how", ["majority", "best", "weighted", "oracle"])
def test_random_subsets_average_to_all_subsets(how):
    ks = [1, 2, 3, 5, 6]
    found = select(bank_of(NAMES, VERDICTS, SCORES), how, ks, repeats=4000, seed=2).mean
    # Standard error below .5 / sqrt(4000) = .008; six of them.
    assert found == pytest.approx([enumerated(how, k) for k in ks], abs=0.048)
    assert found[-1] == pytest.approx(enumerated(how, 6))


def test_the_majority_tends_to_the_mode_and_the_oracle_to_coverage():
    lm = TabularLM({"": {"The answer is 4.": 0.4, "The answer is 5.": 0.35, "What?": 0.25}})
    bank = SampleBank.draw_sync(lm, [QUESTION, Question("3 + 2 = ?")], 900, references=["4", "5"])
    assert select(bank, "majority", [900]).credit[:, 0].tolist() == [1.0, 0.0]
    oracle = select(bank, "oracle", [1, 3], repeats=3000).mean
    assert oracle == pytest.approx(coverage(bank, [1, 3], replicates=0).mean, abs=6 * 0.5 / np.sqrt(6000))


def test_the_last_number_of_a_row_is_its_score():
    bank = bank_of(NAMES, VERDICTS, SCORES)
    steps = np.array([[9.0, score] if i % 2 else [score, np.nan] for i, score in enumerate(SCORES)])
    stepped = bank.with_scores("steps", [steps])
    one = select(bank, "best", [3], repeats=50).credit
    assert (select(stepped, "best", [3], score="steps", repeats=50).credit == one).all()


def test_subsets_are_paired_and_belong_to_the_problem():
    bank = bank_of(NAMES, VERDICTS, SCORES)
    two = SampleBank((QUESTION, QUESTION), (bank.rows[0], bank.rows[0]))
    assert select(two, "best", 3, repeats=20).credit[0] == select(bank, "best", 3, repeats=20).credit[0]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"how": "median"}, "'median' is unknown"),
        ({"k": 7}, "rows of 6"),
        ({"k": 0}, "k=0"),
        ({"repeats": 0}, "repeats=0"),
        ({"how": "best", "score": "rewards", "k": 2}, "did you mean 'reward'"),
    ],
)
def test_bad_selections_are_refused(options, hint):
    with pytest.raises(UsageError, match=hint):
        select(bank_of(NAMES, VERDICTS, SCORES), **options)


def test_a_score_must_be_named_where_there_are_several():
    bank = bank_of(NAMES, VERDICTS, SCORES).with_scores("other", [SCORES])
    with pytest.raises(UsageError, match="Name the one"):
        select(bank, "weighted", 2)
