"""Erb (2019): partial correlations of compositional parts, free of a reference. arXiv:1904.09480."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="compositional-partial-correlation",
    title="Partial Correlations in Compositional Data Analysis",
    authors=("Ionas Erb",),
    year=2019,
    arxiv="1904.09480",
    venue="Applied Computing and Geosciences 6 (2020)",
    summary=(
        "Each log-ratio is regressed on all others that share its reference, the residual proves independent of the "
        "reference, and the correlations of residuals follow from one pseudo-inverse of the centred log-ratio "
        "covariance. "
        "Pick it when a graphical model of parts (oxides, taxa, genes) is wanted and only relative amounts are known."
    ),
    claim=(
        "The partial correlation of two parts is well defined for relative data: it lies in [-1, 1], may be negative, "
        "and needs no reference."
    ),
    api=(
        "educe.science.coda.partial_correlation",
        "educe.science.coda.concentration",
        "educe.science.coda.multiple_r2",
        "educe.science.coda.bootstrap_partial",
    ),
    topics=("statistics", "scientific computing"),
    room="science",
)
