"""Effects: the worked example, beta posteriors in closed form, labels, refusals, bad data."""

import numpy as np
import pytest
from scipy import stats

from educe.causal import Table, adjust, do, do_draws
from educe.core import Refusal, UsageError

SMOKING = Table(("S", "T", "C"), [[[0.5, 0.1], [0.01, 0.02]], [[0.1, 0.05], [0.02, 0.2]]])
FRONT_DOOR = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]
BOW = [("H", "A"), ("H", "B"), ("A", "B")]


def test_the_worked_example():
    plain = adjust(SMOKING, do="S", of="C").tensor[:, 1]
    cut = [do(SMOKING, FRONT_DOOR, ["H"], do={"S": s}, of="C") for s in (0, 1)]
    np.testing.assert_allclose(plain, [0.190, 0.676], atol=1e-3)
    np.testing.assert_allclose([float(p.probabilities[1]) for p in cut], [0.2535, 0.5423], atol=1e-4)
    assert cut[0].details["exact"] and "intervals" not in cut[0].details
    assert cut[0].ledger.flops > 0 and "sum_S" in cut[0].details["formula"]


@pytest.mark.slow
def test_the_posterior_of_a_randomised_trial_is_beta():
    """Without confounding P(B=1 | do(A=1)) is a beta variable; 20,000 draws, KS test, false alarm below 1e-6."""
    counts = Table(("A", "B"), [[40, 10], [12, 28]])
    drawn = do_draws(counts, [("A", "B")], do="A", of="B", draws=20_000, alpha=0.5, seed=1)
    values = drawn.values["effect"][:, 1, 1].numpy()
    assert stats.kstest(values, stats.beta(28.5, 12.5).cdf).pvalue > 1e-6
    answer = do(counts, [("A", "B")], do={"A": 1}, of="B", draws=20_000, alpha=0.5, mass=0.9, seed=1)
    low, high = answer.details["intervals"][1]
    # A quantile of 20,000 draws is off by at most 5 standard errors of sqrt(0.05 * 0.95 / 20000) in probability.
    assert abs(stats.beta(28.5, 12.5).cdf(low) - 0.05) < 0.008
    assert abs(stats.beta(28.5, 12.5).cdf(high) - 0.95) < 0.008
    assert abs(float(answer.probabilities[1]) - 28.5 / 41) < 0.003


def test_observations_with_labels_and_without_draws():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"drug": ["a"] * 40 + ["b"] * 60, "well": ([1] * 30 + [0] * 10 + [1] * 15 + [0] * 45)})
    answer = do(frame, [("drug", "well")], do={"drug": "b"}, of="well", draws=0, alpha=1e-9)
    assert answer.values == [0, 1]
    assert float(answer.probabilities[1]) == pytest.approx(0.25, abs=1e-6)


def test_several_outcomes_come_as_tuples():
    answer = do(SMOKING, FRONT_DOOR, ["H"], do={"S": 1}, of=["T", "C"])
    assert answer.values == [(0, 0), (0, 1), (1, 0), (1, 1)]
    single = do(SMOKING, FRONT_DOOR, ["H"], do={"S": 1}, of="C")
    assert answer.probability(lambda v: v[1] == 1) == pytest.approx(single.probability(lambda c: c == 1))


def test_columns_outside_the_graph_are_summed_out():
    extra = Table(("X", "S", "T", "C"), np.stack([SMOKING.tensor / 4, SMOKING.tensor * 3 / 4]))
    wide = do(extra, FRONT_DOOR, ["H"], do={"S": 1}, of="C")
    assert float(wide.probabilities[1]) == pytest.approx(0.54226, abs=1e-4)


