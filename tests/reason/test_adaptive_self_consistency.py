"""Stopping rules against SciPy and sampling; stopped runs are prefixes of the plain vote."""

import asyncio
from collections import Counter

import numpy as np
import pytest

from educe.core import CapabilityError, Seed, UsageError
from educe.lm import FakeLM, Session
from educe.reason import (
    AdaptiveSelfConsistency,
    BetaSelfConsistency,
    Question,
    SelfConsistency,
    WeightedSelfConsistency,
    aggregate,
    ask,
    stopping_probability,
)
from educe.reason.adaptive_self_consistency import round_sizes
from educe.reason.bank_row import BankRow
from educe.reason.question import read_answers

QUESTION = Question("How many legs do three spiders have?")


@pytest.mark.parametrize(("first", "second"), [(1, 0), (3, 1), (7, 7), (40, 2), (300, 250)])
def test_the_beta_rule_is_scipys_tail(first, second):
    beta = pytest.importorskip("scipy.stats").beta
    assert stopping_probability([second, first], "beta") == pytest.approx(beta.sf(0.5, first + 1, second + 1))
    assert stopping_probability([first, second]) == pytest.approx(beta.sf(0.5, first + 1, second + 1))


@pytest.mark.parametrize("votes", [(3, 1, 1), (2, 2, 0), (5, 4, 3, 1), (60, 50, 10, 10, 1)])
def test_the_dirichlet_rule_agrees_with_sampling(votes):
    shares = Seed(1).numpy().dirichlet(np.array(votes) + 1, size=200_000)
    wins = (shares[:, 0] > shares[:, 1:].max(1)).mean()
    # Six standard errors of a share of 200,000.
    assert stopping_probability(votes) == pytest.approx(wins, abs=6 * 0.5 / 200_000**0.5)


def test_the_rules_are_ordered_and_have_their_ends():
    assert stopping_probability([]) == 0.0 and stopping_probability([0, 0]) == 0.0
    assert stopping_probability([5, 3, 3, 3]) < stopping_probability([5, 3, 3, 3], "beta")
    assert stopping_probability([1000] + [1] * 30) > 0.999999
    for bad in (([1, -1], "beta"), ([1], "gauss")):
        with pytest.raises(UsageError):
            stopping_probability(*bad)


@pytest.mark.parametrize("method", [AdaptiveSelfConsistency, BetaSelfConsistency])
@pytest.mark.parametrize("rounds", ["sequential", "doubling"])
def test_a_stopped_run_is_a_prefix_of_the_plain_vote(method, rounds):
    lm = FakeLM(["The answer is 24."] * 3 + ["The answer is 18."])
    stopped = asyncio.run(method(n=40, rounds=rounds)(QUESTION, Session(lm, seed=7)))
    drawn = stopped.ledger.samples
    assert drawn < 40 and stopped.details["surety"] > 0.95
    plain = asyncio.run(SelfConsistency(n=drawn)(QUESTION, Session(lm, seed=7)))
    assert plain.to_json()["posterior"] == stopped.to_json()["posterior"]
    if rounds == "sequential":
        votes = [answer.text for answer in stopped.values]
        before = stopping_probability(list(Counter(votes[:-1]).values()), method.rule)
        assert before <= 0.95


def test_it_never_stops_on_an_even_split_or_on_noise():
    flip = iter(range(10_000))
    lm = FakeLM(lambda prompt, seed: f"The answer is {next(flip) % 2}.")
    assert asyncio.run(AdaptiveSelfConsistency(n=12)(QUESTION, Session(lm))).ledger.samples == 12
    mute = FakeLM(["No idea at all."])
    assert asyncio.run(BetaSelfConsistency(n=5)(QUESTION, Session(mute))).details == {"unread": 5, "surety": 0.0}


def test_round_sizes_add_up():
    for n in range(1, 40):
        assert sum(round_sizes("doubling", n)) == n and round_sizes("sequential", n) == [1] * n
    with pytest.raises(UsageError, match="rounds='both'"):
        round_sizes("both", 3)


async def test_a_weighted_vote_weighs():
    def answer(prompt, seed):
        return ("The answer is 24.", -1.0) if seed % 4 == 0 else ("The answer is 18.", -60.0)

    posterior = await ask(QUESTION, FakeLM(answer), WeightedSelfConsistency(n=40))
    session = Session(FakeLM(answer))
    rows = await session.sample(QUESTION.messages(), n=40, temperature=0.7)
    replayed = aggregate(BankRow.of(rows, await read_answers(QUESTION, rows)), "maj-logit", prob="geometric")
    for item in replayed.values:
        assert posterior.probability(lambda a, item=item: a == item) == pytest.approx(
            replayed.probability(lambda a, item=item: a == item)
        )
    assert posterior.mode().text == "24"
    by_length = WeightedSelfConsistency(n=40, scorer=lambda question, row: float("18" in row.text))
    assert (await ask(QUESTION, FakeLM(answer), by_length)).confidence == 1.0


async def test_weights_must_be_weights():
    nan = WeightedSelfConsistency(n=4, scorer=lambda question, row: float("nan"))
    assert (await ask(QUESTION, FakeLM(["The answer is 24."]), nan)).confidence == 0.0
    for bad in (-1.0, float("inf")):
        with pytest.raises(UsageError, match="no weight"):
            await ask(QUESTION, FakeLM(["The answer is 24."]), WeightedSelfConsistency(scorer=lambda q, r, b=bad: b))
    lm = FakeLM(["The answer is 24."])
    lm.capabilities = frozenset({"text", "chat"})
    with pytest.raises(CapabilityError, match="logprobs"):
        await ask(QUESTION, lm, WeightedSelfConsistency())
    fixed = WeightedSelfConsistency(n=3, scorer=lambda question, row: 1.0)
    assert (await ask(QUESTION, lm, fixed)).confidence == 1.0


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"threshold": 0.0}, {"threshold": 1.5}, {"rounds": "all"}, {"temperature": 0}, {"max_tokens": 0}],
)
def test_bad_parameters_are_refused(options):
    for method in (AdaptiveSelfConsistency, BetaSelfConsistency):
        with pytest.raises(UsageError):
            method(**options)
