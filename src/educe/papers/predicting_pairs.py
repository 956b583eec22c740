"""Johnson et al. (2024): learn what a model does not know by predicting pairs of answers. arXiv:2402.08733."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="predicting-pairs",
    title="Experts Don't Cheat: Learning What You Don't Know By Predicting Pairs",
    authors=("Daniel D. Johnson", "Daniel Tarlow", "David Duvenaud", "Chris J. Maddison"),
    year=2024,
    arxiv="2402.08733",
    venue="ICML 2024",
    summary=(
        "A model is trained on pairs of independent answers to the same question, and how far showing it the first "
        "answer changes its prediction of the second measures what it does not know about the answer distribution. "
        "Pick it when the model or its inputs are too poor to learn the true distribution, two answers per question "
        "can be had, and an honest refusal is wanted."
    ),
    claim=(
        "If pair predictions are calibrated, the rate of impossible answers is at most one minus the mean "
        "cheat-corrected confidence, and the true probability leaves an interval of half-width sqrt(V / beta) with "
        "probability at most beta."
    ),
    api=(
        "educe.uncertainty.pairs.PairHead",
        "educe.uncertainty.pairs.PairPredictive",
        "educe.uncertainty.pairs.pair_loss",
        "educe.uncertainty.pairs.fit_pairs",
        "educe.uncertainty.pairs.conservative_gamma",
        "educe.uncertainty.pairs.selective_generate",
        "educe.uncertainty.pairs.ece2",
    ),
    topics=("uncertainty", "calibration", "statistics"),
    room="uncertainty",
)
