"""Exchangeable processes: independences by enumeration, Polya urns in closed form, identifiability of all small graphs."""

import itertools
from math import factorial

import numpy as np
import pytest

from educe.causal import (
    all_dags,
    as_dag,
    binary_benchmark,
    d_separated,
    pair_benchmark,
    simulate_icm,
    structural_distance,
    unroll,
)  # fmt: skip
from educe.core import UsageError


def beta_table():
    """P(x1, y1, x2, y2) for X -> Y with theta ~ Beta(1, 3), psi_0, psi_1 ~ Beta(1, 3), integrated in closed form."""

    def moment(ones, zeros):
        # Integral of t^ones (1-t)^zeros under Beta(1, 3): Gamma functions of whole numbers.
        return 3 * factorial(ones) * factorial(2 + zeros) / factorial(3 + ones + zeros)

    table = np.zeros((2, 2, 2, 2))
    for x1, y1, x2, y2 in itertools.product((0, 1), repeat=4):
        weight = moment(x1 + x2, 2 - x1 - x2)
        for cause in (0, 1):
            ys = [y for x, y in ((x1, y1), (x2, y2)) if x == cause]
            weight *= moment(sum(ys), len(ys) - sum(ys))
        table[x1, y1, x2, y2] = weight
    return table


def test_the_independences_hold_exactly_in_an_enumerated_process():
    table = beta_table()
    assert table.sum() == pytest.approx(1)
    np.testing.assert_allclose(table, table.transpose(2, 3, 0, 1))

    def information(joint):
        """Largest deviation of P(a, b, c) P(c) from P(a, c) P(b, c), axes a, b, c."""
        return np.abs(joint * joint.sum((0, 1)) - joint.sum(1)[:, None] * joint.sum(0)[None]).max()

    x1_y2_x2 = table.sum(1).transpose(0, 2, 1)
    y1_x2_y2 = table.sum(0)
    assert information(x1_y2_x2) < 1e-15
    assert information(y1_x2_y2) > 1e-4
    # Polya's urn: the chance that a second cause is one, after a first that was, is (1 + 1) / (4 + 1).
    x = table.sum((1, 3))
    assert x[1, 1] / x[1].sum() == pytest.approx(2 / 5)


def test_simulated_tables_approach_the_enumerated_ones():
    """20,000 environments; chi-squared with 15 degrees of freedom exceeds 60 with chance 2e-7."""

    def prior(generator, count):
        return generator.beta(1, 3, (count, 2))

    def cause(generator, theta, parents):
        return (generator.random(parents.shape[:2]) < theta[..., 0]).astype(int)

    def effect(generator, theta, parents):
        chance = np.where(parents[..., 0] == 1, theta[..., 1], theta[..., 0])
        return (generator.random(chance.shape) < chance).astype(int)

    drawn = simulate_icm([("X", "Y")], {"X": cause, "Y": effect}, {"X": prior, "Y": prior}, 20_000, seed=1)
    flat = drawn.groups.reshape(-1, 4)
    counts = np.bincount(flat @ [8, 4, 2, 1], minlength=16)
    expected = beta_table().reshape(-1) * 20_000
    assert ((counts - expected) ** 2 / expected).sum() < 60


def signature(dag):
    """All independences across and within two samples that the process implies (conditioning sets up to four)."""
    two = unroll(dag)
    seen = [v for v in two.vertices if not v.startswith("theta")]
    found = set()
    for a, b in itertools.combinations(seen, 2):
        rest = [v for v in seen if v not in (a, b)]
        for size in range(len(rest) + 1):
            for given in itertools.combinations(rest, size):
                if d_separated(two, [a], [b], given):
                    found.add((a, b, given))
    return frozenset(found)


