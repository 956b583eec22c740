"""Causality: string diagrams and interventions, identification, and discovery from exchangeable groups."""

from educe.causal.combs import Disintegrated, comb_disintegrate, disintegrate
from educe.causal.diagram import Box, Composable, Diagram, Placed, Ty
from educe.causal.effects import adjust, do, do_draws
from educe.causal.exchangeable import Edges, Evidence, Layers, discover, edges_given_layers, sink_layers
from educe.causal.functor import Functor, counterfactual, intervene
from educe.causal.graph import Dag, all_dags, as_dag
from educe.causal.icm import (
    Exchangeable,
    binary_benchmark,
    pair_benchmark,
    simulate_icm,
    structural_distance,
    unroll,
)
from educe.causal.identification import Comb, NestedCombs, identify
from educe.causal.independence import IndependenceTest, g_test, kci
from educe.causal.interchange import from_discopy, to_discopy
from educe.causal.mixed import Admg
from educe.causal.separation import d_separated
from educe.causal.simulation import Network, random_network
from educe.causal.structure import Copy, Discard, Identity, Swap, Uniform
from educe.causal.surgery import cut, twin
from educe.causal.table import Table, as_table

__all__ = [
    "Admg",
    "Box",
    "Comb",
    "Composable",
    "Copy",
    "Dag",
    "Diagram",
    "Discard",
    "Disintegrated",
    "Edges",
    "Evidence",
    "Exchangeable",
    "Functor",
    "Identity",
    "IndependenceTest",
    "Layers",
    "NestedCombs",
    "Network",
    "Placed",
    "Swap",
    "Table",
    "Ty",
    "Uniform",
    "adjust",
    "all_dags",
    "as_dag",
    "as_table",
    "binary_benchmark",
    "comb_disintegrate",
    "counterfactual",
    "cut",
    "d_separated",
    "discover",
    "disintegrate",
    "do",
    "do_draws",
    "edges_given_layers",
    "from_discopy",
    "g_test",
    "identify",
    "intervene",
    "kci",
    "pair_benchmark",
    "random_network",
    "simulate_icm",
    "sink_layers",
    "structural_distance",
    "to_discopy",
    "twin",
    "unroll",
]
