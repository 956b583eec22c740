"""Monte Carlo tree search against a hand computation, another library's search, and its limits."""

import math
from collections import Counter

import pytest

from educe.core import Budget, UsageError, run_sync
from educe.lm import Session, TabularLM
from educe.reason import FunctionReward, MonteCarloTreeSearch, Prefix, Question, StepPolicy
from educe.reason.tree_search import Node

QUESTION = Question("Which letter?", kind="text", examples=())
PLAIN = StepPolicy(temperature=1.0)


def factor(visits):
    return 1.25 + math.log((visits + 19652.0 + 1) / 19652.0)


def test_the_choice_of_a_child_is_that_of_the_formula():
    left, right = Node(Prefix(), 0.2, 4, 2.4), Node(Prefix(), 0.9, 1, 0.5)
    root = Node(Prefix(), visits=5, children=[left, right])
    upper = [0.6 + factor(5) * math.sqrt(5) / 5, 0.5 + factor(5) * math.sqrt(5) / 2]
    assert root.best_child() is [left, right][upper.index(max(upper))]
    # Before its first visit a child counts by its own reward.
    right.visits, right.total = 0, 0.0
    assert root.best_child() is right


def two_arms(prompt, text):
    return {"The answer is a.": 0.5, "The answer is b.": 0.5} if not text else {"": 1.0}


async def _values(question, text):
    return 0.9 if "a." in text else 0.3


def test_visits_on_a_two_armed_tree_match_a_hand_computation():
    """Two finished children: simulations after the first are the bandit's choices, which are replayed here."""
    method = MonteCarloTreeSearch(n=2, simulations=12, steps=PLAIN, reward=FunctionReward(_values))
    for seed in range(8):
        root = Node(Prefix())

        async def walk(session, root=root):
            for _ in range(method.simulations):
                await method._simulate(QUESTION, session, root)

        run_sync(walk(Session(TabularLM(two_arms), seed=seed)))
        values = [child.value for child in root.children]
        visits = [0, 0]
        visits[values.index(max(values))] = 1
        for total in range(1, method.simulations):
            upper = [
                value + factor(total) * math.sqrt(total) / (1 + count)
                for value, count in zip(values, visits, strict=True)
            ]
            visits[upper.index(max(upper))] += 1
        assert [child.visits for child in root.children] == visits
        assert root.visits == method.simulations
        assert root.total == pytest.approx(sum(v * n for v, n in zip(values, visits, strict=True)))


@pytest.mark.slow
def test_one_child_and_one_simulation_is_sampling():
    def table(prompt, text):
        if text.count("\n") < 2:
            return {"a\n": 0.3, "b\n": 0.7}
        return {f"The answer is {text.replace(chr(10), '')}.": 1.0} if text.endswith("\n") else {"": 1.0}

    lm = TabularLM(table)
    counts = Counter()
    for seed in range(300):
        session = Session(lm, seed=seed)
        method = MonteCarloTreeSearch(n=1, simulations=1, steps=PLAIN, reward=FunctionReward(_values))
        counts[run_sync(method(QUESTION, session)).mode().text] += 1
        assert (session.ledger.samples, session.ledger.calls) == (1, 3)
    for text, share in (("aa", 0.09), ("ab", 0.21), ("bb", 0.49)):
        assert abs(counts[text] - 300 * share) < 5.5 * math.sqrt(300 * share * (1 - share))


def test_it_goes_where_the_reward_is_only_seen_later():
    """The first step of the good path scores lower; only visits to what comes after tell."""

    def table(prompt, text):
        if not text:
            return {"x\n": 0.5, "y\n": 0.5}
        return (
            {"The answer is good.": 1.0}
            if text == "x\n"
            else {"The answer is bad.": 1.0}
            if text == "y\n"
            else {"": 1.0}
        )

    async def values(question, text):
        return {"x\n": 0.45, "y\n": 0.55}.get(text, 0.95 if "good" in text else 0.05)

    found = 0
    for seed in range(20):
        method = MonteCarloTreeSearch(n=4, simulations=12, steps=PLAIN, reward=FunctionReward(values), final="best")
        posterior = run_sync(method(QUESTION, Session(TabularLM(table), seed=seed)))
        found += posterior.mode().text == "good"
    # All four first steps are y in one case of sixteen.
    assert found >= 14


def test_finished_answers_collect_visits_and_are_all_in_the_posterior():
    method = MonteCarloTreeSearch(n=3, simulations=4, steps=PLAIN, reward=FunctionReward(_values))
    posterior = run_sync(method(QUESTION, Session(TabularLM(two_arms), seed=1)))
    assert len(posterior) == 3
    assert posterior.details["nodes"] == 3
    assert posterior.details["moves"] == 1


def test_samples_count_the_branches_of_the_tree():
    def table(prompt, text):
        return {"a\n": 0.5, "b\n": 0.5} if text.count("\n") < 3 else {"": 1.0}

    session = Session(TabularLM(table), trace=True)
    run_sync(MonteCarloTreeSearch(n=3, simulations=2, steps=PLAIN, reward=FunctionReward(_values))(QUESTION, session))
    expansions = len(session.events)
    assert session.ledger.samples == 3 + 2 * (expansions - 1)
    limited = Session(TabularLM(table), Budget(samples=4))
    run_sync(MonteCarloTreeSearch(n=3, simulations=2, steps=PLAIN, reward=FunctionReward(_values))(QUESTION, limited))
    assert limited.ledger.samples == 4
    assert limited.ledger.stopped_by == "samples"


@pytest.mark.parametrize("options", [{"n": 0}, {"simulations": 0}, {"final": "last"}])
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        MonteCarloTreeSearch(**options)
