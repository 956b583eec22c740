"""Dwork et al. (2014): answers with differential privacy keep a reused holdout honest. arXiv:1411.2664."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="adaptive-validity",
    title="Preserving Statistical Validity in Adaptive Data Analysis",
    authors=(
        "Dwork",
        "Feldman",
        "Hardt",
        "Pitassi",
        "Reingold",
        "Roth",
    ),
    year=2014,
    arxiv="1411.2664",
    venue="STOC 2015",
    summary=(
        "Queries on a holdout are answered with calibrated noise, so that each answer is differentially private and "
        "stays near its population value although the next query depends on it. "
        "Pick it when one holdout, development set or leaderboard is asked many times, prompt tuning included, and "
        "the numbers must stay honest."
    ),
    claim=(
        "Empirical means break after about n adaptively chosen queries, whereas private answers hold for about n^2 "
        "efficiently and for exponentially many inefficiently."
    ),
    api=(
        "educe.audit.adaptive.NoisyMean",
        "educe.audit.adaptive.PrivateMW",
        "educe.audit.adaptive.Rounds",
        "educe.audit.adaptive.Thresholdout",
        "educe.audit.adaptive.certify",
        "educe.audit.adaptive.guard",
    ),
    topics=("statistics", "privacy", "evaluation", "learning theory"),
    room="audit",
)
