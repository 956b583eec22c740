"""The enumerable model against sums by hand, and its samples against its own exact law."""

import math
from collections import Counter

import pytest

from educe.core import Seed, UsageError, run_sync
from educe.lm import Completion, Sampling, TabularLM

TABLE = {
    "": {"a": 0.5, "b": 0.3, "": 0.2},
    "a": {"a": 0.4, "b": 0.6},
    "aa": {"": 1.0},
    "ab": {"": 0.5, "c": 0.5},
    "b": {"": 1.0},
}
EXACT = {"": 0.2, "b": 0.3, "aa": 0.2, "ab": 0.15, "abc": 0.15}


@pytest.fixture
def lm():
    return TabularLM(TABLE)


def test_the_exact_law(lm):
    law = lm.exact("go")
    assert dict(zip(law.values, law.probabilities.tolist(), strict=True)) == pytest.approx(EXACT)
    for text, probability in EXACT.items():
        assert lm.probability("go", text) == pytest.approx(probability)


def test_evidence_and_coverage_of_a_statement(lm):
    assert lm.probability("go", lambda text: "b" in text) == pytest.approx(0.6)
    assert lm.coverage("go", lambda text: "b" in text, n=3) == pytest.approx(1 - 0.4**3)


@pytest.mark.slow
async def test_samples_follow_the_exact_law(lm):
    n = 6000
    rows = await lm.sample("go", n=n)
    counts = Counter(row.text for row in rows)
    for text, probability in EXACT.items():
        # 5.5 standard errors: five comparisons, false alarm below 1e-6.
        assert abs(counts[text] / n - probability) < 5.5 * math.sqrt(probability * (1 - probability) / n)
    for row in rows[:50]:
        assert math.exp(row.logprob) == pytest.approx(EXACT[row.text])
        assert row.offsets[-1] == len(row.text)


async def test_temperature_changes_the_sampling_law_alone(lm):
    rows = await lm.sample("go", n=200, temperature=0.5)
    weights = {token: p**2 for token, p in TABLE[""].items()}
    total = sum(weights.values())
    for row in rows:
        first = row.text[:1]
        assert row.sampling_logprobs[0] == pytest.approx(math.log(weights[first] / total), abs=1e-5)
        assert row.logprobs[0] == pytest.approx(math.log(TABLE[""][first]))


async def test_greedy_and_stop_and_length(lm):
    (row,) = await lm.sample("go", temperature=0)
    assert row.text == "ab"
    assert {row.text for row in await lm.sample("go", n=40, stop=["b"])} == {"", "a", "aa"}
    # A stop text that spans two tokens.
    spanning = await lm.sample("go", n=60, stop=["bc"])
    assert {row.text for row in spanning} == {"", "b", "aa", "ab", "a"}
    assert {row.finish for row in await lm.sample("go", n=40, max_tokens=1)} == {"length", "stop"}


async def test_rows_depend_on_their_seed_alone(lm):
    together = [chunk async for chunk in lm.stream("go", [11, 12, 13], Sampling())]
    alone = [chunk async for chunk in lm.stream("go", [13], Sampling())]
    assert [c.text for c in together if c.row == 2] == [c.text for c in alone]


async def test_scoring_finds_the_best_spelling():
    lm = TabularLM(lambda prompt, text: {"ab": 0.1, "a": 0.5, "": 0.4} if not text else {"b": 0.9, "": 0.1})
    (row,) = await lm.score("go", ["ab"])
    assert row.logprob == pytest.approx(math.log(0.45))
    with pytest.raises(UsageError, match="no probability"):
        await lm.score("go", ["zzz"])


@pytest.mark.parametrize("law", [{"a": 0.5}, {"a": 1.5, "b": -0.5}, {}, {"a": float("nan")}])
def test_a_table_that_is_no_law_is_refused(law):
    with pytest.raises(UsageError, match="sum"):
        TabularLM({"": law}).exact("go")


def test_too_many_completions_are_refused():
    coin = TabularLM(lambda prompt, text: {"0": 0.5, "1": 0.5})
    with pytest.raises(UsageError, match="more than"):
        list(coin.completions("go", max_tokens=30, most=1000))


def test_an_assistants_beginning_is_text_so_far():
    lm = TabularLM({"": {"a": 0.5, "b": 0.5}, "a": {"c": 1.0}, "b": {"d": 1.0}})
    chat = [{"role": "user", "content": "go"}]
    begun = [*chat, {"role": "assistant", "content": "a"}]
    assert lm.probability(chat, "ac") == 0.5
    assert lm.probability(begun, "c") == 1.0
    assert {row.text for row in lm.sample_sync(begun, n=5)} == {"c"}


def test_rows_are_drawn_alike_whatever_stands_beside_them():
    lm = TabularLM({"": {"a": 0.3, "b": 0.7}, "a": {"c": 0.2, "d": 0.3, "e": 0.5}, "b": {"f": 0.4, "g": 0.6}})
    together = lm.sample_sync("go", n=40, temperature=0.8, seed=3)
    for number, row in enumerate(together):
        seeds = [Seed(3).child("row", number).bits()]
        alone = run_sync(_collected(lm, seeds))
        assert (row.tokens, row.sampling_logprobs) == (alone.tokens, alone.sampling_logprobs)


async def _collected(lm, seeds):
    return Completion.of_chunks([chunk async for chunk in lm.stream("go", seeds, Sampling(temperature=0.8))])
