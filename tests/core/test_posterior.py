"""The posterior against plain arithmetic over fractions, and its laws under extreme weights."""

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from educe.core import EvidenceKind, Ledger, Posterior, UsageError, canonical_key

log_weights = st.lists(st.one_of(st.floats(-1e300, 1e300), st.just(-math.inf)), min_size=1, max_size=12)
counts = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), min_size=1, max_size=20)


def of_counts(pairs):
    """Values with whole-number weights, whose laws can be had exactly."""
    return Posterior([value for value, _ in pairs], torch.tensor([count for _, count in pairs]).double().log())


def exact(pairs):
    total = sum(count for _, count in pairs)
    sums = Counter()
    for value, count in pairs:
        sums[value] += Fraction(count, total)
    return sums


@given(log_weights)
def test_probabilities_sum_to_one_under_extreme_weights(weights):
    posterior = Posterior(list(range(len(weights))), weights)
    total = float(posterior.probabilities.sum())
    assert total == pytest.approx(0.0 if max(weights) == -math.inf else 1.0, abs=1e-12)
    assert not torch.isnan(posterior.probabilities).any()


@given(log_weights, st.floats(-500, 500))
def test_a_common_factor_changes_nothing(weights, shift):
    assume(all(abs(weight) < 1e6 or weight == -math.inf for weight in weights))
    values = list(range(len(weights)))
    moved = [weight + shift for weight in weights]
    assert torch.allclose(Posterior(values, weights).probabilities, Posterior(values, moved).probabilities, atol=1e-9)


@given(counts)
def test_marginal_agrees_with_fractions(pairs):
    distinct = of_counts(pairs).marginal()
    expected = exact(pairs)
    assert set(distinct.values) == set(expected)
    for value, probability in zip(distinct.values, distinct.probabilities.tolist(), strict=True):
        assert probability == pytest.approx(float(expected[value]), abs=1e-12)
    assert sorted(distinct.probabilities.tolist(), reverse=True) == distinct.probabilities.tolist()


@given(log_weights, st.integers(1, 3))
def test_marginal_conserves_mass_and_evidence(weights, groups):
    posterior = Posterior(list(range(len(weights))), weights, -3.5, EvidenceKind.UNBIASED)
    distinct = posterior.marginal(lambda value: value % groups)
    before, after = torch.logsumexp(posterior.log_weights, 0), torch.logsumexp(distinct.log_weights, 0)
    assert before == after or float(after) == pytest.approx(float(before), rel=1e-12, abs=1e-9)
    assert (distinct.log_evidence, distinct.evidence_kind) == (-3.5, EvidenceKind.UNBIASED)


@given(counts)
def test_mode_confidence_probability_and_entropy_agree_with_fractions(pairs):
    posterior, expected = of_counts(pairs), exact(pairs)
    assert expected[posterior.mode()] == max(expected.values())
    assert posterior.confidence == pytest.approx(float(max(expected.values())))
    assert posterior.probability(lambda value: value >= 2) == pytest.approx(
        float(sum(mass for value, mass in expected.items() if value >= 2))
    )
    assert posterior.entropy == pytest.approx(-sum(float(p) * math.log(p) for p in expected.values() if p), abs=1e-9)


@given(counts)
def test_expect_agrees_with_fractions(pairs):
    expected = sum(value * mass for value, mass in exact(pairs).items())
    assert float(of_counts(pairs).expect(lambda value: float(value))) == pytest.approx(float(expected))


@given(counts, st.sampled_from([0.5, 0.8, 0.9]))
def test_interval_holds_its_mass(pairs, mass):
    posterior = of_counts(pairs)
    interval = posterior.interval(lambda value: float(value), mass)
    inside = posterior.probability(lambda value: interval.low <= value <= interval.high)
    assert inside >= mass - 1e-9
    assert posterior.probability(lambda value: value < interval.low) <= (1 - mass) / 2 + 1e-9


def test_interval_of_a_fine_grid_matches_the_uniform_quantiles():
    posterior = Posterior.uniform([index / 1000 for index in range(1001)])
    interval = posterior.interval(lambda value: value, 0.9)
    assert (interval.low, interval.high) == pytest.approx((0.05, 0.95), abs=0.002)


@given(counts, counts)
def test_merge_of_votes_pools_them(one, other):
    merged = of_counts(one).merge(of_counts(other))
    left, right = exact(one), exact(other)
    share = Fraction(len(one), len(one) + len(other))
    for value in {*left, *right}:
        pooled = left[value] * share + right[value] * (1 - share)
        assert merged.probability(lambda item, value=value: item == value) == pytest.approx(float(pooled))


