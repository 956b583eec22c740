"""Puri et al. (2025): run a particle filter over reasoning steps under a process reward. arXiv:2502.01618."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="particle-scaling",
    title=(
        "A Probabilistic Inference Approach to Inference-Time Scaling of LLMs using Particle-Based Monte Carlo Methods"
    ),
    authors=("Isha Puri", "Shivchander Sudalairaj", "GX Xu", "Kai Xu", "Akash Srivastava"),
    year=2025,
    arxiv="2502.01618",
    venue="NeurIPS 2025",
    summary=(
        "Partial solutions are particles that the language model extends step by step, and after each step a process "
        "reward model weights them and ancestors are resampled at random instead of cut by rank. "
        "Pick it when a step-wise but imperfect reward exists and keeping only the top-ranked prefixes throws good "
        "ones away."
    ),
    claim=(
        "Particle filtering beats beam search, diverse tree search and best-of-N on MATH500 and AIME 2024 with 4 to "
        "16 times fewer rollouts."
    ),
    api=("educe.reason.ParticleSearch", "educe.reason.ParticleGibbs", "educe.reason.ParallelTempering"),
    topics=("reasoning", "test-time compute", "bayesian inference"),
    room="reason",
)
