"""Surgery against the truncated factorisation and structural enumeration, both written out in NumPy."""

import itertools

import numpy as np
import pytest
import torch

from educe.causal import Diagram, Functor, Ty, counterfactual, cut, intervene, random_network, twin
from educe.core import Refusal, UsageError

SMOKING = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]


def truncated_factorisation(network, do):
    """Sum the product of all tables but those acted on over everything consistent with the action."""
    dag, functor = network.dag, network.functor
    observed = [v for v in dag.vertices if v not in network.hidden and v not in do]
    sizes = {v: functor.ob[v] for v in dag.vertices}
    law = np.zeros([sizes[v] for v in observed])
    for values in itertools.product(*(range(sizes[v]) for v in dag.vertices)):
        at = dict(zip(dag.vertices, values, strict=True))
        if any(at[v] != x for v, x in do.items()):
            continue
        weight = 1.0
        for v in dag.vertices:
            if v not in do:
                weight *= float(functor.ar[v][tuple(at[p] for p in dag.parents(v))][at[v]])
        law[tuple(at[v] for v in observed)] += weight
    return law


@pytest.mark.parametrize("seed", range(12))
def test_cutting_is_the_truncated_factorisation(seed):
    network = random_network(3, 1 + seed % 2, levels=2 + seed % 2, seed=seed)
    for do in ({"V0": 1}, {"V1": 0, "V2": 1}):
        law = intervene(network.diagram, network.functor, do)
        np.testing.assert_allclose(law.tensor, truncated_factorisation(network, do), atol=1e-13)


def test_cut_is_an_idempotent_and_cuts_commute():
    diagram = Diagram.from_dag(SMOKING, ["H"])
    assert cut(cut(diagram, "S"), "S") == cut(diagram, "S") != diagram
    assert cut(cut(diagram, "S"), "T") == cut(cut(diagram, "T"), "S") == cut(diagram, "S", "T")
    assert cut(diagram) == diagram


def test_cut_is_a_functor():
    one, two = Diagram.from_dag([("A", "B")]), Diagram.from_dag([("C", "D")])
    assert cut(one @ two, "B") == cut(one, "B") @ two
    from educe.causal import Box, Identity

    f, g = Box("f", Ty("A"), Ty("B")), Box("g", Ty("B"), Ty("C"))
    assert cut(f >> g, "f") == cut(f.diagram, "f") >> g
    assert cut(f >> g, "g") == f >> cut(g.diagram, "g")
    assert cut(Identity(Ty("A")).diagram, "A") == Identity(Ty("A")).diagram


def test_a_cut_vertex_is_uniform_and_independent_of_its_former_causes():
    network = random_network(4, 1, seed=8)
    whole = network.functor.table(cut(Diagram.from_dag(network.dag), "V0"))
    causes = [v for v in network.dag.vertices if v not in network.dag.descendants(["V0"])]
    joint = whole.marginal("V0", *causes).tensor
    np.testing.assert_allclose(joint, (joint.sum(0) / 2).expand_as(joint), atol=1e-14)


def test_an_unknown_vertex_is_named():
    with pytest.raises(UsageError, match="no box 'Smoke'; did you mean 'Smokes'"):
        cut(Diagram.from_dag([("Smokes", "Tar")]), "Smoke")


def structural_model(seed):
    """U -> S, (S, W) -> T, (T, U) -> C with random deterministic mechanisms."""
    generator = np.random.default_rng(seed)
    edges = [("U", "S"), ("S", "T"), ("W", "T"), ("T", "C"), ("U", "C")]
    tables = {"U": generator.dirichlet([1] * 4), "W": generator.dirichlet([1] * 3)}
    choices = {"S": (4,), "T": (2, 3), "C": (2, 4)}
    maps = {name: generator.integers(0, 2, shape) for name, shape in choices.items()}
    tables |= {name: np.eye(2)[chosen] for name, chosen in maps.items()}
    functor = Functor({"U": 4, "W": 3, "S": 2, "T": 2, "C": 2}, tables)
    return Diagram.from_dag(edges, ["U", "W"]), functor, tables, maps


@pytest.mark.parametrize("seed", range(10))
def test_counterfactuals_agree_with_enumerating_the_exogenous_states(seed):
    diagram, functor, tables, maps = structural_model(seed)
    for seen, action in (({"C": 1}, 0), ({"S": 1, "T": 0}, 0), ({"S": 0, "C": 1}, 1)):
        law = np.zeros(2)
        for u, w in itertools.product(range(4), range(3)):
            s = maps["S"][u]
            t = maps["T"][s, w]
            c = maps["C"][t, u]
            if all({"S": s, "T": t, "C": c}[name] == value for name, value in seen.items()):
                law[maps["C"][maps["T"][action, w], u]] += tables["U"][u] * tables["W"][w]
        answer = counterfactual(diagram, functor, observed=seen, do={"S": action}, of="C")
        if law.sum() == 0:
            assert isinstance(answer, Refusal) and "probability zero" in answer.reason
        else:
            np.testing.assert_allclose(answer.probabilities, law / law.sum(), atol=1e-13)


def test_without_evidence_the_twin_gives_the_two_worlds():
    diagram, functor, _, _ = structural_model(3)
    table = functor(twin(diagram, "S"))
    np.testing.assert_allclose(table.sum(dim=(3, 4, 5)), functor(diagram), atol=1e-14)
    np.testing.assert_allclose(table.sum(dim=(0, 1, 2)), functor(cut(diagram, "S")), atol=1e-14)


def test_without_action_the_two_worlds_agree():
    diagram, functor, _, _ = structural_model(4)
    table = functor(twin(diagram)).reshape(8, 8)
    assert float((table - torch.diag(torch.diag(table))).abs().max()) == 0.0


def test_counterfactuals_of_a_stochastic_mechanism_are_refused():
    model = Functor({"A": 2, "B": 2}, {"A": [0.5, 0.5], "B": [[0.9, 0.1], [0.2, 0.8]]})
    diagram = Diagram.from_dag([("A", "B")])
    with pytest.raises(UsageError, match="not deterministic"):
        counterfactual(diagram, model, observed={"B": 1}, do={"A": 0}, of="B")
    with pytest.raises(UsageError, match="no output"):
        counterfactual(diagram, model, observed={"Z": 1}, do={"A": 0}, of="B")
    with pytest.raises(UsageError, match="no outcome"):
        counterfactual(diagram, Functor(model.ob, {"A": [0.5, 0.5], "B": np.eye(2)}), observed={}, do={"A": 0}, of="A")
    with pytest.raises(UsageError, match="has inputs"):
        twin(cut(Diagram(("A",), (), (0,), (0,))))
