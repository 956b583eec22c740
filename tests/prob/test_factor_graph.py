"""Factor graphs against brute force; Gibbs sampling and belief propagation against enumeration."""

import itertools

import pytest
import torch

from educe.core import UsageError
from educe.prob import FactorGraph

D = torch.float64


def tree():
    rng = torch.Generator().manual_seed(0)
    shape = {("a", "b"): (2, 3), ("b", "c"): (3, 2), ("b", "d"): (3, 2), ("a",): (2,)}
    tables = {names: torch.randn(size, generator=rng, dtype=D) for names, size in shape.items()}
    return FactorGraph({"a": 2, "b": 3, "c": 2, "d": 2}, tables)


def by_hand(graph):
    weights = {}
    for values in itertools.product(*(range(k) for k in graph.variables.values())):
        state = dict(zip(graph.variables, values, strict=True))
        total = sum(float(table[tuple(state[n] for n in names)]) for names, table in graph.factors.items())
        weights[values] = torch.tensor(total, dtype=D).exp()
    return weights


def test_enumeration_is_the_product_of_factors():
    graph = tree()
    weights = by_hand(graph)
    found = graph.enumerate()
    total = sum(weights.values())
    assert found.log_evidence == pytest.approx(float(total.log()))
    for values, weight in weights.items():
        state = dict(zip(graph.variables, values, strict=True))
        p = found.probability(lambda s, state=state: all(int(s[name]) == state[name] for name in state))
        assert p == pytest.approx(float(weight / total))
        assert float(graph.log_prob(state)) == pytest.approx(float(weight.log()))
    assert graph.edges == {("a", "b"), ("b", "c"), ("b", "d")}


def marginals(graph):
    found = graph.enumerate()
    return {
        name: torch.tensor([found.probability(lambda s, n=name, v=v: int(s[n]) == v) for v in range(k)], dtype=D)
        for name, k in graph.variables.items()
    }


def test_belief_propagation_is_exact_on_trees():
    graph = tree()
    for damping in (0.0, 0.3):
        found = graph.belief_propagation(60, damping)
        for name, exact in marginals(graph).items():
            torch.testing.assert_close(found[name], exact, rtol=0, atol=1e-7)


def test_gibbs_keeps_and_finds_the_distribution():
    graph, n = tree(), 20_000
    exact = marginals(graph)
    rng = torch.Generator().manual_seed(1)
    whole = graph.enumerate()
    index = torch.multinomial(whole.probabilities, n, replacement=True, generator=rng)
    start = {name: values[index] for name, values in whole.values.items()}
    for given_start, sweeps in ((start, 1), (None, 25)):
        drawn = graph.gibbs(n, sweeps, seed=2, start=given_start).values
        for name, p in exact.items():
            share = torch.bincount(drawn[name], minlength=len(p)).double() / n
            # 18 comparisons at six standard errors: false alarms below 1e-7.
            assert float(((share - p) / (p * (1 - p) / n).sqrt()).abs().max()) < 6
    held = graph.gibbs(500, 5, given={"a": 1}).values
    assert bool((held["a"] == 1).all())


def test_intervening_and_adapting_change_one_factor():
    graph = tree()
    changed = graph.intervene(("a",), torch.tensor([0.0, 5.0]))
    assert changed.factors[("b", "c")] is graph.factors[("b", "c")] or torch.equal(
        changed.factors[("b", "c")], graph.factors[("b", "c")]
    )
    assert float(marginals(changed)["a"][1]) > float(marginals(graph)["a"][1])
    data = {"a": torch.tensor([0, 0, 1, 1]), "b": torch.tensor([0, 0, 0, 2])}
    fitted = graph.adapt(("a", "b"), data).factors[("a", "b")].exp()
    torch.testing.assert_close(fitted[:, 0], torch.tensor([3 / 5, 2 / 5], dtype=D))
    torch.testing.assert_close(fitted.sum(0), torch.ones(3, dtype=D))


def test_bad_graphs_get_clear_errors():
    graph = tree()
    for bad in (
        lambda: FactorGraph({"a": 2}, {("b",): torch.zeros(2)}),
        lambda: FactorGraph({"a": 2}, {("a", "a"): torch.zeros(2, 2)}),
        lambda: FactorGraph({"a": 2}, {("a",): torch.zeros(3)}),
        lambda: FactorGraph({"a": 2}, {("a",): torch.tensor([0.0, float("nan")])}),
        lambda: FactorGraph({str(k): 2 for k in range(21)}, {}).enumerate(),
        lambda: graph.log_prob({"a": 0}),
        lambda: graph.gibbs(0),
        lambda: graph.belief_propagation(0),
        lambda: graph.belief_propagation(5, 1.0),
        lambda: graph.intervene(("c",), torch.zeros(2)),
        lambda: graph.adapt(("c",), {}),
        lambda: graph.adapt(("a",), {"a": torch.tensor([0])}, smoothing=0.0),
    ):
        with pytest.raises(UsageError):
            bad()