@given(counts, counts, counts)
def test_merge_is_associative_with_evidence(a, b, c):
    one, two, three = (
        Posterior(
            p.values,
            p.log_weights,
            float(torch.logsumexp(p.log_weights, 0)) - math.log(len(p)),
            EvidenceKind.UNBIASED,
            Ledger(calls=1),
        )
        for p in map(of_counts, (a, b, c))
    )
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    assert torch.allclose(left.probabilities, right.probabilities)
    # Pooled importance sampling: evidence is the mean of all weights, and weights keep their ratios.
    weights = torch.cat([one.log_weights, two.log_weights, three.log_weights])
    assert torch.allclose(left.probabilities, torch.softmax(weights, 0))
    assert left.log_evidence == pytest.approx(float(torch.logsumexp(weights, 0)) - math.log(len(weights)))
    assert left.ledger.calls == 3


def test_merge_survives_a_side_without_mass():
    empty = Posterior([1, 2], [-math.inf, -math.inf], -math.inf, EvidenceKind.UNBIASED)
    full = Posterior([3, 4], [0.0, 0.0], math.log(0.5), EvidenceKind.UNBIASED)
    merged = empty.merge(full)
    assert merged.probability(lambda value: value >= 3) == pytest.approx(1.0)
    assert merged.log_evidence == pytest.approx(math.log(0.25))


@pytest.mark.slow
@pytest.mark.parametrize("batched", [False, True])
def test_resample_is_unbiased(batched):
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05]).double()
    values = {"x": torch.arange(4.0)} if batched else [0, 1, 2, 3]
    posterior = Posterior(values, weights.log())
    totals = torch.zeros(4, dtype=torch.float64)
    runs, n = 4000, 3
    for run in range(runs):
        drawn = posterior.resample(n, seed=run)
        drawn_values = drawn.values["x"].long().tolist() if batched else drawn.values
        for value in drawn_values:
            totals[value] += 1
        assert torch.all(drawn.log_weights == 0)
    # A count of systematic resampling has variance at most 1/4; 5.5 standard errors is a false alarm below 1e-6.
    assert torch.all((totals / runs - n * weights).abs() < 5.5 * math.sqrt(0.25 / runs))


@given(counts, st.integers(1, 40), st.integers(0, 9))
def test_resample_counts_are_the_expectation_rounded_up_or_down(pairs, n, seed):
    posterior = of_counts(pairs)
    distinct = Posterior(list(range(len(pairs))), posterior.log_weights)
    drawn = Counter(distinct.resample(n, seed).values)
    for index, probability in enumerate(distinct.probabilities.tolist()):
        assert math.floor(n * probability - 1e-9) <= drawn[index] <= math.ceil(n * probability + 1e-9)


def test_resample_never_draws_weight_zero():
    posterior = Posterior(["no", "yes", "never"], [-math.inf, 0.0, -math.inf])
    assert all(set(posterior.resample(7, seed).values) == {"yes"} for seed in range(200))


def test_effective_sample_size_of_known_weights():
    assert Posterior.uniform([1, 2, 3, 4]).ess == pytest.approx(4.0)
    assert Posterior([1, 2], [0.0, -math.inf]).ess == pytest.approx(1.0)
    assert Posterior([1, 2], torch.tensor([3.0, 1.0]).log()).ess == pytest.approx(16 / 10)


class TestBatched:
    """A mapping of tensors gives what the list of its rows gives."""

    values = {"mu": torch.tensor([0.0, 1.0, 2.0, 3.0]), "x": torch.arange(8.0).reshape(4, 2)}
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0]).double().log()

    def both(self):
        rows = [{name: tensor[index] for name, tensor in self.values.items()} for index in range(4)]
        return Posterior(self.values, self.weights), Posterior(rows, self.weights)

    @pytest.mark.parametrize(
        "fn",
        [
            lambda value: value["mu"] ** 2,
            lambda value: value["x"].sum(),
            lambda value: value["x"] * value["mu"],
            lambda value: 1.0 if value["mu"] > 1 else 0.0,
        ],
    )
    def test_expect(self, fn):
        batched, listed = self.both()
        assert torch.allclose(batched.expect(fn), listed.expect(fn))

    def test_interval_map_marginal_probability(self):
        batched, listed = self.both()
        assert batched.interval(lambda v: v["mu"], 0.5) == listed.interval(lambda v: v["mu"], 0.5)
        assert batched.probability(lambda v: v["mu"] > 0.5) == pytest.approx(0.9)
        doubled = batched.map(lambda v: {"twice": 2 * v["mu"]})
        assert torch.equal(doubled.values["twice"], 2 * self.values["mu"])
        assert batched.marginal(lambda v: int(v["mu"]) % 2).values == [1, 0]
        assert batched.map(lambda v: "big" if v["mu"] > 1 else "small").mode() == "big"

    def test_merge_and_resample_keep_tensors(self):
        batched, _ = self.both()
        merged = batched.merge(batched)
        assert merged.values["x"].shape == (8, 2)
        assert batched.resample(5).values["mu"].shape == (5,)


