"""Compositional data: log-ratios, and partial correlations of parts from relative amounts."""

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

__all__ = [
    "CompositionalCovariance",
    "Edge",
    "MultipleR2",
    "PartTable",
    "PartialCorrelation",
    "Proportionality",
    "SimulatedParts",
    "ZeroReplacement",
    "alr",
    "bootstrap_partial",
    "closure",
    "clr",
    "concentration",
    "edge_average_precision",
    "ilr",
    "ilr_basis",
    "multiple_r2",
    "partial_correlation",
    "partial_residuals",
    "proportionality",
    "replace_zeros",
    "roman_cups",
    "sample_compositions",
    "sparse_concentration",
    "variation",
]
