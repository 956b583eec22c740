"""Dynamic functional connectome: affinities of neuron pairs, non-negative factors, and communities."""

from educe.science.connectome.affinity import AffinityTensor, affinity
from educe.science.connectome.block_model import WeightedSBM, co_membership
from educe.science.connectome.factorization import Factors, RankChoice, choose_rank, ntf
from educe.science.connectome.motifs import DynamicConnectome, Motif, dynamic_connectome
from educe.science.connectome.recordings import Recording, Stimulus, from_mat
from educe.science.connectome.simulation import SimulatedRecording, simulate

__all__ = [
    "AffinityTensor",
    "DynamicConnectome",
    "Factors",
    "Motif",
    "RankChoice",
    "Recording",
    "SimulatedRecording",
    "Stimulus",
    "WeightedSBM",
    "affinity",
    "choose_rank",
    "co_membership",
    "dynamic_connectome",
    "from_mat",
    "ntf",
    "simulate",
]
