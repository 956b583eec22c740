"""Beam, look-ahead and diverse tree search: exact cases, limits that reduce them to sampling, costs, bad input."""

import hashlib
import math
import runpy
from collections import Counter
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pytest

from educe.core import Budget, UsageError, run_sync
from educe.lm import Session, TabularLM
from educe.reason import (
    BeamSearch,
    DiverseTreeSearch,
    FunctionReward,
    LookaheadSearch,
    PRMSearch,
    Question,
    StepBestOfN,
    StepPolicy,
    WeightedBestOfN,
    make_method,
)

world = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("worlds.py"))))
QUESTION = Question("Which letters?", kind="text", examples=())
PLAIN = StepPolicy(temperature=1.0)
DEPTH = 3
RIGHT = "aab"


def table(prompt, text):
    """Three letters, each a or b, then the answer that they spell."""
    if text.count("\n") < DEPTH:
        return {"a\n": 0.4, "b\n": 0.6}
    return {f"The answer is {text.replace(chr(10), '')}.": 1.0} if text.endswith("\n") else {"": 1.0}


def model():
    return TabularLM(table)


def letters(text):
    return "".join(line for line in text.split("\n") if line in ("a", "b"))


async def _perfect(question, text):
    return 0.9 if RIGHT.startswith(letters(text)) else 0.1


async def _constant(question, text):
    return 0.5


async def _noise(question, text):
    return 0.1 + 0.8 * hashlib.blake2b(text.encode(), digest_size=1).digest()[0] / 255


PERFECT, CONSTANT, NOISE = FunctionReward(_perfect), FunctionReward(_constant), FunctionReward(_noise)


def solve(method, seed=0, lm=None, **options):
    session = Session(lm or model(), seed=seed, **options)
    return run_sync(method(QUESTION, session)), session


SEARCHES = [BeamSearch, DiverseTreeSearch, LookaheadSearch, WeightedBestOfN]


@pytest.mark.slow
@pytest.mark.parametrize("cls", [*SEARCHES, StepBestOfN])
def test_one_answer_is_one_sample(cls):
    lm = model()
    counts = Counter()
    for seed in range(100):
        posterior, session = solve(cls(n=1, steps=PLAIN, reward=NOISE), seed, lm)
        counts[posterior.mode().text] += 1
        assert session.ledger.samples - (cls is LookaheadSearch) == 1
    # Whatever the reward says: nothing is there to choose from. 5.5 standard deviations of a binomial.
    for text in ("aaa", "bbb", RIGHT):
        share = math.prod(0.4 if letter == "a" else 0.6 for letter in text)
        assert abs(counts[text] - 100 * share) < 5.5 * math.sqrt(100 * share * (1 - share))


@pytest.mark.slow
def test_a_perfect_reward_finds_what_is_there_to_find():
    lm = model()
    hits = [
        solve(BeamSearch(n=8, steps=PLAIN, reward=PERFECT), seed, lm)[0].mode().text == RIGHT for seed in range(100)
    ]
    # Misses need eight first steps b, or four second steps b, or four wrong third ones: at most 0.6^8 + 0.6^4 + 0.4^4.
    assert fmean(hits) > 0.6
    assert all(
        solve(StepBestOfN(n=40, steps=PLAIN, reward=PERFECT), seed, lm)[0].mode().text == RIGHT for seed in range(20)
    )


def test_a_constant_reward_makes_weighted_best_of_n_a_majority_vote():
    lm = model()
    for seed in range(10):
        weighted, _ = solve(WeightedBestOfN(n=12, steps=PLAIN, reward=CONSTANT), seed, lm)
        majority, _ = solve(WeightedBestOfN(n=12, steps=PLAIN, reward=NOISE, final="majority"), seed, lm)
        assert weighted.to_json()["posterior"] == majority.to_json()["posterior"]


@pytest.mark.slow
def test_a_constant_reward_leaves_the_beams_answers_the_models():
    lm = model()
    shares = [
        solve(BeamSearch(n=4, width=2, steps=PLAIN, reward=CONSTANT), seed, lm)[0].probability(
            lambda answer: answer.text == RIGHT
        )
        for seed in range(150)
    ]
    # Answers of one beam depend on one another, means over beams do not: 5.5 standard errors of at most 0.5 / sqrt(150).
    assert abs(fmean(shares) - 0.4 * 0.4 * 0.6) < 5.5 * 0.5 / math.sqrt(150)


def test_width_n_goes_on_from_the_best_prefix_alone():
    for seed in range(20):
        session = Session(model(), seed=seed, trace=True)
        run_sync(BeamSearch(n=6, width=6, steps=PLAIN, reward=NOISE)(QUESTION, session))
        assert len(session.events) == DEPTH + 1
        greedy = Session(model(), seed=seed, trace=True)
        run_sync(StepBestOfN(n=6, steps=PLAIN, reward=NOISE)(QUESTION, greedy))
        assert [event.prompt for event in session.events] == [event.prompt for event in greedy.events]


def test_no_look_ahead_is_beam_search():
    for seed in range(10):
        plain, _ = solve(BeamSearch(n=8, steps=PLAIN, reward=NOISE), seed)
        ahead, _ = solve(LookaheadSearch(n=8, lookahead=0, steps=PLAIN, reward=NOISE), seed)
        assert plain.to_json()["posterior"] == ahead.to_json()["posterior"]
        assert plain.ledger.samples == ahead.ledger.samples == 8


