"""Zhou et al. (2025): sum path probabilities per answer and prune unlikely paths first. arXiv:2502.00511."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="rpc",
    title="Bridging Internal Probability and Self-Consistency for Effective and Efficient LLM Reasoning",
    authors=(
        "Zhi Zhou",
        "Yuhao Tan",
        "Zenan Li",
        "Yuan Yao",
        "Lan-Zhe Guo",
        "Xiaoxing Ma",
        "Yu-Feng Li",
    ),
    year=2025,
    arxiv="2502.00511",
    venue="NeurIPS 2025",
    summary=(
        "Each sampled answer is weighted by the probability that the model itself gives to the reasoning path, and "
        "paths of low probability are pruned by a two-component Weibull mixture before the sum. "
        "Pick it when log-probabilities can be had, samples are dear, and each answer needs a confidence."
    ),
    claim="Half the samples reach the accuracy of self-consistency, and at equal samples accuracy is higher.",
    api=("educe.reason.RPC", "educe.reason.aggregate", "educe.reason.weibull_prune"),
    topics=("reasoning", "test-time compute", "calibration"),
    room="reason",
)
