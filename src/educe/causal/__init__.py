"""Causality: string diagrams and interventions, identification, and discovery from exchangeable groups."""

from educe.causal.average_effect import Overlap, average_effect, overlap, robustness_value
from educe.causal.cate import CFR, DragonNet, TARNet, TLearner
from educe.causal.cevae import CEVAE
from educe.causal.combs import Disintegrated, comb_disintegrate, disintegrate
from educe.causal.diagram import Box, Composable, Diagram, Placed, Ty
from educe.causal.effects import adjust, do, do_draws
from educe.causal.exchangeable import Edges, Evidence, Layers, discover, edges_given_layers, sink_layers
from educe.causal.functor import Functor, counterfactual, intervene
from educe.causal.graph import Dag, all_dags, as_dag
from educe.causal.heckman import heckman
from educe.causal.hidden import VLUCI
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
from educe.causal.refutation import Refutation, e_value, refute
from educe.causal.sensitivity import Sensitivity, sensitivity
from educe.causal.separation import d_separated
from educe.causal.simulation import Network, random_network
from educe.causal.structure import Copy, Discard, Identity, Swap, Uniform
from educe.causal.surgery import cut, twin
from educe.causal.table import Table, as_table

__all__ = [
    "CEVAE",
    "CFR",
    "VLUCI",
    "Admg",
    "Box",
    "Comb",
    "Composable",
    "Copy",
    "Dag",
    "Diagram",
    "Discard",
    "Disintegrated",
    "DragonNet",
    "Edges",
    "Evidence",
    "Exchangeable",
    "Functor",
    "Identity",
    "IndependenceTest",
    "Layers",
    "NestedCombs",
    "Network",
    "Overlap",
    "Placed",
    "Refutation",
    "Sensitivity",
    "Swap",
    "TARNet",
    "TLearner",
    "Table",
    "Ty",
    "Uniform",
    "adjust",
    "all_dags",
    "as_dag",
    "as_table",
    "average_effect",
    "binary_benchmark",
    "comb_disintegrate",
    "counterfactual",
    "cut",
    "d_separated",
    "discover",
    "disintegrate",
    "do",
    "do_draws",
    "e_value",
    "edges_given_layers",
    "from_discopy",
    "g_test",
    "heckman",
    "identify",
    "intervene",
    "kci",
    "overlap",
    "pair_benchmark",
    "random_network",
    "refute",
    "robustness_value",
    "sensitivity",
    "simulate_icm",
    "sink_layers",
    "structural_distance",
    "to_discopy",
    "twin",
    "unroll",
]