def test_look_ahead_judges_by_what_comes_after():
    def fork(prompt, text):
        if not text:
            return {"x\n": 0.5, "y\n": 0.5}
        return (
            {"The answer is good.": 1.0}
            if text == "x\n"
            else {"The answer is bad.": 1.0}
            if text == "y\n"
            else {"": 1.0}
        )

    async def misled(question, text):
        return {"x\n": 0.1, "y\n": 0.9}.get(text, 0.99 if "good" in text else 0.01)

    lm = TabularLM(fork)
    reward = FunctionReward(misled)
    for seed in range(5):
        session = Session(lm, seed=seed)
        beam = run_sync(BeamSearch(n=8, width=8, steps=PLAIN, reward=reward)(QUESTION, session))
        ahead = run_sync(LookaheadSearch(n=8, width=8, steps=PLAIN, reward=reward)(QUESTION, Session(lm, seed=seed)))
        assert (beam.mode().text, ahead.mode().text) == ("bad", "good")


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("cls", [BeamSearch, DiverseTreeSearch, WeightedBestOfN, StepBestOfN])
def test_n_answers_cost_n_samples(cls, n):
    _, session = solve(cls(n=n, steps=PLAIN, reward=NOISE))
    assert session.ledger.samples == n


def test_look_ahead_costs_at_most_k_further_samples_for_each_answer():
    _, session = solve(LookaheadSearch(n=8, lookahead=2, steps=PLAIN, reward=NOISE))
    # Equal prefixes are followed once, since greedy roll-outs of one text are one text.
    assert 8 < session.ledger.samples <= 8 * 3


def test_answers_that_end_leave_the_beam_and_are_kept():
    def early(prompt, text):
        return {"The answer is c.": 0.5, "a\n": 0.5} if text.count("\n") < 2 and not text.endswith(".") else {"": 1.0}

    for seed in range(10):
        posterior, session = solve(BeamSearch(n=8, width=2, steps=PLAIN, reward=CONSTANT), seed, TabularLM(early))
        assert session.ledger.samples == 8
        assert len(posterior) + posterior.details["unread"] == 8


def test_trees_do_not_compete():
    """The best first step takes a whole beam, and one tree of several only."""

    async def likes_b(question, text):
        return 0.9 if text.startswith("b") else 0.1

    def firsts(method):
        session = Session(model(), seed=1, trace=True)
        run_sync(method(QUESTION, session))
        return {event.prompt[-1]["content"][0] for event in session.events[1:]}

    reward = FunctionReward(likes_b)
    assert firsts(BeamSearch(n=16, width=2, steps=PLAIN, reward=reward)) == {"b"}
    assert firsts(DiverseTreeSearch(n=16, width=2, steps=PLAIN, reward=reward)) == {"a", "b"}


@pytest.mark.parametrize(
    ("kind", "options", "method"),
    [
        ("bon", {}, WeightedBestOfN(n=8, reward="exact")),
        ("beam", {"width": "sqrt"}, BeamSearch(n=8, width="sqrt", reward="exact")),
        ("lookahead", {}, BeamSearch(n=8, lookahead=1, reward="exact")),
        ("lookahead", {"lookahead": 3}, BeamSearch(n=8, lookahead=3, reward="exact")),
        ("dvts", {"agg": "min"}, DiverseTreeSearch(n=8, reward="exact", aggregation="min")),
    ],
)
def test_one_front_for_four_searches(kind, options, method):
    front = PRMSearch(kind, n=8, reward="exact", **options)
    assert front.method() == method
    ours, _ = solve(front, 3)
    theirs, _ = solve(method, 3)
    assert ours.to_json()["posterior"] == theirs.to_json()["posterior"]


def test_the_square_root_width():
    assert [BeamSearch(n=n, width="sqrt").branching for n in (1, 4, 16, 64, 10)] == [1, 2, 4, 8, 3]


def test_searches_on_a_command_line():
    assert make_method("beam-search:n=4,width=sqrt") == BeamSearch(n=4, width="sqrt")
    assert make_method("dvts:8", Budget(samples=64)) == DiverseTreeSearch(n=8)
    assert make_method("lookahead-search", Budget(samples=64)) == LookaheadSearch(n=32)
    assert make_method("prm-search:kind=lookahead,lookahead=3", Budget(samples=64)) == PRMSearch(
        "lookahead", 16, lookahead=3
    )
    assert make_method("weighted-best-of-n", Budget(samples=3)) == WeightedBestOfN(n=3)


@pytest.mark.parametrize(
    ("cls", "options", "hint"),
    [
        (BeamSearch, {"n": 0}, "n=0"),
        (BeamSearch, {"width": 0}, "width=0"),
        (BeamSearch, {"width": "cube"}, "width"),
        (BeamSearch, {"lookahead": -1}, "lookahead=-1"),
        (BeamSearch, {"aggregation": "max"}, "aggregation='max'"),
        (BeamSearch, {"final": "last"}, "final='last'"),
        (BeamSearch, {"reward": "oracle"}, "Reward 'oracle'"),
        (PRMSearch, {"kind": "dfs"}, "kind='dfs'"),
        (PRMSearch, {"kind": "bon", "lookahead": 1}, "lookahead=1"),
        (StepBestOfN, {"n": 0}, "n=0"),
        (WeightedBestOfN, {"n": 0}, "n=0"),
    ],
)
def test_bad_options_are_refused(cls, options, hint):
    with pytest.raises(UsageError, match=hint):
        cls(**options)
