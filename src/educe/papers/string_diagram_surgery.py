"""Jacobs et al. (2018): intervene by cutting a string diagram and identify effects by combs. arXiv:1811.08338."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="string-diagram-surgery",
    title="Causal Inference by String Diagram Surgery",
    authors=("Bart Jacobs", "Aleks Kissinger", "Fabio Zanasi"),
    year=2018,
    arxiv="1811.08338",
    venue="FoSSaCS 2019",
    summary=(
        "An intervention replaces one box of a causal string diagram by a uniform state, and comb disintegration "
        "computes the cut distribution from observed data alone where hidden variables permit it. "
        "Pick it to learn from a causal diagram whether an intervention is computable from your data, and to compute "
        "it as one tensor contraction."
    ),
    claim=(
        "In the worked example cancer rises from 0.19 to 0.68 between observed non-smokers and smokers, but only from "
        "0.25 to 0.54 under intervention."
    ),
    api=(
        "educe.causal.diagram.Diagram",
        "educe.causal.diagram.Functor",
        "educe.causal.diagram.cut",
        "educe.causal.do",
        "educe.causal.identify",
        "educe.causal.disintegrate",
        "educe.causal.comb_disintegrate",
    ),
    topics=("causality", "statistics"),
    room="causal",
)
