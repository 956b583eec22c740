"""The grid and its table, on models whose accuracy is known."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from educe.core import Budget, InProcess, Seed, Store, UsageError
from educe.lm import FakeLM
from educe.reason.bench import Grid, GridRow, vote_sizes
from educe.reason.bench_summary import Summary, false_discovery, recommend, sign_flip, summarize
from educe.tasks import make

TASKS = ("claims", "letters")


def knowing(share: float) -> FakeLM:
    """A model that knows each answer and says it with some probability."""
    known = {problem.prompt: problem.solution for task in TASKS for problem in make(task, 12, split="test")}

    def answer(prompt: str, seed: int) -> str:
        right = next(text for question, text in known.items() if question in prompt)
        return right if Seed(seed).child("knows").numpy().random() < share else "The answer is wrong."

    return FakeLM(answer)


async def run(grid: Grid, lm: FakeLM, store: Store) -> list[GridRow]:
    async with InProcess() as executor:
        return [row async for row in grid.run(lm, executor, store)]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


GRID = Grid(("best-of-n", "resample-until-accepted"), TASKS, "fake:x", Budget(samples=8), problems=12, seeds=2)


@pytest.mark.slow
async def test_rows_are_complete_paired_and_resumable(store: Store) -> None:
    lm = knowing(0.6)
    rows = await run(GRID, lm, store)
    assert len(rows) == len(GRID.all_methods) * 2 * 2 * 12
    assert [row.method for row in rows[:: 2 * 2 * 12]] == list(GRID.all_methods)
    assert {row.samples for row in rows if row.method == "best-of-n"} == {8}
    # Votes are nested: the first sample of the larger vote is the smaller vote's.
    one = {(r.problem, r.seed): r.correct for r in rows if r.method == "self-consistency:n=1"}
    eight = {(r.problem, r.seed): r.covered for r in rows if r.method == "self-consistency:n=8"}
    assert all(eight[key] for key, right in one.items() if right)
    asked = len(lm.prompts)
    assert await run(GRID, lm, store) == rows
    assert len(lm.prompts) == asked


@pytest.mark.slow
async def test_a_killed_grid_goes_on(store: Store) -> None:
    lm = knowing(0.6)
    async with InProcess() as executor:
        partly = GRID.run(lm, executor, store)
        for _ in range(30):
            await anext(partly)
        await partly.aclose()
    before = len(lm.prompts)
    rows = await run(GRID, lm, store)
    fresh = knowing(0.6)
    with Store(store.path.with_name("other.sqlite")) as other:
        whole = await run(GRID, fresh, other)
    plain = [{**vars(row), "seconds": 0.0} for row in rows]
    assert plain == [{**vars(row), "seconds": 0.0} for row in whole]
    assert before < len(lm.prompts) <= len(fresh.prompts) + 64  # what was in flight at the end is asked for again


@pytest.mark.slow
async def test_the_table_says_what_the_model_does(store: Store) -> None:
    rows = await run(GRID, knowing(1.0), store)
    summary = summarize(GRID, rows)
    for cell in summary.cells:
        assert cell.accuracy == cell.coverage == cell.vote == 1.0
        assert cell.gain == 0.0 and cell.p == 1.0 and not cell.real
        assert cell.brier == 0.0 and math.isnan(cell.auroc)
    assert Summary.from_json(json.loads(json.dumps(summary.to_json(), allow_nan=False))).to_json() == summary.to_json()
    with pytest.raises(UsageError, match="no cell"):
        summary.cell("mcts")


def table(right: dict[str, list[float]], tokens: dict[str, int]) -> tuple[Grid, list[GridRow]]:
    """Rows of one task in which only what the summary reads is set."""
    grid = Grid(("best-of-n",), ("claims",), "fake:x", Budget(samples=4), problems=len(right["greedy"]))
    rows = [
        GridRow("claims", f"p{place}", method, method != "best-of-n", 0, bool(value), bool(value), 0.5, tokens[method],
                10, 0, 1, 1, 0.1)
        for method in grid.all_methods
        for place, value in enumerate(right[method])
    ]  # fmt: skip
    return grid, rows


@pytest.mark.slow
def test_the_vote_is_read_off_at_equal_tokens() -> None:
    n = 40
    right = {
        "greedy": [1] * 10 + [0] * 30,
        "self-consistency:n=1": [1] * 8 + [0] * 32,
        "self-consistency:n=2": [1] * 16 + [0] * 24,
        "self-consistency:n=4": [1] * 24 + [0] * 16,
        "best-of-n": [1] * 36 + [0] * 4,
    }
    tokens = {"greedy": 40, "self-consistency:n=1": 40, "self-consistency:n=2": 80, "self-consistency:n=4": 160}
    for spent, vote in ((10, 0.2), (40, 0.2), (80, 0.4), (80 * 2**0.5, 0.5), (160, 0.6), (9999, 0.6)):
        grid, rows = table(right, tokens | {"best-of-n": spent})  # type: ignore[dict-item]
        cell = summarize(grid, rows).cell("best-of-n", "claims")
        assert cell.vote == pytest.approx(vote) and cell.gain == pytest.approx(0.9 - vote)
        assert cell.real and cell.gain_low < cell.gain < cell.gain_high
    assert recommend(summarize(grid, rows), Budget(samples=4)).method == "best-of-n"
    assert "no method beat" not in recommend(summarize(grid, rows), Budget(samples=4), "boolean").reason
    frugal = recommend(summarize(grid, rows), Budget(tokens=100, samples=4))
    assert frugal.method == "self-consistency:n=2" and "no method beat the plain vote" in frugal.reason
    assert recommend(summarize(grid, rows), Budget(tokens=1)).method == "greedy"
    assert n == len(right["greedy"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_false_discoveries_against_scipy(p: list[float]) -> None:
    adjusted = false_discovery_control(p)
    clear = np.abs(adjusted - 0.05) > 1e-9
    assert (np.array(false_discovery(p)) == (adjusted <= 0.05))[clear].all()


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=8))
def test_sign_flips_by_enumeration(values: list[float]) -> None:
    nonzero = [value for value in values if value]
    sums = [
        abs(sum(s * v for s, v in zip(signs, nonzero, strict=True))) for signs in product((1, -1), repeat=len(nonzero))
    ]
    assert sign_flip(values) == pytest.approx(np.mean([total >= abs(sum(nonzero)) - 1e-12 for total in sums]))


def test_sign_flips_by_lot_are_near_the_binomial_tail() -> None:
    # 30 differences, 25 of them positive: P(|sum| >= 20) for 30 fair signs.
    exact = 2 * sum(math.comb(30, k) for k in range(25, 31)) / 2**30
    assert sign_flip([1.0] * 25 + [-1.0] * 5) == pytest.approx(exact, abs=5 * math.sqrt(exact / 4000) + 1 / 4000)


def test_bad_grids_are_refused() -> None:
    assert vote_sizes(Budget()) == [1, 2, 4, 8, 16, 32, 64] and vote_sizes(Budget(samples=1)) == [1]
    for arguments, message in (
        (((), ("claims",)), "needs a method"),
        ((("best-of-n",), ()), "needs a method"),
        ((("bestofn",), ("claims",)), "did you mean"),
        ((("best-of-n",), ("claim",)), "did you mean"),
        ((("best-of-n", "best-of-n"), ("claims",)), "twice"),
    ):
        with pytest.raises(UsageError, match=message):
            Grid(*arguments, "fake:x")
    for options in ({"problems": 0}, {"seeds": 0}):
        with pytest.raises(UsageError):
            Grid(("best-of-n",), ("claims",), "fake:x", **options)
    with pytest.raises(UsageError, match="no row"):
        summarize(GRID, [])
