"""Budget and ledger: addition is a monoid, limits mean what they say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Budget, Ledger, UsageError

whole = st.integers(0, 10**9)
# Multiples of 1/8 add without rounding, so that associativity can be asserted exactly.
eighths = st.integers(0, 10**6).map(lambda value: value / 8)
ledgers = st.builds(
    Ledger,
    calls=whole,
    samples=whole,
    prompt_tokens=whole,
    cached_tokens=whole,
    sampled_tokens=whole,
    draft_tokens=whole,
    tool_calls=whole,
    tool_seconds=eighths,
    flops=eighths,
    seconds=eighths,
    usd=eighths,
    stopped_by=st.sampled_from([None, "tokens", "seconds"]),
)


@given(ledgers, ledgers, ledgers)
def test_addition_is_associative(a, b, c):
    assert (a + b) + c == a + (b + c)


@given(ledgers)
def test_the_empty_ledger_is_neutral(a):
    assert a + Ledger() == a == Ledger() + a


@given(ledgers, ledgers)
def test_addition_commutes_but_for_the_first_reason_to_stop(a, b):
    left, right = (a + b).to_json(), (b + a).to_json()
    assert left.pop("stopped_by") == (a.stopped_by or b.stopped_by)
    right.pop("stopped_by")
    assert left == right


@given(ledgers)
def test_json_round_trip(a):
    assert Ledger.from_json(a.to_json()) == a


def test_unknown_fields_of_a_newer_file_are_left_out():
    assert Ledger.from_json({"calls": 2, "invented_later": 1}) == Ledger(calls=2)


def test_tokens_are_those_that_had_to_be_computed():
    ledger = Ledger(prompt_tokens=100, cached_tokens=80, sampled_tokens=7)
    assert (ledger.tokens, ledger.computed_tokens) == (107, 27)


def test_a_ledger_adds_to_ledgers_only():
    with pytest.raises(TypeError):
        Ledger() + 1


@pytest.mark.parametrize("name", ["tokens", "calls", "seconds", "samples", "usd"])
def test_each_limit_is_reached_at_equality(name):
    budget = Budget(**{name: 3})
    spent = {"tokens": "sampled_tokens"}.get(name, name)
    assert budget.exceeded(Ledger(**{spent: 2})) is None
    assert budget.exceeded(Ledger(**{spent: 3})) == name
    assert budget.left(name, Ledger(**{spent: 5})) == 0


def test_no_limit_leaves_everything():
    assert Budget().left("tokens", Ledger(sampled_tokens=10**12)) == math.inf
    assert Budget().exceeded(Ledger(calls=10**9)) is None


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, math.nan, "4"])
@pytest.mark.parametrize("name", ["tokens", "calls", "samples"])
def test_whole_limits_refuse(name, bad):
    with pytest.raises(UsageError, match=name):
        Budget(**{name: bad})


@pytest.mark.parametrize("bad", [0, -0.5, math.nan, math.inf, True])
def test_seconds_refuse(bad):
    with pytest.raises(UsageError, match="seconds"):
        Budget(seconds=bad)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("", Budget()),
        ("samples=16", Budget(samples=16)),
        ("tokens=4096,seconds=2.5", Budget(tokens=4096, seconds=2.5)),
        ("usd=1e-3 calls=2", Budget(usd=0.001, calls=2)),
    ],
)
def test_parse(text, budget):
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("samples", "name=number"),
        ("samples=", "name=number"),
        ("sample=3", "samples"),
        ("samples=x", "'x'"),
        ("samples=0", "above zero"),
        ("samples=2,samples=3", "twice"),
        ("samples=2.5", "'2.5'"),
    ],
)
def test_parse_refuses(text, hint):
    with pytest.raises(UsageError, match=hint):
        Budget.parse(text)