def test_no_two_graphs_on_three_variables_imply_the_same_independences():
    """Identifiability under faithfulness, exactly: 25 graphs, 25 sets; one sample has only 11 classes."""
    graphs = list(all_dags("ABC"))
    assert len({signature(dag) for dag in graphs}) == 25
    one = set()
    for dag in graphs:
        pairs = itertools.combinations("ABC", 2)
        one.add(
            frozenset(
                (a, b, given)
                for a, b in pairs
                for given in ((), tuple(v for v in "ABC" if v not in (a, b)))
                if d_separated(dag, [a], [b], given)
            )
        )
    assert len(one) == 11


def test_a_sink_is_told_by_its_separations_in_every_graph_of_four():
    for dag in itertools.islice(all_dags("ABCD"), 0, None, 7):
        two = unroll(dag)
        for v in dag.vertices:
            others = [w for w in dag.vertices if w != v]
            separated = all(d_separated(two, [f"{v}[1]"], [f"{w}[2]"], [f"{u}[1]" for u in others]) for w in others)
            assert separated == (dag.children(v) == ())


def test_the_pair_benchmark_is_what_it_says():
    structures = set()
    for seed in range(30):
        drawn = pair_benchmark(40, 3, seed=seed)
        assert drawn.groups.shape == (40, 3, 2) and np.isfinite(drawn.groups).all()
        structures.add(drawn.dag.edges)
        cause = next((a for a, _ in drawn.dag.edges), "X")
        # A root is its own Laplace noise around a mean within [-1, 1].
        assert abs(drawn.groups[..., drawn.names.index(cause)].mean()) < 1
    assert structures == {(("X", "Y"),), (("Y", "X"),), ()}
    again = pair_benchmark(40, 3, seed=29)
    np.testing.assert_array_equal(again.groups, drawn.groups)


def test_the_binary_benchmark_is_what_it_says():
    """A root is one with chance E[Beta(1, 3)] = 1/4; 60,000 draws in pairs, six standard errors."""
    shares = []
    for seed in range(5):
        drawn = binary_benchmark(6000, 4, seed=seed)
        assert {v for edge in drawn.dag.edges for v in edge} == set(drawn.names)
        shares += [drawn.groups[..., drawn.names.index(v)].mean() for v in drawn.names if not drawn.dag.parents(v)]
    assert all(abs(share - 0.25) < 6 * np.sqrt(0.1875 / 6000) for share in shares)


def test_the_distance_of_edge_sets():
    true = [("A", "B"), ("B", "C")]
    assert structural_distance(true, true) == 0 and structural_distance([], []) == 0
    assert structural_distance([], true) == structural_distance([("B", "A")], true) == 1
    assert structural_distance([("A", "B"), ("B", "A")], true) == 0.5


def test_bad_input():
    with pytest.raises(UsageError, match="cycle"):
        unroll([("A", "B"), ("B", "A")])
    with pytest.raises(UsageError, match="n=0"):
        unroll([("A", "B")], 0)
    for wrong in ({"environments": 1}, {"environments": 5, "n": 1}):
        with pytest.raises(UsageError):
            pair_benchmark(**wrong)
        with pytest.raises(UsageError):
            binary_benchmark(**wrong)
    good = {"A": lambda g, t, p: g.normal(t, 1, (5, 2))}
    prior = {"A": lambda g, e: g.normal(size=e)}
    graph = as_dag([], ["A"])
    assert simulate_icm(graph, good, prior, 5).groups.shape == (5, 2, 1)
    with pytest.raises(UsageError, match="lack a prior"):
        simulate_icm(graph, good, {}, 5)
    with pytest.raises(UsageError, match="one row per environment"):
        simulate_icm(graph, good, {"A": lambda g, e: g.normal(size=3)}, 5)
    with pytest.raises(UsageError, match="once per environment"):
        simulate_icm(graph, {"A": lambda g, t, p: g.normal(t, 1)}, prior, 5)
    with pytest.raises(UsageError, match="gave shape"):
        simulate_icm(graph, {"A": lambda g, t, p: np.zeros(3)}, prior, 5)
    with pytest.raises(UsageError, match="draw nothing"):
        simulate_icm(graph, good, prior, 0)
