"""Bengio (2017): predict few abstract variables from few others, as a sparse factor graph. arXiv:1709.08568."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="consciousness-prior",
    title="The Consciousness Prior",
    authors=("Yoshua Bengio",),
    year=2017,
    arxiv="1709.08568",
    venue=None,
    summary=(
        "An attention bottleneck picks a handful of elements of a large state and predicts one from the others, so "
        "that a sparse factor graph over abstract variables, and the encoder that yields them, are learned together. "
        "Pick it to discover which few of many noisy variables explain which, or to learn representations without "
        "reconstructing noise."
    ),
    claim=(
        "Sparse factors over abstract variables should improve sample efficiency and generalisation out of "
        "distribution (theory, no numbers)."
    ),
    api=("educe.learn.ConsciousnessPrior", "educe.learn.verifier", "educe.prob.FactorGraph"),
    topics=("neuroscience", "bayesian inference", "training"),
    room="learn",
)
