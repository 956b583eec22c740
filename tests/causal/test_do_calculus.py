"""Interventions on string diagrams against pgmpy's do-calculus, on random discrete models."""

import itertools
import warnings

import networkx
import numpy as np
import pytest

from educe.causal import as_dag, cut, do, intervene, random_network
from educe.core import Posterior


@pytest.mark.slow
def test_cut_diagrams_and_observed_laws_agree_with_pgmpy():
    """Twenty models without hidden vertices: the cut diagram, the formula from the joint law, and pgmpy's answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("pgmpy.models")
        from pgmpy.factors.discrete import TabularCPD
        from pgmpy.inference import CausalInference

        compared = 0
        for seed in range(20):
            network = random_network(4, 0, levels=2 + seed % 2, density=0.7, seed=seed)
            dag, size = network.dag, 2 + seed % 2
            theirs = models.DiscreteBayesianNetwork(list(dag.edges))
            theirs.add_nodes_from(dag.vertices)
            for vertex in dag.vertices:
                parents = dag.parents(vertex)
                table = np.moveaxis(network.functor.ar[vertex].numpy(), -1, 0).reshape(size, -1)
                theirs.add_cpds(TabularCPD(vertex, size, table, list(parents), [size] * len(parents)))
            ask = CausalInference(theirs)
            law = network.functor.table(network.diagram)
            graph = networkx.DiGraph(list(dag.edges))
            graph.add_nodes_from(dag.vertices)
            for cause, effect in itertools.permutations(("V0", "V2", "V3"), 2):
                if effect not in dag.descendants([cause]):
                    continue
                expected = ask.query([effect], do={cause: 1}, show_progress=False).values
                cutting = intervene(network.diagram, network.functor, {cause: 1}).marginal(effect).tensor
                answer = do(law, graph, do={cause: 1}, of=effect)
                assert isinstance(answer, Posterior)
                np.testing.assert_allclose(cutting, expected, atol=1e-10)
                np.testing.assert_allclose(answer.probabilities, expected, atol=1e-10)
                assert cut(network.diagram, cause) != network.diagram or not dag.parents(cause)
                compared += 1
        assert compared > 30


def test_networkx_graphs_give_the_same_effect_as_edges():
    network = random_network(4, 1, seed=7)
    law = network.functor.table(network.diagram)
    graph = networkx.DiGraph()
    graph.add_nodes_from(network.dag.vertices)
    graph.add_edges_from(network.dag.edges)
    assert as_dag(graph) == network.dag
    one = do(law, graph, network.hidden, do={"V0": 1}, of="V3")
    two = do(law, network.dag, network.hidden, do={"V0": 1}, of="V3")
    assert type(one) is type(two)
    if isinstance(one, Posterior):
        np.testing.assert_allclose(one.probabilities, two.probabilities, atol=0)
