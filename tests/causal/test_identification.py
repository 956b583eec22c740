"""Identification: against the full model with its hidden vertices, closed forms, and causaleffect's ID algorithm."""

import itertools

import networkx
import numpy as np
import pytest

from educe.causal import Admg, Comb, NestedCombs, as_dag, identify, intervene, random_network
from educe.core import Refusal, UsageError

FRONT_DOOR = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]
BOW = [("H", "A"), ("H", "B"), ("A", "B")]
NAPKIN = Admg(tuple("WZXY"), (("W", "Z"), ("Z", "X"), ("X", "Y")), (("W", "X"), ("W", "Y")))


def truth(network, do, of):
    """The cut model that knows its hidden vertices, for all values of `do`: axes do, then of."""
    sizes = [network.functor.ob[v] for v in do]
    rows = []
    for values in itertools.product(*(range(size) for size in sizes)):
        law = intervene(network.diagram, network.functor, dict(zip(do, values, strict=True)))
        rows.append(law.marginal(*of).tensor.numpy())
    return np.array(rows).reshape(*sizes, *rows[0].shape)


def test_combs_agree_with_the_model_that_knows_what_is_hidden():
    verdicts = {True: 0, False: 0}
    for seed in range(120):
        network = random_network(3 + seed % 4, 1 + seed % 3, levels=2 + seed % 2 * (seed % 4 < 1), seed=seed)
        observed = network.functor.table(network.diagram)
        plan = identify(network.dag, network.hidden, do="V0")
        verdicts[isinstance(plan, Comb)] += 1
        if isinstance(plan, Refusal):
            mixed = network.dag.project(network.hidden)
            path = plan.certificate["path"]
            assert all((a, b) in mixed.bidirected or (b, a) in mixed.bidirected for a, b in itertools.pairwise(path))
            assert path[0] == "V0" and ("V0", path[-1]) in mixed.directed
        else:
            np.testing.assert_allclose(plan.apply(observed).tensor, truth(network, ["V0"], plan.of), atol=1e-12)
    assert min(verdicts.values()) > 20


@pytest.mark.slow
def test_nested_combs_agree_with_the_model_that_knows_what_is_hidden():
    kinds = {Comb: 0, NestedCombs: 0, Refusal: 0}
    for seed in range(150):
        network = random_network(4 + seed % 2, 2 + seed % 2, seed=seed)
        observed = network.functor.table(network.diagram)
        do = ["V0", "V1"][: 1 + seed % 2]
        plan = identify(network.dag, network.hidden, do=do, of=["V2"])
        kinds[type(plan)] += 1
        if not isinstance(plan, Refusal):
            np.testing.assert_allclose(plan.apply(observed).tensor, truth(network, do, ["V2"]), atol=1e-12)
    assert min(kinds.values()) > 10


def test_hidden_vertices_in_the_middle_and_with_parents():
    """A hidden mediator and a hidden child of an observed vertex, by projection."""
    edges = [("X", "M"), ("M", "Y"), ("Z", "H"), ("H", "X"), ("H", "W"), ("Z", "Y")]
    from educe.causal import Diagram, Functor

    dag = as_dag(edges)
    generator = np.random.default_rng(3)
    tables = {v: generator.dirichlet([2, 2], size=(2,) * len(dag.parents(v))) for v in dag.vertices}
    functor = Functor(dict.fromkeys(dag.vertices, 2), tables)
    diagram = Diagram.from_dag(dag, ["M", "H"])
    plan = identify(dag, ["M", "H"], do="X", of="Y")
    for x in (0, 1):
        expected = intervene(diagram, functor, {"X": x}).marginal("Y").tensor
        np.testing.assert_allclose(plan.apply(functor.table(diagram)).at(X=x).tensor, expected, atol=1e-13)


def test_the_front_door_formula_is_a_corollary():
    generator = np.random.default_rng(0)
    joint = generator.dirichlet([1] * 24).reshape(2, 3, 4)
    from educe.causal import Table

    got = identify(FRONT_DOOR, ["H"], do="S", of="C").apply(Table(("S", "T", "C"), joint)).tensor
    s = joint.sum((1, 2))
    t_given_s = joint.sum(2) / s[:, None]
    c_given_st = joint / joint.sum(2, keepdims=True)
    np.testing.assert_allclose(got, np.einsum("st,u,utc->sc", t_given_s, s, c_given_st), atol=1e-14)