def test_particles_of_weight_zero_do_not_spoil_an_expectation():
    posterior = Posterior([0.0, 2.0], [-math.inf, 0.0])
    assert float(posterior.expect(lambda value: 1 / value if value else math.inf)) == 0.5


@dataclass(frozen=True)
class Graph:
    edges: frozenset


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ([1, 2], (1, 2), True),
        ({1, 2}, {2, 1}, True),
        ({"a": [1]}, {"a": [1]}, True),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), True),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), False),
        (torch.tensor([1, 2]), torch.tensor([[1, 2]]), False),
        ([1, [2, 3]], [1, [2, 3]], True),
        ([1, [2, 3]], [[1, 2], 3], False),
        ({"a": 1}, {"a": 2}, False),
        (Graph(frozenset({(1, 2)})), Graph(frozenset({(1, 2)})), True),
        ([1, 2], {1, 2}, False),
    ],
)
def test_canonical_keys(one, other, equal):
    assert (canonical_key(one) == canonical_key(other)) is equal


def test_a_value_without_a_key_is_refused():
    class Unhashable:
        __hash__ = None

    with pytest.raises(UsageError, match="Unhashable"):
        Posterior.uniform([Unhashable()]).mode()


def test_a_posterior_without_mass_says_so():
    for empty in (Posterior([], []), Posterior([1], [-math.inf])):
        assert (empty.confidence, empty.ess, empty.entropy) == (0.0, 0.0, 0.0)
        assert "no mass" in repr(empty)
        for method in (empty.mode, lambda e=empty: e.expect(float), lambda e=empty: e.resample(3)):
            with pytest.raises(UsageError, match="no mass"):
                method()


@pytest.mark.parametrize(
    ("values", "weights", "rest", "hint"),
    [
        ([1, 2], [0.0], {}, "2 values do not fit 1 weights"),
        ([1], [math.nan], {}, "nan"),
        ([1, 2], [0.0, math.inf], {}, "Log-weight 1 is inf"),
        ({"a": torch.zeros(2)}, [0.0], {}, "axes"),
        ({}, [], {}, "axes"),
        ({"a": torch.tensor(1.0)}, [0.0], {}, "axes"),
        ([1], [0.0], {"log_evidence": 1.0}, "Give both or neither"),
        ([1], [0.0], {"evidence_kind": "unbiased"}, "Give both or neither"),
    ],
)
def test_bad_posteriors_are_refused(values, weights, rest, hint):
    with pytest.raises(UsageError, match=hint):
        Posterior(values, weights, **rest)


def test_bad_requests_are_refused():
    posterior = Posterior.uniform([1, 2])
    for mass in (0, 1, -0.1, 1.5):
        with pytest.raises(UsageError, match="mass"):
            posterior.interval(float, mass)
    with pytest.raises(UsageError, match="n=0"):
        posterior.resample(0)
    with pytest.raises(UsageError, match="do not merge"):
        posterior.merge(Posterior({"a": torch.zeros(1)}, [0.0]))
    with pytest.raises(UsageError, match="do not merge"):
        posterior.merge(Posterior([1], [0.0], 0.0, EvidenceKind.LOWER_BOUND))
    with pytest.raises(UsageError, match="differ"):
        Posterior({"a": torch.zeros(1)}, [0.0]).merge(Posterior({"b": torch.zeros(1)}, [0.0]))


def test_json_lists_distinct_values_heaviest_first():
    shown = Posterior.uniform(["a", "b", "b"], ledger=Ledger(calls=1)).to_json()
    assert [item["answer"] for item in shown["posterior"]] == ["b", "a"]
    assert shown["ledger"]["calls"] == 1
