"""Bins, choices and held-out accuracy against hand counts; routing by difficulty spends what it says."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Budget, Seed, UsageError, run_sync
from educe.lm import Completion, FakeLM, Session, flops_matched
from educe.reason import (
    Answer,
    BankRow,
    BeamSearch,
    ComputeOptimal,
    FunctionReward,
    Question,
    RoutedByDifficulty,
    SampleBank,
    SelfConsistency,
    WeightedBestOfN,
    difficulty,
    make_method,
)

STRATEGIES = {"bon": WeightedBestOfN, "beam": BeamSearch}
QUESTION = Question("How many legs do three spiders have?")


@given(st.lists(st.floats(0, 1), min_size=5, max_size=60), st.integers(1, 5))
def test_bins_have_equal_sizes_and_rise_with_difficulty(ease, bins):
    found = difficulty(ease, bins=bins)
    sizes = np.bincount(found.bins, minlength=bins + 1)[1:]
    assert sizes.max() - sizes.min() <= 1
    order = np.argsort(found.bins, kind="stable")
    assert all(found.ease[a] >= found.ease[b] for a, b in itertools.pairwise(order) if found.bins[a] < found.bins[b])
    assert len(found.edges) == bins - 1
    assert (np.diff(found.edges) <= 0).all()


def bank():
    """Three questions with 3, 1 and 0 of four samples right, and the scores of a reward that errs."""
    rows = []
    for right, last in ((3, 0.2), (1, 0.9), (0, 0.5)):
        rows.append(
            BankRow.of(
                [Completion("The answer is 4.")] * 4,
                [Answer("4", "number")] * 4,
                verdicts=[1] * right + [0] * (4 - right),
                scores={"reward": [[0.5, last, np.nan], [last, np.nan, np.nan]] * 2},
            )
        )
    return SampleBank(tuple(Question(f"{i}?") for i in range(3)), tuple(rows))


def test_difficulty_by_answers_and_by_a_verifier():
    oracle = difficulty(bank(), bins=3)
    assert oracle.ease.tolist() == [0.75, 0.25, 0.0]
    assert oracle.bins.tolist() == [1, 2, 3]
    verifier = difficulty(bank(), how="verifier", bins=3)
    assert verifier.ease.tolist() == pytest.approx([0.2, 0.9, 0.5])
    assert verifier.bins.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (([0.5, 0.4], "oracle", 3), "3 bins"),
        (([0.5], "oracle", 0), "0 bins"),
        (([0.5, np.nan], "oracle", 1), "question 1"),
        ((bank(), "guess", 2), "'guess'"),
        ((bank(), "verifier", 2, "other"), "'other'"),
    ],
)
def test_bad_difficulties_are_refused(arguments, hint):
    with pytest.raises(UsageError, match=hint):
        difficulty(*arguments)


def table(seed=0, questions=40):
    return (np.random.default_rng(seed).random((2, 3, questions)) < 0.5).astype(float)


def test_the_choice_is_the_best_of_each_bin_and_in_sample_never_below_a_fixed_strategy():
    right, bins = table(), np.arange(40) % 5 + 1
    policy = ComputeOptimal(STRATEGIES, [4, 16, 64]).fit(right, bins)
    for column, budget in enumerate((4, 16, 64)):
        for b in range(1, 6):
            shares = right[:, column, bins == b].mean(1)
            assert shares[list(STRATEGIES).index(policy.name(b, budget))] == shares.max()
        assert policy.accuracy(budget, held_out=False) >= max(right[:, column].mean(1)) - 1e-12
        assert policy.best_fixed(budget)[1] == max(right[:, column].mean(1))
    assert len(policy.table()) == 15
    assert policy.table()[0]["questions"] == 8


def test_held_out_accuracy_does_not_see_its_own_fold():
    """With pure noise choosing in sample looks good, choosing held out does not."""
    gains, honest = [], []
    for seed in range(40):
        right = table(seed)
        policy = ComputeOptimal(STRATEGIES, [4, 16, 64]).fit(right, np.arange(40) % 5 + 1, seed=seed)
        gains += [policy.accuracy(budget, held_out=False) - 0.5 for budget in (4, 16, 64)]
        honest += [policy.accuracy(budget) - 0.5 for budget in (4, 16, 64)]
    # 120 means of 40 fair coins, of standard deviation 0.079 each; 5.5 standard errors of their mean.
    assert abs(np.mean(honest)) < 5.5 * 0.079 / np.sqrt(120)
    assert np.mean(gains) > 5.5 * 0.079 / np.sqrt(120)


def test_folds_change_nothing_they_hold_out():
    right, bins = table(3), np.arange(40) % 2 + 1
    policy = ComputeOptimal(STRATEGIES, [4, 16, 64]).fit(right, bins, folds=4)
    for part in range(4):
        for b in (1, 2):
            rest = (bins == b) & (policy.fold != part)
            chosen = int(right[:, 1, rest].mean(1).argmax())
            held = (bins == b) & (policy.fold == part)
            assert (policy.held_out[1, held] == right[chosen, 1, held]).all()
    folds = policy.fold_accuracies(16)
    assert len(folds) == 4
    assert np.mean(folds) == pytest.approx(policy.accuracy(16))


def test_a_policy_answers_and_knows_its_limits():
    policy = ComputeOptimal(STRATEGIES, [4, 16]).fit(table()[:, :2], np.arange(40) % 2 + 1)
    posterior = run_sync(policy(QUESTION, Session(FakeLM(["The answer is 24."])), budget=20, bin=1))
    assert posterior.ledger.samples == 20
    with pytest.raises(UsageError, match="below the smallest, 4"):
        policy.strategy(1, 3)
    with pytest.raises(UsageError, match="bin 7"):
        policy.strategy(7, 4)


def test_strategies_are_run_on_the_users_own_questions():
    chooser = ComputeOptimal({"vote": SelfConsistency, "bon": WeightedBestOfN}, [1, 2])
    questions = [Question("2 + 2 = ?"), Question("2 + 3 = ?")]
    lm = FakeLM(["The answer is 4."])
    right = run_sync(chooser.run(questions, lambda place, answer: answer.text == str(4 + place), lm))
    assert right.tolist() == [[[1.0, 0.0]] * 2] * 2


@pytest.mark.parametrize(
    ("strategies", "budgets"), [({}, [1]), (STRATEGIES, []), (STRATEGIES, [4, 4]), (STRATEGIES, [0, 1])]
)
def test_nothing_to_choose_from_is_refused(strategies, budgets):
    with pytest.raises(UsageError):
        ComputeOptimal(strategies, budgets)


def test_misfits_are_refused():
    chooser = ComputeOptimal(STRATEGIES, [4])
    with pytest.raises(UsageError, match="do not fit"):
        chooser.fit(np.zeros((2, 2, 4)), [1, 1, 2, 2])
    with pytest.raises(UsageError, match="A bin of 1"):
        chooser.fit(np.zeros((2, 1, 3)), [1, 1, 2])
    with pytest.raises(UsageError, match="into 1 folds"):
        chooser.fit(np.zeros((2, 1, 4)), [1, 1, 2, 2], folds=1)


def judged(value):
    async def score(question, text):
        return value

    return FunctionReward(score)


@pytest.mark.parametrize(("value", "bin"), [(0.95, 1), (0.7, 2), (0.5, 3), (0.3, 4), (0.1, 5)])
def test_routing_goes_by_the_mean_score(value, bin):
    session = Session(FakeLM(["The answer is 24."]), seed=Seed(1))
    posterior = run_sync(RoutedByDifficulty(n=10, reward=judged(value))(QUESTION, session))
    assert posterior.details["bin"] == bin
    assert ("BeamSearch" in posterior.details["method"]) == (bin > 2)
    assert posterior.ledger.samples == 10


def test_routing_takes_methods_of_ones_own_and_small_budgets():
    own = RoutedByDifficulty(n=8, edges=(0.5,), methods=(SelfConsistency(), BeamSearch()), reward=judged(0.9))
    session = Session(FakeLM(["The answer is 24."]))
    assert "SelfConsistency" in run_sync(own(QUESTION, session)).details["method"]
    few = run_sync(RoutedByDifficulty(n=2)(QUESTION, Session(FakeLM(["The answer is 24."]))))
    assert few.ledger.samples == 2
    assert "method" not in few.details
    assert make_method("compute-optimal", Budget(samples=32)) == RoutedByDifficulty(n=32)


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"probes": 0}, {"edges": (0.2, 0.4)}, {"methods": (SelfConsistency(),)}, {"reward": "none"}]
)
def test_bad_routes_are_refused(options):
    with pytest.raises(UsageError):
        RoutedByDifficulty(**options)


def test_the_exchange_of_operations():
    assert flops_matched(1, 3.0, 0.5) == 1
    assert flops_matched(14, 1e-12, 1) == pytest.approx(14)
    small, large, pre, inference = 1e6, 14e6, 3e9, 5e8
    total = 6 * large * pre + 2 * large * inference
    grown = flops_matched(14, pre, inference)
    assert 6 * small * pre + 2 * small * inference * grown == pytest.approx(total)
    for bad in ((0.5, 1, 1), (2, -1, 1), (2, 1, 0)):
        with pytest.raises(UsageError):
            flops_matched(*bad)