def test_the_napkin_needs_nested_combs():
    from educe.causal import Table

    generator = np.random.default_rng(1)
    joint = generator.dirichlet([1] * 16).reshape(2, 2, 2, 2)
    plan = identify(NAPKIN, do="X", of="Y")
    assert isinstance(plan, NestedCombs)
    w = joint.sum((1, 2, 3))
    given = joint / joint.sum((2, 3), keepdims=True)
    top, bottom = np.einsum("w,wzxy->zxy", w, given), np.einsum("w,wzxy->zx", w, given)
    per_z = top / bottom[:, :, None]
    expected = np.einsum("z,zxy->xy", joint.sum((0, 2, 3)), per_z)
    np.testing.assert_allclose(plan.apply(Table(tuple("WZXY"), joint)).tensor, expected, atol=1e-13)
    assert "Q[" in plan.formula


def test_the_bow_is_refused_with_its_tie():
    refusal = identify(BOW, ["H"], do="A")
    assert isinstance(refusal, Refusal)
    assert "A <-> B" in refusal.reason and refusal.certificate == {"child": "B", "path": ["A", "B"]}
    hedge = identify(BOW, ["H"], do="A", of="B")
    assert "hedge" in hedge.reason and hedge.certificate["outer"] == ["A", "B"]


def test_an_effect_on_what_is_not_a_descendant_is_nothing():
    from educe.causal import Table

    generator = np.random.default_rng(2)
    joint = Table(("A", "B"), generator.dirichlet([1] * 4).reshape(2, 2))
    plan = identify([("A", "B"), ("H", "A"), ("H", "B")], ["H"], do="B", of="A")
    effect = plan.apply(joint).tensor
    np.testing.assert_allclose(effect, np.tile(joint.marginal("A").tensor, (2, 1)), atol=1e-13)


def test_back_door_and_networkx_graphs():
    from educe.causal import Table, adjust

    generator = np.random.default_rng(4)
    joint = Table(tuple("ZXY"), generator.dirichlet([1] * 12).reshape(3, 2, 2))
    graph = networkx.DiGraph([("Z", "X"), ("Z", "Y"), ("X", "Y")])
    got = identify(graph, do="X", of="Y").apply(joint)
    np.testing.assert_allclose(got.tensor, adjust(joint, do="X", of="Y", by=["Z"]).tensor, atol=1e-14)


def test_the_verdicts_are_those_of_causaleffect():
    """A second implementation of the ID algorithm, in Python, by other authors."""
    peer = pytest.importorskip("causaleffect")
    verdicts = {True: 0, False: 0}
    for seed in range(60):
        network = random_network(4, 2, seed=seed)
        mixed = network.dag.project(network.hidden)
        arrows = [f"{a}->{b}" for a, b in mixed.directed] + [f"{a}<->{b}" for a, b in mixed.bidirected]
        if {v for edge in (*mixed.directed, *mixed.bidirected) for v in edge} != set(mixed.vertices):
            continue
        do = {"V0", "V1"} if seed % 2 else {"V0"}
        theirs = peer.ID({"V2"}, do, peer.createGraph(arrows)).printLatex()
        ours = isinstance(identify(mixed, do=sorted(do), of="V2"), Refusal)
        assert ours == ("not identifiable" in theirs), (arrows, do, theirs)
        verdicts[ours] += 1
    assert min(verdicts.values()) > 5


def test_a_lack_of_support_is_named():
    from educe.causal import Table

    joint = Table(("S", "T", "C"), np.array([[[0.5, 0.1], [0.2, 0.2]], [[0, 0], [0, 0]]]))
    with pytest.raises(UsageError, match=r"P\(S=1, T=0\) is zero"):
        identify(FRONT_DOOR, ["H"], do="S").apply(joint)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"do": "H"}, "'H' is hidden, so no data show it"),
        ({"do": "S", "of": "H"}, "is hidden"),
        ({"do": "Z"}, "not in the graph"),
        ({"do": "S", "of": "S"}, "stands twice"),
        ({"do": []}, "No vertex to act on"),
        ({"do": ["S", "T", "C"]}, "no outcome"),
    ],
)
def test_questions_that_cannot_be_meant(arguments, words):
    with pytest.raises(UsageError, match=words):
        identify(FRONT_DOOR, ["H"], **arguments)


def test_a_mixed_graph_takes_no_hidden_vertices():
    with pytest.raises(UsageError, match="no vertices to hide"):
        identify(NAPKIN, ["W"], do="X")
