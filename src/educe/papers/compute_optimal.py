"""Snell et al. (2024): choose the test-time strategy by the difficulty of the question. arXiv:2408.03314."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="compute-optimal",
    title="Scaling LLM Test-Time Compute Optimally can be More Effective than Scaling Model Parameters",
    authors=(
        "Charlie Snell",
        "Jaehoon Lee",
        "Kelvin Xu",
        "Aviral Kumar",
    ),
    year=2024,
    arxiv="2408.03314",
    venue="ICLR 2025",
    summary=(
        "Questions are binned by difficulty, and for each bin and budget the best way to search with a process reward "
        "or to revise answers is chosen on validation questions. "
        "Pick it when a budget and an estimate of difficulty must be turned into how to search or revise, how wide "
        "and how deep."
    ),
    claim=(
        "Choosing by difficulty matches best-of-N with about 4 times less compute: 16 instead of 64 generations for "
        "search, 64 instead of 256 for revisions."
    ),
    api=(
        "educe.reason.ComputeOptimal",
        "educe.reason.PRMSearch",
        "educe.reason.Revise",
        "educe.reason.difficulty",
        "educe.learn.train_prm",
    ),
    topics=("test-time compute", "reasoning", "efficiency"),
    room="reason",
)
