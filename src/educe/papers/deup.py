"""Lahlou et al. (2021): predict epistemic uncertainty as excess risk with a second model. arXiv:2102.08501."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="deup",
    title="DEUP: Direct Epistemic Uncertainty Prediction",
    authors=(
        "S. Lahlou",
        "M. Jain",
        "H. Nekoei",
        "V. I. Butoi",
        "P. Bertin",
        "J. Rector-Brooks",
        "M. Korablyov",
        "Y. Bengio",
    ),
    year=2021,
    arxiv="2102.08501",
    venue="TMLR 2023",
    summary=(
        "A second model is trained on out-of-sample errors of the first, less an estimate of the noise, and so "
        "predicts at each point the risk in excess of the Bayes predictor's, bias from misspecification included. "
        "Pick it when any predictor, however misspecified, needs epistemic uncertainty and a little out-of-sample "
        "error data can be had."
    ),
    claim=(
        "Predicted uncertainty ranks true losses under shift better than MC-dropout and deep ensembles, and as "
        "acquisition variance it finds better optima than Gaussian processes."
    ),
    api=("educe.uncertainty.DEUP", "educe.uncertainty.features", "educe.uncertainty.evaluate", "educe.prob.optimize"),
    topics=("uncertainty", "calibration"),
    room="uncertainty",
)
