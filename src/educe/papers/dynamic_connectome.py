"""Dyballa et al. (2024): find which neurons act together, when, and in which animals. arXiv:2402.14102."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="dynamic-connectome",
    title="Learning dynamic representations of the functional connectome in neurobiological networks",
    authors=(
        "Luciano Dyballa",
        "Samuel Lang",
        "Alexandra Haslund-Gourley",
        "Eviatar Yemini",
        "Steven W. Zucker",
    ),
    year=2024,
    arxiv="2402.14102",
    venue="ICLR 2024",
    summary=(
        "Affinities of neuron pairs that vary in time are factored, without negative entries, into motifs over time, "
        "animals and pairs, and a weighted stochastic block model splits the pair weights of each motif into "
        "communities. "
        "Pick it when traces of several animals should tell who works with whom, when and in which animals, without "
        "chosen windows."
    ),
    claim=(
        "In whole-brain recordings of about 20 worms it finds salt- and attractant-related modules, and silencing AWB "
        "agreed with a predicted interaction."
    ),
    api=(
        "educe.science.connectome.affinity",
        "educe.science.connectome.ntf",
        "educe.science.connectome.WeightedSBM",
        "educe.science.connectome.dynamic_connectome",
    ),
    topics=("neuroscience", "scientific computing", "statistics"),
    room="science",
)
