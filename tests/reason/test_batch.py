"""Batches: order, resumption, equal work done once, errors kept apart."""

import json

import pytest

from educe.core import BackendError, Budget, InProcess, Store, StoreError, UsageError
from educe.lm import FakeLM
from educe.reason import Question, Unit, read_questions, solve_all


def numbers(prompt, seed):
    return f"The answer is {sum(map(ord, prompt)) % 7 + seed % 2}."


def units(count, **rest):
    return [
        Unit(Question(f"How many is {i}?", id=f"q{i}"), "self-consistency:4", "fake:test", **rest) for i in range(count)
    ]


async def lines(work, lm, store, **options):
    async with InProcess(limit=3) as workers:
        return [line async for line in solve_all(work, lm, workers, store, **options)]


async def test_lines_come_in_input_order_with_their_ids(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        found = await lines(units(9), FakeLM(numbers), store)
    assert [line["id"] for line in found] == [f"q{i}" for i in range(9)]
    assert set(found[0]) == {"id", "question", "answer", "confidence", "posterior", "ledger", "seed", "method", "lm"}
    assert "seconds" not in found[0]["ledger"]


async def test_what_is_stored_is_not_done_again(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        first = await lines(units(6), FakeLM(numbers), store)
        lm = FakeLM(numbers)
        assert await lines(units(6), lm, store) == first
        assert lm.prompts == []
        assert await lines(units(6), lm, store, fresh=True) == first
        assert len(lm.prompts) == 6


async def test_another_seed_method_or_budget_is_other_work(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        await lines(units(2), FakeLM(numbers), store)
        for change in ({"seed": 1}, {"budget": Budget(samples=2)}):
            lm = FakeLM(numbers)
            await lines(units(2, **change), lm, store)
            assert len(lm.prompts) == 2


async def test_a_broken_run_goes_on_to_the_same_answers(tmp_path):
    def dying(prompt, seed):
        if "is 4?" in prompt:
            raise BackendError("The server is gone. Start it.")
        return numbers(prompt, seed)

    with Store(tmp_path / "a.sqlite") as store:
        whole = await lines(units(8), FakeLM(numbers), store)
    with Store(tmp_path / "b.sqlite") as store:
        with pytest.raises(BackendError):
            await lines(units(8), FakeLM(dying), store)
        lm = FakeLM(numbers)
        assert await lines(units(8), lm, store) == whole
        assert len(lm.prompts) < 8


async def test_equal_questions_are_asked_once(tmp_path):
    lm = FakeLM(numbers)
    work = [Unit(Question("How many?", id=name), "greedy", "fake:test") for name in ("a", "b", "c")]
    with Store(tmp_path / "s.sqlite") as store:
        found = await lines(work, lm, store)
    assert len(lm.prompts) == 1
    assert [line["id"] for line in found] == ["a", "b", "c"]


async def test_a_question_that_cannot_be_taken_does_not_stop_the_others(tmp_path):
    def picky(prompt, seed):
        if "is 1?" in prompt:
            raise UsageError("The prompt is too long. Shorten it.")
        return numbers(prompt, seed)

    with Store(tmp_path / "s.sqlite") as store:
        found = await lines(units(3), FakeLM(picky), store)
        assert found[1]["error"].startswith("The prompt is too long")
        assert [line["id"] for line in found] == ["q0", "q1", "q2"]
        # A failure is not kept as an answer.
        assert "error" not in (await lines(units(3), FakeLM(numbers), store))[1]


async def test_a_store_that_is_full_ends_the_batch_and_shows_what_is_there(tmp_path, monkeypatch):
    with Store(tmp_path / "s.sqlite") as store:
        monkeypatch.setattr(
            store, "put", lambda unit: (_ for _ in ()).throw(StoreError("The disk is full. Free space."))
        )
        seen = []
        async with InProcess(limit=1) as workers:
            with pytest.raises(StoreError):
                async for line in solve_all(units(3), FakeLM(numbers), workers, store):
                    seen.append(line)
    assert len(seen) == 1


def test_questions_are_read():
    text = [
        json.dumps({"question": "How many?"}),
        "",
        json.dumps({"id": 7, "question": "Which?", "choices": ["a", "b"]}),
    ]
    assert [question.id for question in read_questions(text)] == ["1", "7"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ([], "no question"),
        (["", "  "], "no question"),
        (["{"], "Line 1 is no JSON"),
        (['{"question": "a"}', "[1]"], "Line 2"),
        (['{"question": ""}'], "Line 1: The question is empty"),
        (['{"id": "a", "question": "x"}', '{"id": "a", "question": "y"}'], "that of line 1"),
        (["[" * 100_000], "Line 1 is no JSON"),
    ],
)
def test_bad_batches_are_refused_before_any_work(text, hint):
    with pytest.raises(UsageError, match=hint):
        read_questions(text)
