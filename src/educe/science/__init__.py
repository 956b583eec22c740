"""Data for science: compositions, recordings of neurons, and solutions of differential equations."""

from educe.science._tables import PartTable
from educe.science.coda.bootstrap import bootstrap_partial
from educe.science.coda.concentration import concentration
from educe.science.coda.covariance import CompositionalCovariance
from educe.science.coda.logratio import alr, closure, clr, ilr, ilr_basis, variation
from educe.science.coda.multiple_correlation import MultipleR2, multiple_r2
from educe.science.coda.partial_correlation import Edge, PartialCorrelation, partial_correlation
from educe.science.coda.proportionality import Proportionality, proportionality
from educe.science.coda.residuals import partial_residuals
from educe.science.coda.roman_cups import roman_cups
from educe.science.coda.simulation import (
    SimulatedParts,
    edge_average_precision,
    sample_compositions,
    sparse_concentration,
)
from educe.science.coda.zeros import ZeroReplacement, replace_zeros
from educe.science.connectome.affinity import AffinityTensor, affinity
from educe.science.connectome.block_model import WeightedSBM, co_membership
from educe.science.connectome.factorization import Factors, RankChoice, choose_rank, ntf
from educe.science.connectome.motifs import DynamicConnectome, Motif, dynamic_connectome
from educe.science.connectome.recordings import Recording, Stimulus, from_mat
from educe.science.connectome.simulation import SimulatedRecording, simulate
from educe.science.krylov._threads import one_blas_thread
from educe.science.krylov.dataset import Dataset, generate_dataset
from educe.science.krylov.finite_volume import SIDES, Diffusion, assemble_diffusion
from educe.science.krylov.gcro_dr import gcro_dr
from educe.science.krylov.gmres import gmres
from educe.science.krylov.preconditioners import PRECONDITIONERS, preconditioner
from educe.science.krylov.problems import Darcy, Helmholtz, LinearProblem, PdeSample, Poisson, Thermal
from educe.science.krylov.random_field import gaussian_random_field
from educe.science.krylov.recycling import GCRODR, subspace_distance
from educe.science.krylov.solve import RecycledSpace, Solve
from educe.science.krylov.sorting import sort_systems

__all__ = [
    "GCRODR",
    "PRECONDITIONERS",
    "SIDES",
    "AffinityTensor",
    "CompositionalCovariance",
    "Darcy",
    "Dataset",
    "Diffusion",
    "DynamicConnectome",
    "Edge",
    "Factors",
    "Helmholtz",
    "LinearProblem",
    "Motif",
    "MultipleR2",
    "PartTable",
    "PartialCorrelation",
    "PdeSample",
    "Poisson",
    "Proportionality",
    "RankChoice",
    "Recording",
    "RecycledSpace",
    "SimulatedParts",
    "SimulatedRecording",
    "Solve",
    "Stimulus",
    "Thermal",
    "WeightedSBM",
    "ZeroReplacement",
    "affinity",
    "alr",
    "assemble_diffusion",
    "bootstrap_partial",
    "choose_rank",
    "closure",
    "clr",
    "co_membership",
    "concentration",
    "dynamic_connectome",
    "edge_average_precision",
    "from_mat",
    "gaussian_random_field",
    "gcro_dr",
    "generate_dataset",
    "gmres",
    "ilr",
    "ilr_basis",
    "multiple_r2",
    "ntf",
    "one_blas_thread",
    "partial_correlation",
    "partial_residuals",
    "preconditioner",
    "proportionality",
    "replace_zeros",
    "roman_cups",
    "sample_compositions",
    "simulate",
    "sort_systems",
    "sparse_concentration",
    "subspace_distance",
    "variation",
]