def test_the_seed_decides_and_the_draws_are_paired():
    counts = Table(SMOKING.names, (SMOKING.tensor * 1000).round())
    one = do(counts, FRONT_DOOR, ["H"], do={"S": 1}, of="C", seed=4)
    two = do(counts, FRONT_DOOR, ["H"], do={"S": 1}, of="C", seed=4)
    other = do(counts, FRONT_DOOR, ["H"], do={"S": 1}, of="C", seed=5)
    assert one.details == two.details != other.details
    drawn = do_draws(counts, FRONT_DOOR, ["H"], do="S", of="C", draws=400, seed=4)
    assert drawn.details["names"] == ["S", "C"]
    np.testing.assert_allclose(drawn.expect(lambda d: d["effect"][1, 1]), float(one.probabilities[1]), atol=1e-12)


def test_an_effect_that_is_not_identified_is_refused_with_data_or_law():
    counts = Table(("A", "B"), [[40, 10], [12, 28]])
    for data in (counts, counts.normalised()):
        refusal = do(data, BOW, ["H"], do={"A": 1}, of="B")
        assert isinstance(refusal, Refusal) and "A <-> B" in refusal.reason
    assert isinstance(do_draws(counts, BOW, ["H"], do="A", of="B"), Refusal)


@pytest.mark.parametrize(
    ("data", "extra", "words"),
    [
        (Table(("A", "B"), [[0.4, 0.4], [0.1, 0.05]]), {}, "sums to 0.95 and is not made of whole numbers"),
        (Table(("A",), [3, 4]), {"of": "A"}, "no column for"),
        (Table(("A", "B"), [[4, 4], [1, 5]]), {"do": {"A": 7}}, "not among the values"),
        (Table(("A", "B"), [[4, 4], [1, 5]]), {"draws": -1}, "is negative"),
        (Table(("A", "B"), [[4, 4], [1, 5]]), {"alpha": 0.0}, "no prior count"),
        (Table(("A", "B"), [[4, 4], [1, 5]]), {"mass": 1.0}, "strictly between"),
        (Table(("A", "B"), [[0.4, 0.4], [0.1, 0.1]]), {"draws": 10}, "no posterior to draw from"),
        (Table(("A", "B"), [[0.5, 0.5], [0.5, 0.5]], ("A",)), {}, "is a law given"),
        (Table(("A", "B"), np.ones((3, 2, 2))), {}, "batch axes"),
        (Table(("A", "B"), [[0.5, 0.5], [0.0, 0.0]]), {}, r"P\(A=1\) is zero"),
    ],
)
def test_bad_data_are_refused(data, extra, words):
    question = {"do": {"A": 1}, "of": "B"} | extra
    with pytest.raises(UsageError, match=words):
        do(data, [("A", "B")], **question)


def test_a_missing_column_is_named():
    with pytest.raises(UsageError, match=r"no column for \['H'\]"):
        do(SMOKING, FRONT_DOOR, do={"S": 1}, of="C")
    with pytest.raises(UsageError, match="cycle"):
        do(SMOKING, [("S", "C"), ("C", "S")], do={"S": 1}, of="C")
    with pytest.raises(UsageError, match="no posterior"):
        do_draws(SMOKING, FRONT_DOOR, ["H"], do="S", of="C")
    with pytest.raises(UsageError, match="draws=0"):
        do_draws(Table(("A", "B"), [[4, 4], [1, 5]]), [("A", "B")], do="A", of="B", draws=0)


def test_a_table_of_many_cells_survives_its_small_prior():
    """With 4,096 cells the prior count per cell is 1/4096, whose gamma draws underflow without care."""
    generator = np.random.default_rng(0)
    names = tuple(f"V{i}" for i in range(12))
    counts = Table(names, np.bincount(generator.integers(0, 4096, 300), minlength=4096).reshape((2,) * 12))
    edges = [(a, names[-1]) for a in names[:-1]]
    answer = do(counts, edges, do={"V0": 1}, of="V11", draws=50)
    assert 0.2 < float(answer.probabilities[1]) < 0.8


def test_one_hidden_vertex_may_be_given_by_its_name():
    graph = [("Hidden", "S"), ("S", "T"), ("T", "C"), ("Hidden", "C")]
    answer = do(SMOKING, graph, "Hidden", do={"S": 1}, of="C")
    assert float(answer.probabilities[1]) == pytest.approx(0.54226, abs=1e-4)
