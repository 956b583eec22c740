"""Kadavath et al. (2022): let a model judge its answers and predict what it knows. arXiv:2207.05221."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="know-what-they-know",
    title="Language Models (Mostly) Know What They Know",
    authors=("Saurav Kadavath", "Tom Conerly", "Amanda Askell", "Jared Kaplan"),
    year=2022,
    arxiv="2207.05221",
    venue=None,
    summary=(
        "A model scores its own proposed answer as true or false, if wanted after seeing several of its own samples, "
        "and a trained head predicts from the question alone how often the model will answer it correctly. "
        "Pick it when you need the probability that one answer is right, or that asking the model is worthwhile at "
        "all."
    ),
    claim=(
        "A 52B model's trained estimate of whether it knows the answer reaches an AUROC of about .86 on TriviaQA, the "
        "set it was trained on, and transfers only in part to other tasks."
    ),
    api=(
        "educe.uncertainty.option_calibration",
        "educe.uncertainty.p_true",
        "educe.uncertainty.PTrueScorer",
        "educe.uncertainty.PIK",
        "educe.uncertainty.fit_temperature",
        "educe.uncertainty.metrics.ece",
        "educe.uncertainty.metrics.rms_ce",
        "educe.uncertainty.metrics.brier",
        "educe.uncertainty.metrics.auroc",
        "educe.uncertainty.metrics.selective_curve",
    ),
    topics=("uncertainty", "calibration", "evaluation"),
    room="uncertainty",
)
