"""Prystawski et al. (2023): show that reasoning steps help when experience is local. arXiv:2304.03843."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="why-step-by-step",
    title="Why think step by step? Reasoning emerges from the locality of experience",
    authors=("Ben Prystawski", "Michael Y. Li", "Noah D. Goodman"),
    year=2023,
    arxiv="2304.03843",
    venue="NeurIPS 2023",
    summary=(
        "Language models trained on samples from a Bayesian network that show only neighbouring variables together "
        "estimate distant conditionals directly or after generating intermediate variables, and both are scored "
        "against the exact values. "
        "Pick it to test, with exact ground truth, when chain of thought can help at all."
    ),
    claim=(
        "Models trained on local data generate intermediate variables that separate the two ends in about 70 % of "
        "cases, against about 34 % when the locality is wrong."
    ),
    api=(
        "educe.reason.locality.LocalCorpus",
        "educe.reason.locality.estimate",
        "educe.reason.locality.reasoning_gap",
        "educe.reason.locality.chain_minimiser",
        "educe.prob.bayesnet.BayesNet",
    ),
    topics=("reasoning", "learning theory", "evaluation"),
    room="reason",
)
