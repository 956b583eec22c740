"""Graphs: order, ancestors and projection against networkx and enumeration; cycles and other bad input."""

import itertools

import networkx
import numpy as np
import pytest

from educe.causal import Admg, Dag, all_dags, as_dag, d_separated
from educe.core import UsageError


def random_dag(generator, n, density=0.5):
    names = [f"V{i}" for i in range(n)]
    order = list(generator.permutation(names))
    edges = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if generator.random() < density]
    return Dag(tuple(names), tuple((str(a), str(b)) for a, b in edges))


def as_networkx(dag):
    graph = networkx.DiGraph()
    graph.add_nodes_from(dag.vertices)
    graph.add_edges_from(dag.edges)
    return graph


def test_d_separation_agrees_with_networkx():
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        dag = random_dag(generator, 5)
        graph = as_networkx(dag)
        for a, b in itertools.combinations(dag.vertices, 2):
            rest = [v for v in dag.vertices if v not in (a, b)]
            given = [v for v in rest if generator.random() < 0.5]
            ours = d_separated(dag, [a], [b], given)
            assert ours == networkx.is_d_separator(graph, {a}, {b}, set(given))
            seen.add(ours)
    assert seen == {True, False}


def test_order_ancestors_and_descendants_agree_with_networkx():
    generator = np.random.default_rng(1)
    for _ in range(20):
        dag = random_dag(generator, 6)
        graph = as_networkx(dag)
        place = {v: i for i, v in enumerate(dag.topological_order)}
        assert all(place[a] < place[b] for a, b in dag.edges)
        for v in dag.vertices:
            assert dag.ancestors([v]) == networkx.ancestors(graph, v) | {v}
            assert dag.descendants([v]) == networkx.descendants(graph, v) | {v}


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 3), (3, 25), (4, 543)])
def test_all_graphs_are_listed_once(n, count):
    """Robinson's numbers of labelled acyclic digraphs."""
    graphs = list(all_dags("ABCD"[:n]))
    assert len(graphs) == len(set(graphs)) == count


def test_projection_keeps_all_separations_of_observed_vertices():
    """The projection, with a fresh hidden root per bidirected edge, separates the same observed sets."""
    generator = np.random.default_rng(2)
    for _ in range(25):
        dag = random_dag(generator, 6, 0.4)
        hidden = list(generator.choice(dag.vertices, 2, replace=False))
        mixed = dag.project(hidden)
        roots = [(f"U{i}", pair) for i, pair in enumerate(mixed.bidirected)]
        expanded = Dag(
            (*mixed.vertices, *(name for name, _ in roots)),
            (*mixed.directed, *((name, v) for name, pair in roots for v in pair)),
        )
        for a, b in itertools.combinations(mixed.vertices, 2):
            rest = [v for v in mixed.vertices if v not in (a, b)]
            for size in range(len(rest) + 1):
                for given in itertools.combinations(rest, size):
                    assert d_separated(dag, [a], [b], given) == d_separated(expanded, [a], [b], given)


def test_projection_through_hidden_chains():
    dag = as_dag([("H", "G"), ("G", "A"), ("H", "B"), ("A", "M"), ("M", "B")])
    mixed = dag.project(["H", "G", "M"])
    assert mixed == Admg(("A", "B"), (("A", "B"),), (("A", "B"),))


def test_graphs_are_equal_whatever_the_order():
    one, two = as_dag([("A", "B"), ("C", "B")]), as_dag([("C", "B"), ("A", "B")])
    assert one == two and hash(one) == hash(two) and one.canonical_key == two.canonical_key
    assert one.parents("B") == ("A", "C") and two.parents("B") == ("C", "A")


def test_networkx_graphs_and_numbered_vertices_are_read():
    graph = networkx.DiGraph([(1, 2), (3, 2)])
    graph.add_node(4)
    assert as_dag(graph) == Dag(("1", "2", "3", "4"), (("1", "2"), ("3", "2")))


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([("A", "B"), ("B", "C"), ("C", "A")], "close a cycle, A -> B -> C -> A|close a cycle, "),
        ([("A", "A")], "close a cycle, A -> A"),
        ([("A", "B"), ("A", "B")], "given twice"),
        ([("A", "B", "C")], "is no edge"),
        (["AB"], "is no edge"),
        ("A->B", "is no graph"),
        (7, "is no graph"),
        (networkx.Graph([("A", "B")]), "undirected"),
        (networkx.DiGraph([(1, "1")]), "Rename them"),
        ([("", "B")], "is not a name"),
    ],
)
def test_bad_graphs_are_refused(edges, words):
    with pytest.raises(UsageError, match=words):
        as_dag(edges)


def test_the_cycle_that_is_named_is_one():
    edges = [("X", "A"), ("A", "B"), ("B", "C"), ("C", "A"), ("C", "Z")]
    with pytest.raises(UsageError) as caught:
        as_dag(edges)
    walk = str(caught.value).split("cycle, ")[1].split(".")[0].split(" -> ")
    assert walk[0] == walk[-1] and all(step in edges for step in itertools.pairwise(walk))


def test_other_bad_input():
    dag = as_dag([("A", "B")])
    with pytest.raises(UsageError, match="not in the graph"):
        dag.parents("Z")
    with pytest.raises(UsageError, match="two of the three sets"):
        d_separated(dag, ["A"], ["B"], ["A"])
    with pytest.raises(UsageError, match="at most five"):
        next(all_dags("ABCDEF"))
    with pytest.raises(UsageError, match="does not join two vertices"):
        Admg(("A",), (), (("A", "A"),))
    with pytest.raises(UsageError, match="end that is no vertex"):
        Dag(("A",), (("A", "B"),))
