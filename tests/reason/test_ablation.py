"""Ablations of the vote, on a model that knows each answer with a known probability."""

import pytest

from educe.core import Budget, InProcess, Seed, Store, UsageError
from educe.lm import FakeLM
from educe.reason.ablation import ablate, combine, with_option
from educe.reason.bench import Grid
from educe.tasks import make

COUNT = 12
GRID = Grid(("self-consistency:n=3",), ("letters",), "fake:x", Budget(samples=9), problems=COUNT)


def knowing(share: float) -> FakeLM:
    known = {problem.prompt: problem.solution for problem in make("letters", COUNT, split="test")}

    def answer(prompt: str, seed: int) -> str:
        right = next(text for question, text in known.items() if question in prompt)
        return right if Seed(seed).child("knows").numpy().random() < share else "The answer is wrong."

    return FakeLM(answer)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


async def test_a_knob_that_ruins_all_answers_loses_what_the_base_had(store):
    async with InProcess() as executor:
        found = await ablate(GRID, "max_tokens", (1, 200), knowing(0.7), executor, store)
    ruined, same = found.settings
    assert ruined.accuracy.value == 0 and ruined.wins == 0 and ruined.tokens == 3
    assert ruined.gain.value == pytest.approx(-same.accuracy.value) and ruined.losses == same.accuracy.value * COUNT > 0
    assert same.gain == (0, 0, 0) and (same.wins, same.losses) == (0, 0)
    assert found.spread == same.accuracy.value and found.best is same
    assert found.best_values == {"letters": ("200",)} and [row["max_tokens"] for row in found.table()] == ["1", "200"]


async def test_all_best_values_at_once_do_not_add_up_where_they_do_the_same(store):
    """Both knobs mend a base that says nothing; together they mend it once."""
    broken = Grid(("self-consistency:n=3,max_tokens=1",), ("letters",), "fake:x", Budget(samples=9), problems=COUNT)
    lm = knowing(1.0)
    async with InProcess() as executor:
        tokens = await ablate(broken, "max_tokens", (1, 180), lm, executor, store)
        more = await ablate(broken, "max_tokens", (200,), lm, executor, store)
        together = await combine(broken, (tokens, more), lm, executor, store)
    assert tokens.best.gain.value == more.best.gain.value == together.gain.value == 1.0
    assert together.sum_of_gains == 2.0 and together.method == "self-consistency:n=3,max_tokens=200"


async def test_bad_input_is_refused(store):
    two = Grid(("greedy", "best-of-n:n=2"), ("letters",), "fake:x", Budget(samples=9), problems=1)
    async with InProcess() as executor:
        with pytest.raises(UsageError, match="2 methods"):
            await ablate(two, "n", (1,), knowing(1.0), executor, store)
        with pytest.raises(UsageError, match="no value"):
            await ablate(GRID, "n", (), knowing(1.0), executor, store)
        with pytest.raises(UsageError, match="occurs twice"):
            await ablate(GRID, "n", (2, 2, 1), knowing(1.0), executor, store)
        with pytest.raises(UsageError, match="heat"):
            await ablate(GRID, "heat", (2,), knowing(1.0), executor, store)
        with pytest.raises(UsageError, match="no ablations of"):
            await combine(GRID, (), knowing(1.0), executor, store)


def test_an_option_is_set_or_replaced():
    assert with_option("greedy", "max_tokens", 8) == "greedy:max_tokens=8"
    assert with_option("beam-search:n=8,width=4", "n", 2) == "beam-search:width=4,n=2"


def test_a_grid_without_baselines_has_its_methods_alone():
    assert Grid(("rpc:n=2",), ("letters",), "fake:x", problems=1, beside=False).all_methods == ("rpc:n=2",)
