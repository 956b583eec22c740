"""Sequences of sparse linear systems: recycling Krylov solvers, orders, test problems and data sets of solutions."""

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
    "Darcy",
    "Dataset",
    "Diffusion",
    "Helmholtz",
    "LinearProblem",
    "PdeSample",
    "Poisson",
    "RecycledSpace",
    "Solve",
    "Thermal",
    "assemble_diffusion",
    "gaussian_random_field",
    "gcro_dr",
    "generate_dataset",
    "gmres",
    "one_blas_thread",
    "preconditioner",
    "sort_systems",
    "subspace_distance",
]
