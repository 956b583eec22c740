"""Kessler et al. (2023): show how sequential Bayes forgets and classify by conjugate prototypes. arXiv:2301.01828."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="sequential-bayes",
    title="On Sequential Bayesian Inference for Continual Learning",
    authors=("S. Kessler", "A. Cobb", "T. G. J. Rudner", "S. Zohren", "S. J. Roberts"),
    year=2023,
    arxiv="2301.01828",
    venue="Entropy 2023",
    summary=(
        "Carrying one task's posterior over as the next prior is tested with near-exact sampling and exact conjugate "
        "models, and a conjugate classifier of class prototypes in an embedding is offered in its place. "
        "Pick it to diagnose Bayesian continual learning honestly, or to add classes online with a cheap conjugate "
        "classifier."
    ),
    claim=(
        "Sequential HMC forgets earlier tasks that joint HMC solves, while the prototype classifier reaches 93.7 % on "
        "class-incremental Split-MNIST against 92.9 % for the best earlier Bayesian method."
    ),
    api=(
        "educe.learn.SequentialBayes",
        "educe.learn.ProtoCL",
        "educe.learn.continual.evaluate",
        "educe.prob.conjugate.NormalMean",
        "educe.prob.conjugate.NormalInverseGamma",
    ),
    topics=("continual learning", "bayesian inference"),
    room="learn",
)
