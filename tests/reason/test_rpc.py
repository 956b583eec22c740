"""Aggregation and RPC against enumeration: masses are exact, pruning keeps something, live and replay agree."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.core import CapabilityError, EvidenceKind, UsageError
from educe.lm import Completion, FakeLM, Session, TabularLM
from educe.reason import RPC, Answer, BankRow, PerplexityConsistency, Question, SampleBank, aggregate, ask
from educe.reason.aggregation import HOWS

QUESTION = Question("2 + 2 = ?")
# Two paths each for 4 and 5, one without an answer.
TABLE = {
    "": {"a": 0.3, "b": 0.2, "c": 0.1, "d": 0.25, "e": 0.15},
    "a": {" The answer is 4.": 1.0},
    "b": {" The answer is 4.": 0.5, " The answer is 5.": 0.5},
    "c": {" The answer is 5.": 1.0},
    "d": {" The answer is 5.": 1.0},
    "e": {" Who knows?": 1.0},
}
FOUR, FIVE = 0.3 + 0.1, 0.1 + 0.1 + 0.25


def row_of(paths, answers, logprobs, tokens=None):
    """Samples with given path names, answers and log-probabilities."""
    kinds = {name: Answer(name, "number") for name in dict.fromkeys(answers) if name is not None}
    counts = tokens or [1] * len(paths)
    rows = [
        Completion(path, (ord(path[0]),) * count, (logprob / count,) * count)
        for path, logprob, count in zip(paths, logprobs, counts, strict=True)
    ]
    return BankRow.of(rows, [kinds.get(name) for name in answers])


def probability(posterior, text):
    return posterior.probability(lambda answer: answer.text == text)


def test_with_every_path_seen_the_mass_is_exact():
    bank = SampleBank.draw_sync(TabularLM(TABLE), [QUESTION], 400)
    posterior = aggregate(bank.rows[0], "pc", prob="sequence")
    # The rarest readable path has probability .1: 400 draws miss one of five with probability below 5 * 0.9^400.
    assert posterior.log_evidence == pytest.approx(math.log(FOUR + FIVE))
    assert posterior.evidence_kind is EvidenceKind.LOWER_BOUND
    assert probability(posterior, "4") == pytest.approx(FOUR / (FOUR + FIVE))
    assert posterior.details["distinct"] == 5 and posterior.details["unread"] > 0


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_explored_mass_grows_with_the_samples_and_stays_below_one(seed, n):
    row = SampleBank.draw_sync(TabularLM(TABLE), [QUESTION], n, seed=seed).rows[0]
    masses = [
        math.exp(aggregate(row.take(range(k)), "pc", prob="sequence").log_evidence) for k in range(1, len(row) + 1)
    ]
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(masses))
    assert masses[-1] <= FOUR + FIVE + 1e-12


def test_each_aggregation_does_what_its_formula_says():
    logs = [math.log(p) for p in (0.3, 0.3, 0.2, 0.05, 0.1)]
    row = row_of("aabcd", ["4", "4", "5", "5", "4"], logs)
    expected = {
        "sc": (3, 2), "ppl": (0.3, 0.2), "pc": (0.3 + 0.1, 0.25), "maj-logit": (0.7, 0.25), "rpc": (0.4, 0.25),
    }  # fmt: skip
    for how, (four, five) in expected.items():
        posterior = aggregate(row, how, prob="sequence")
        assert posterior.log_weights.exp().tolist() == pytest.approx([four, five]), how
    assert aggregate(row, "ppl", prob="sequence").details["best_path"] == pytest.approx(0.3)


def test_geometric_means_count_paths_and_automatic_choice_looks_at_repeats():
    logs = [-4.0, -4.0, -1.0]
    row = row_of("abc", ["4", "4", "5"], logs, tokens=[4, 4, 1])
    posterior = aggregate(row, "pc", prob="geometric")
    assert posterior.log_weights.exp().tolist() == pytest.approx([2 * math.exp(-1), math.exp(-1)])
    assert posterior.log_evidence is None
    assert aggregate(row, "pc").details["prob"] == "geometric"
    assert aggregate(row_of("aab", ["4", "4", "5"], logs), "pc").details["prob"] == "sequence"


def test_equal_distinct_paths_without_pruning_are_a_vote():
    row = row_of("abcdef", ["4", "4", "4", "5", "5", "6"], [-3.0] * 6)
    votes = aggregate(row, "sc").probabilities
    for how in ("pc", "rpc", "maj-logit"):
        assert aggregate(row, how).probabilities.tolist() == pytest.approx(votes.tolist())


def test_an_equality_joins_classes_by_chains():
    row = row_of("abcd", ["1", "2", "3", "9"], [math.log(0.1)] * 4)
    near = lambda a, b: abs(int(a.text) - int(b.text)) == 1  # noqa: E731
    posterior = aggregate(row, "pc", prob="sequence", equal=near)
    assert [answer.text for answer in posterior.values] == ["1", "9"]
    assert posterior.probabilities.tolist() == pytest.approx([0.75, 0.25])


def test_a_pruned_class_keeps_weight_zero():
    logs = [math.log(p) for p in [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 1e-3, 1.1e-3, 1.2e-3]]
    row = row_of("abcdefghij", ["4"] * 7 + ["5"] * 3, logs)
    posterior = aggregate(row, "rpc", prob="geometric")
    assert posterior.details["pruned"] == 3
    assert posterior.probabilities.tolist() == [1.0, 0.0]
    assert len(posterior) == 2


def test_whole_path_probabilities_do_not_underflow():
    row = row_of("abcdefghij", ["4"] * 5 + ["5"] * 5, [-5000.0] * 5 + [-5001.0] * 5)
    for how in ("pc", "rpc", "ppl", "maj-logit"):
        posterior = aggregate(row, how, prob="sequence")
        assert posterior.mode().text == "4" and math.isfinite(float(posterior.log_weights[0]))


@pytest.mark.parametrize("how", HOWS)
def test_nothing_readable_gives_no_mass(how):
    row = row_of("ab", [None, None], [-1.0, -2.0])
    posterior = aggregate(row, how)
    assert len(posterior) == 0 and posterior.confidence == 0.0


def test_bad_aggregations_are_refused():
    row = row_of("a", ["4"], [-1.0])
    with pytest.raises(UsageError, match="'mean' is unknown"):
        aggregate(row, "mean")
    with pytest.raises(UsageError, match="'arithmetic' is unknown"):
        aggregate(row, "pc", prob="arithmetic")
    bare = BankRow.of([Completion("4")], [Answer("4", "number")])
    assert aggregate(bare, "sc").confidence == 1.0
    with pytest.raises(CapabilityError, match="no log-probabilities"):
        aggregate(bare, "rpc")
    for bad in ({"n": 0}, {"temperature": 0.0}, {"max_tokens": 0}, {"prob": "mean"}, {"prune": "gauss"}):
        with pytest.raises(UsageError):
            RPC(**bad)


async def test_live_and_replayed_are_the_same():
    bank = await SampleBank.draw(TabularLM(TABLE), [QUESTION], 24, seed=9)
    for method, how in ((RPC(n=24), "rpc"), (RPC(n=24, prune=None), "pc"), (PerplexityConsistency(n=24), "pc")):
        live = await method(QUESTION, Session(TabularLM(TABLE), seed=9))
        replayed = aggregate(bank.rows[0], how)
        assert live.log_weights.tolist() == replayed.log_weights.tolist()
        assert live.values == replayed.values and live.ledger.samples == 24


async def test_rpc_needs_log_probabilities():
    lm = FakeLM(["4"])
    lm.capabilities = frozenset({"text", "chat"})
    with pytest.raises(CapabilityError, match="logprobs"):
        await ask(QUESTION, lm, "rpc")


def test_methods_print_what_was_changed():
    assert repr(RPC()) == "RPC()" and repr(PerplexityConsistency(n=3)) == "PerplexityConsistency(n=3)"
    assert np.isclose(aggregate(row_of("aa", ["4", "4"], [0.0, 0.0]), "pc").log_evidence, 0.0)
