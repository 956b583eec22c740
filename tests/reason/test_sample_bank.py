"""A bank keeps what was drawn: exact against the table, the same after a trip to disk, clear about damaged files."""

import json
import math

import numpy as np
import pytest

from educe.core import Budget, DataError, Posterior, UsageError
from educe.lm import Completion, FakeLM, Session, TabularLM
from educe.reason import Answer, BankRow, Question, SampleBank, path_key
from educe.verify.answers import Verdict

TABLE = {
    "": {"a": 0.5, "b": 0.5},
    "a": {" The answer is 4.": 0.75, " The answer is 5.": 0.25},
    "b": {" The answer is 4.": 0.1, " Who knows?": 0.9},
}
QUESTIONS = [Question("2 + 2 = ?", id="one"), Question("3 + 1 = ?", id="two")]


@pytest.fixture(scope="module")
def bank():
    return SampleBank.draw_sync(TabularLM(TABLE), QUESTIONS, 400, references=["4", "5"], seed=3)


def test_a_bank_holds_exact_log_probabilities_and_verdicts(bank):
    lm = TabularLM(TABLE)
    exact = {row.text: logprob for row, logprob in lm.completions("q")}
    for row, texts in zip(bank.rows, bank.texts, strict=True):
        assert row.logprobs == pytest.approx([exact[text] for text in texts])
        assert row.sampling_logprobs == pytest.approx(row.logprobs, abs=1e-5)
        assert (row.tokens == 3).all()
        assert len(set(row.paths)) == len(exact)
        assert [row.classes[code].text if code >= 0 else None for code in row.answers] == [
            text[-2] if text.endswith(".") else None for text in texts
        ]
    right = [sum(text.endswith("4.") for text in bank.texts[0]), sum(text.endswith("5.") for text in bank.texts[1])]
    samples, found = bank.counts()
    assert samples.tolist() == [400, 400] and found.tolist() == right
    # Rates .425 and .125 with 400 samples each: 6 standard errors, a false alarm below 1e-8.
    assert bank.rates == pytest.approx([0.425, 0.125], abs=6 * 0.025)


def test_a_bank_survives_its_file(bank, tmp_path):
    scored = bank.with_scores("steps", [np.full((400, 2), np.nan), np.arange(800.0).reshape(400, 2)])
    scored.save(tmp_path / "bank.npz")
    again = SampleBank.load(tmp_path / "bank.npz")
    assert again.questions == scored.questions and [q.id for q in again.questions] == ["one", "two"]
    assert again.texts == scored.texts and again.about == json.loads(json.dumps(scored.about))
    for mine, theirs in zip(again.rows, scored.rows, strict=True):
        assert mine.classes == theirs.classes
        for name in ("answers", "logprobs", "sampling_logprobs", "tokens", "paths", "verdicts"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
        np.testing.assert_array_equal(mine.scores["steps"], theirs.scores["steps"])


def test_a_damaged_file_is_named(bank, tmp_path):
    path = tmp_path / "bank.npz"
    bank.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="no sample bank"):
        SampleBank.load(path)
    path.write_bytes(b"hello")
    with pytest.raises(DataError, match="no sample bank"):
        SampleBank.load(path)
    with pytest.raises(DataError, match="no sample bank"):
        SampleBank.load(tmp_path / "missing.npz")
    np.savez(path, header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(DataError, match="no sample bank"):
        SampleBank.load(path)
    header = json.dumps({"format": 9, "questions": [], "classes": [], "texts": None, "about": {}}).encode()
    np.savez(path, header=np.frombuffer(header, dtype=np.uint8))
    with pytest.raises(DataError, match="format 9"):
        SampleBank.load(path)


def test_answers_that_point_nowhere_are_damage(bank, tmp_path):
    path = tmp_path / "bank.npz"
    bank.save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["0/answers"] = arrays["0/answers"] + 99
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="do not fit"):
        SampleBank.load(path)


