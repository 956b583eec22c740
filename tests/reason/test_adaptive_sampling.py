"""Adaptive sampling and pruning: limits of the threshold, replay equal to live, and what pruning saves."""

import asyncio

import numpy as np
import pytest

from educe.core import Seed, UsageError
from educe.lm import FakeLM, Session, TabularLM
from educe.reason import (
    AdaptiveSampling,
    FunctionReward,
    PrunedBestOfN,
    Question,
    SampleBank,
    StepPolicy,
    WeightedBestOfN,
    replay,
    win_or_tie,
)
from educe.reason.adaptive_sampling import annealed

QUESTION = Question("2 + 2 = ?")
TABLE = {
    "": {"a": 0.4, "b": 0.6},
    "a": {" The answer is 4.": 0.7, " The answer is 5.": 0.3},
    "b": {" The answer is 4.": 0.2, " The answer is 5.": 0.6, " Who knows?": 0.2},
}
POLICY = StepPolicy(temperature=1.0)


def worth(question, text):
    """A score of its own for every text, better for right ones but not always."""
    return 0.1 + 0.3 * ("4." in text) + 0.4 * (Seed(0).child(text).bits() % 1000) / 1000


REWARD = FunctionReward(worth)


def live(method, seed=0, lm=None):
    return asyncio.run(method(QUESTION, Session(lm or TabularLM(TABLE), seed=seed)))


def bank_for(method, seeds):
    """For each seed the rows that a live run would draw, with the reward's scores."""
    heats = [method.temperature(number) for number in range(1, method.n + 1)]
    banks = [
        SampleBank.draw_sync(TabularLM(TABLE), [QUESTION], method.n, references=["4"], temperature=heats, seed=seed)
        for seed in seeds
    ]
    rows = tuple(bank.rows[0] for bank in banks)
    bank = SampleBank((QUESTION,) * len(rows), rows, tuple(bank.texts[0] for bank in banks))
    return bank.with_scores("worth", [[worth(QUESTION, text) for text in texts] for texts in bank.texts])


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["anneal", "constant"])
@pytest.mark.parametrize("rounds", ["sequential", "doubling"])
@pytest.mark.parametrize("threshold", [0.0, 0.55, 0.7, 1.5])
def test_a_replay_is_the_live_run(schedule, rounds, threshold):
    method = AdaptiveSampling(n=8, reward=REWARD, threshold=threshold, schedule=schedule, rounds=rounds, steps=POLICY)
    replayed = replay(bank_for(method, range(4)), method)
    for seed in range(4):
        posterior = live(method, seed)
        assert posterior.ledger.samples == replayed.samples[seed]
        assert posterior.ledger.sampled_tokens == replayed.tokens[seed]
        right = bool(len(posterior)) and posterior.values[int(posterior.log_weights.argmax())].text == "4"
        assert right == replayed.credit[seed]


def test_the_ends_of_the_threshold():
    first = live(AdaptiveSampling(threshold=0.0, reward=REWARD, steps=POLICY))
    assert first.ledger.samples == 1
    greedy = TabularLM(TABLE)
    assert first.details["texts"] == ["b The answer is 5."] and greedy.probability("q", "b The answer is 5.") == 0.36
    every = AdaptiveSampling(n=16, threshold=2.0, schedule="constant", reward=REWARD, steps=POLICY)
    best = WeightedBestOfN(n=16, reward=REWARD, steps=POLICY, aggregation="last", final="best")
    one, other = live(every, 3), live(best, 3)
    assert one.ledger.samples == 16 and one.to_json()["posterior"] == other.to_json()["posterior"]


def test_the_temperature_rises():
    session = Session(FakeLM(["The answer is 4."]), trace=True)
    asyncio.run(AdaptiveSampling(n=4, threshold=2.0, reward=REWARD)(QUESTION, session))
    heats = [event.sampling.temperature for event in session.events if event.kind == "sample"]
    assert heats == [annealed(k) for k in range(1, 5)] == [0.0, 0.5, 0.75, 0.875]
    own = AdaptiveSampling(n=2, threshold=2.0, reward=REWARD, schedule=lambda k: k / 10)
    assert own.temperature(2) == 0.2


def test_pruning_drops_the_worse_half_and_saves_their_tokens():
    bank = bank_for(AdaptiveSampling(n=8, schedule="constant", steps=POLICY), [5])
    row = bank.rows[0]
    early = np.arange(8) / 8
    bank = bank.with_scores("looks", [np.stack([early, row.verdicts.astype(float)], axis=1)])
    found = replay(bank, PrunedBestOfN(n=8, checkpoints=((1 / 3, 0.5),)), "looks")
    # Rows of three tokens: the pruned four cost one each.
    assert found.tokens.tolist() == [4 * 1 + 4 * 3] and found.samples.tolist() == [8]
    assert found.credit[0] == row.verdicts[4:].max()
    one = replay(bank, PrunedBestOfN(n=8, checkpoints=((2, 0.25),)), "looks")
    assert one.tokens.tolist() == [6 * 2 + 2 * 3] and one.chosen[0] in (6, 7)
    # A look after an answer's end prunes nothing.
    late = replay(bank, PrunedBestOfN(n=8, checkpoints=((3, 0.25),)), "looks")
    assert late.tokens.tolist() == [24] and late.credit[0] == row.verdicts.max()


