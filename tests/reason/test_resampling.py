"""Resampling with an imperfect verifier: closed forms, permutations, and the method itself."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Seed, UsageError
from educe.lm import FakeLM, Session, TabularLM
from educe.reason import (
    ABSTAIN,
    Question,
    ResampleUntilAccepted,
    SampleBank,
    resampling_ceiling,
    resampling_reward,
    two_type_attempts,
    two_type_reward,
)
from educe.testing import check_strategy
from educe.verify import Verdict, precision_after_acceptance

QUESTION = Question("2 + 2 = ?")
LM = {"": {"The answer is 4.": 0.3, "The answer is 5.": 0.5, "What?": 0.2}}
KS = [*range(1, 60), 100, 1000, 10**6]
types = st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.05, 0.95))


def permuted_reward(accepted: list[int], right: list[int], k: int, cost: float) -> float:
    """Mean reward of the first acceptance among the first k, over all orders of the pool."""
    rewards = []
    for order in permutations(range(len(accepted))):
        first = next((i for i in order[:k] if accepted[i]), None)
        rewards.append(0.0 if first is None else 1.0 if right[first] else -cost)
    return float(np.mean(rewards))


@pytest.mark.parametrize(
    ("accepted", "right"), [([1, 1, 0, 0, 1], [1, 0, 1, 0, 0]), ([0, 0, 0], [1, 0, 0]), ([1], [1])]
)
def test_reward_is_the_mean_over_all_orders(accepted: list[int], right: list[int]) -> None:
    for cost in (0.0, 1.0, 4.0):
        curve = resampling_reward(([accepted], [right]), fp_cost=cost)
        expected = [permuted_reward(accepted, right, k, cost) for k in curve.ks]
        assert curve.mean == pytest.approx(expected, abs=1e-12)


def test_a_perfect_verifier_has_no_ceiling_but_coverage() -> None:
    rng = np.random.default_rng(1)
    right = [rng.random(30) < share for share in np.linspace(0, 0.4, 12)]
    ceiling = resampling_ceiling((right, right))
    assert ceiling.macro == 1.0 and ceiling.worst == pytest.approx(np.mean([r.any() for r in right]))
    curve = resampling_reward((right, right), fp_cost=8.0)
    assert (np.diff(curve.mean) >= -1e-15).all()
    assert curve.mean[-1] == pytest.approx(ceiling.worst)


def test_a_blind_verifier_gives_single_sample_accuracy() -> None:
    rng = np.random.default_rng(2)
    right = [rng.random(30) < share for share in np.linspace(0, 1, 12)]
    blind = [np.ones(30, dtype=bool)] * 12
    assert resampling_ceiling((blind, right)).macro == pytest.approx(np.mean([r.mean() for r in right]))
    curve = resampling_reward((blind, right), fp_cost=0.0)
    assert curve.mean == pytest.approx(np.full(30, np.mean([r.mean() for r in right])))
    assert curve.optimal_k == 1


@given(st.integers(0, 2**32), st.floats(0, 8), st.floats(0, 8))
def test_reward_is_linear_in_the_cost_and_attempts_fall_with_it(seed: int, low: float, high: float) -> None:
    rng = np.random.default_rng(seed)
    pool = [rng.random(12) < 0.5 for _ in range(6)], [rng.random(12) < 0.4 for _ in range(6)]
    low, high = sorted((low, high))
    curves = [resampling_reward(pool, fp_cost=cost) for cost in (low, high, (low + high) / 2)]
    assert curves[2].mean == pytest.approx((curves[0].mean + curves[1].mean) / 2, abs=1e-9)
    assert curves[1].optimal_k <= curves[0].optimal_k


def test_published_two_type_limits() -> None:
    for cost, limit, attempts in ((0.7, 0.5176, 3), (1.0, 0.4325, 2), (2.0, 0.1487, 1)):
        arguments = (0.58, 0.42), (0.87, 0.13), 1.0, 0.75, cost
        assert two_type_reward(*arguments, [0, 10**6])[0] == 0.0
        assert two_type_reward(*arguments, 10**6)[0] == pytest.approx(limit, abs=5e-5)
        assert two_type_attempts(*arguments) == attempts == 1 + np.argmax(two_type_reward(*arguments, range(1, 60)))


@given(types, types, st.floats(0.1, 0.95), st.floats(0.1, 0.95), st.floats(0, 5))
def test_attempts_maximise_the_reward(
    p_and_r: tuple[float, ...], other: tuple[float, ...], c: float, s: float, cost: float
) -> None:
    p, r = (p_and_r[0], 1 - p_and_r[0]), (p_and_r[1], other[1])
    attempts = two_type_attempts(p, r, c, s, cost)
    curve = np.concatenate([[0.0], two_type_reward(p, r, c, s, cost, KS)])
    chosen = curve[-1] if attempts is None else 0.0 if attempts == 0 else two_type_reward(p, r, c, s, cost, attempts)[0]
    assert chosen >= curve.max() - 1e-9


def test_simulation_of_two_types() -> None:
    p, r, c, s, cost, k = (0.58, 0.42), (0.87, 0.13), 0.9, 0.75, 2.0, 5
    rng, n = np.random.default_rng(3), 200_000
    rate = np.where(rng.random(n) < p[0], r[0], r[1])
    right = rng.random((n, k)) < rate[:, None]
    accepted = np.where(right, rng.random((n, k)) < c, rng.random((n, k)) >= s)
    first = accepted.argmax(1)
    reward = np.where(accepted.any(1), np.where(right[np.arange(n), first], 1.0, -cost), 0.0)
    error = reward.std() / math.sqrt(n)
    assert two_type_reward(p, r, c, s, cost, k)[0] == pytest.approx(reward.mean(), abs=6 * error)


@pytest.mark.slow
async def test_the_method_is_as_right_as_the_theory_says() -> None:
    """First accepted answers of a model that is right on 3 of 8 readable samples, judged with errors."""
    right = accepted = 0
    attempts = []
    for seed in range(800):
        noise = np.random.default_rng(seed)

        def verifier(question: Question, row: object, noise: np.random.Generator = noise) -> bool:
            return bool(noise.random() < (0.9 if row.text.endswith("4.") else 0.25))  # type: ignore[attr-defined]

        method = ResampleUntilAccepted(n=50, temperature=1.0, verifier=verifier)
        posterior = await method(QUESTION, Session(TabularLM(LM), seed=Seed(seed)))
        attempts.append(posterior.details["attempts"])
        accepted += posterior.confidence > 0
        right += posterior.confidence > 0 and posterior.mode().text == "4"
    share = precision_after_acceptance(0.375, 0.9, 0.75)
    assert right / accepted == pytest.approx(share, abs=6 * math.sqrt(share * (1 - share) / accepted))
    rate = 0.3 * 0.9 + 0.5 * 0.25  # geometric attempts
    assert np.mean(attempts) == pytest.approx(1 / rate, abs=6 * math.sqrt((1 - rate) / rate**2 / 800))


async def test_precision_and_abstention() -> None:
    lm = FakeLM(["The answer is 4."])
    sure = await ResampleUntilAccepted(precision=0.4)(QUESTION, Session(lm))
    assert sure.mode() == ABSTAIN and sure.confidence == pytest.approx(0.6)
    never = ResampleUntilAccepted(n=3, verifier=lambda question, row: Verdict.LIMIT_HIT)
    posterior = await never(QUESTION, Session(lm))
    assert posterior.confidence == 0.0 and posterior.details == {"attempts": 3, "unread": 0, "undecided": 3}


def test_it_keeps_the_promises_of_every_method() -> None:
    # Reads its samples one after the other, so the battery's question of the batch is the same request.
    assert check_strategy(ResampleUntilAccepted(n=4))


def test_a_bank_names_its_verifier() -> None:
    bank = SampleBank.draw_sync(TabularLM(LM), [QUESTION] * 3, 8, references=["4"] * 3)
    scored = bank.with_scores("first test", [np.ones(8)] * 3)
    assert resampling_ceiling(scored, "first test").micro == pytest.approx(np.nanmean(bank.rates))
    with pytest.raises(UsageError, match="has no score 'other'"):
        resampling_ceiling(scored, "other")
    with pytest.raises(UsageError, match="needs the name"):
        resampling_ceiling(bank)


def test_bad_input_is_refused() -> None:
    for pool in (([], []), ([[1]], [[1, 0]]), ([[]], [[]]), ([[1]], [])):
        with pytest.raises(UsageError):
            resampling_ceiling(pool)
    with pytest.raises(UsageError, match="fp_cost"):
        resampling_reward(([[1]], [[1]]), fp_cost=-1)
    with pytest.raises(UsageError, match="k="):
        resampling_reward(([[1]], [[1]]), ks=[2])
    for p, r in (((0.5, 0.6), (0.5, 0.5)), ((1.0,), (0.5, 0.5)), ((0.5, 0.5), (1.5, 0.5))):
        with pytest.raises(UsageError):
            two_type_reward(p, r, 1.0, 1.0, 1.0, 1)
    with pytest.raises(UsageError, match="two"):
        two_type_attempts((1.0,), (0.5,), 1.0, 1.0, 1.0)
    for options in ({"n": 0}, {"temperature": 0.0}, {"precision": 0.0}, {"precision": 1.1}):
        with pytest.raises(UsageError):
            ResampleUntilAccepted(**options)