def test_a_bank_is_a_session_with_the_same_rows():
    session = Session(TabularLM(TABLE), seed=3)
    rows = session.sample_sync(QUESTIONS[0].messages(), n=400)
    drawn = SampleBank.draw_sync(TabularLM(TABLE), QUESTIONS[:1], 400, seed=3)
    assert drawn.texts[0] == tuple(row.text for row in rows)


def test_a_budget_leaves_what_there_is():
    drawn = SampleBank.draw_sync(TabularLM(TABLE), QUESTIONS, 10, budget=Budget(samples=13), references=["4", "5"])
    assert [len(row) for row in drawn.rows] == [10, 3] and drawn.about["ledger"]["stopped_by"] == "samples"
    starved = SampleBank.draw_sync(TabularLM(TABLE), QUESTIONS, 10, budget=Budget(calls=1))
    assert [len(row) for row in starved.rows] == [10, 0] and math.isnan(starved.rates[1])


def test_a_checker_may_be_undecided_or_slow():
    async def checker(index, completion):
        return {"4": Verdict.PROVED, "5": Verdict.LIMIT_HIT}.get(completion.text[-2])

    drawn = SampleBank.draw_sync(TabularLM(TABLE), QUESTIONS[:1], 50, checker=checker)
    for verdict, text in zip(drawn.rows[0].verdicts, drawn.texts[0], strict=True):
        assert verdict == (1 if text.endswith("4.") else -1)
    assert SampleBank.draw_sync(FakeLM(["5"]), QUESTIONS[:1], 2, checker=lambda i, c: False).rates.tolist() == [0.0]


def test_a_model_without_log_probabilities_fills_in_nan():
    row = BankRow.of([Completion("x"), Completion("y")], [None, None])
    assert np.isnan(row.logprobs).all() and row.paths[0] != row.paths[1] and row.answers.tolist() == [-1, -1]


def test_tied_answers_share_the_credit():
    answers = [Answer("4", "number"), Answer("5", "number")]
    row = BankRow.of([Completion(str(i)) for i in range(4)], [*answers, *answers], [1, 0, 1, 0])
    assert row.credit(Posterior.uniform([answers[0], answers[1], answers[0], answers[1]])) == 0.5
    assert row.credit(Posterior.uniform([Answer("4.0", "number"), answers[0], answers[1]])) == 1.0
    assert row.credit(Posterior.uniform([answers[1]])) == 0.0
    assert row.credit(Posterior.uniform([])) == 0.0
    assert row.class_verdicts.tolist() == [1, 0]


def test_path_keys_tell_token_paths_apart():
    assert path_key(Completion("ab", (1, 2))) != path_key(Completion("ab", (12,)))
    assert path_key(Completion("ab", (1, 2))) == path_key(Completion("xy", (1, 2)))


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"n": 0}, "n=0"),
        ({"questions": []}, "0 questions"),
        ({"references": ["4"]}, "1 references for 2"),
        ({"references": ["4", "5"], "checker": lambda i, c: True}, "do not fit"),
        ({"lm": Session(FakeLM(["4"])), "budget": Budget(samples=1)}, "its own budget"),
    ],
)
def test_bad_requests_are_refused(options, hint):
    with pytest.raises(UsageError, match=hint):
        SampleBank.draw_sync(**{"lm": FakeLM(["4"]), "questions": QUESTIONS, "n": 2, **options})


def test_parts_that_do_not_fit_are_refused(bank):
    with pytest.raises(UsageError, match="one row per question"):
        SampleBank(bank.questions, bank.rows[:1])
    with pytest.raises(UsageError, match="texts do not fit"):
        SampleBank(bank.questions[:1], bank.rows[:1], (("a",),))
    with pytest.raises(UsageError, match="Scores 'x'"):
        bank.with_scores("x", [[1.0]])
    assert bank.take([1]).questions == (QUESTIONS[1],) and len(list(bank)) == 2