def test_a_live_run_prunes_at_its_checkpoint():
    looked = []

    def score(question, text):
        looked.append(text)
        return 0.9 if text.startswith("a") else 0.1

    method = PrunedBestOfN(n=12, checkpoints=((1, 0.25),), reward=FunctionReward(score), steps=POLICY)
    session = Session(TabularLM(TABLE), trace=True)
    posterior = asyncio.run(method(QUESTION, session))
    assert set(looked[:2]) <= {"a", "b"}
    assert posterior.details["pruned"] == 9 and len(posterior) + posterior.details["unread"] == 3
    assert posterior.ledger.samples == 12
    assert posterior.ledger.sampled_tokens == 12 * 1 + 3 * 2
    # Twelve draws of which none begins with a have probability .6^12 = .002; this seed has some.
    assert all(text.startswith("a") for text in posterior.details["texts"])


def test_without_checkpoints_it_is_best_of_n():
    plain = PrunedBestOfN(n=8, checkpoints=(), reward=REWARD, steps=POLICY)
    best = WeightedBestOfN(n=8, reward=REWARD, steps=POLICY, aggregation="last", final="best")
    assert live(plain, 2).to_json()["posterior"] == live(best, 2).to_json()["posterior"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdaptiveSampling(n=0),
        lambda: AdaptiveSampling(threshold=-1.0),
        lambda: AdaptiveSampling(threshold=float("nan")),
        lambda: AdaptiveSampling(schedule="rising"),
        lambda: AdaptiveSampling(rounds="all"),
        lambda: AdaptiveSampling(reward="judge"),
        lambda: PrunedBestOfN(n=0),
        lambda: PrunedBestOfN(checkpoints=((5, 0.5), (3, 0.5))),
        lambda: PrunedBestOfN(checkpoints=((0, 0.5),)),
        lambda: PrunedBestOfN(checkpoints=((5, 0.0),)),
        lambda: PrunedBestOfN(checkpoints=((5, 1.5),)),
        lambda: live(PrunedBestOfN(checkpoints=((0.5, 0.5),), reward=REWARD)),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(UsageError):
        make()


def test_bad_replays_are_refused():
    method = AdaptiveSampling(n=8, schedule="constant", steps=POLICY)
    bank = bank_for(method, [0])
    with pytest.raises(UsageError, match="Draw more"):
        replay(bank, AdaptiveSampling(n=9))
    with pytest.raises(UsageError, match="did you mean 'worth'"):
        replay(bank, method, "wort")
    with pytest.raises(UsageError, match="1 columns for 1 checkpoints"):
        replay(bank, PrunedBestOfN(n=8))
    with pytest.raises(UsageError, match="Name the one"):
        replay(bank.with_scores("other", [np.zeros(8)]), method)
    empty = replay(SampleBank((), ()), method)
    assert empty.credit.tolist() == [] and empty.chosen.dtype == np.int64


def test_an_order_is_another_draw():
    method = AdaptiveSampling(n=4, schedule="constant", threshold=0.5, steps=POLICY)
    bank = bank_for(AdaptiveSampling(n=8, schedule="constant", steps=POLICY), [1])
    turned = replay(bank, method, orders=[[7, 6, 5, 4, 3, 2, 1, 0]])
    expected = replay(SampleBank((QUESTION,), (bank.rows[0].take(range(7, -1, -1)),)), method)
    assert turned.credit.tolist() == expected.credit.tolist() and turned.samples.tolist() == expected.samples.tolist()


def test_temperatures_must_fit_the_samples():
    with pytest.raises(UsageError, match="2 temperatures"):
        SampleBank.draw_sync(TabularLM(TABLE), [QUESTION], 3, temperature=[0.0, 1.0])


def test_win_or_tie_has_the_mean_it_must_have():
    # E[W] = (1 + P(tie)) / 2 over pairs of answers drawn alike, here over all pairs of a sample.
    rng = np.random.default_rng(0)
    for _ in range(20):
        rewards = rng.integers(0, 4, size=9).tolist()
        pairs = [(a, b) for i, a in enumerate(rewards) for j, b in enumerate(rewards) if i != j]
        ties = np.mean([a == b for a, b in pairs])
        assert np.mean(win_or_tie(rewards)) == pytest.approx((1 + ties) / 2)
    assert win_or_tie([0.0, 0.0]) == [1.0, 1.0] and win_or_tie([0.5, 0.55], tie=0.1) == [1.0, 1.0]
    for bad in ([1.0], [1.0, float("nan")]):
        with pytest.raises(UsageError, match="do not compare"):
            win_or_tie(bad)
