"""Treutlein et al. (2024): test whether fine-tuning on scattered hints teaches the latent fact. arXiv:2406.14546."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="connecting-dots",
    title="Connecting the Dots: LLMs can Infer and Verbalize Latent Structure from Disparate Training Data",
    authors=(
        "Johannes Treutlein",
        "Dami Choi",
        "Jan Betley",
        "Samuel Marks",
        "Cem Anil",
        "Roger Grosse",
        "Owain Evans",
    ),
    year=2024,
    arxiv="2406.14546",
    venue="NeurIPS 2024",
    summary=(
        "A model is fine-tuned on many documents that each hint weakly at a latent which none of them states, and is "
        "then asked, with no document in context and no chain of thought, to name or use that latent. "
        "Pick it to find out what a fine-tuning set teaches implicitly, or to generate tests of that kind."
    ),
    claim=(
        "On all five tasks fine-tuned GPT-3.5 beats the untuned baseline, and on most it beats the same documents "
        "given in context."
    ),
    api=(
        "educe.tasks.oocr.Locations",
        "educe.tasks.oocr.Coins",
        "educe.tasks.oocr.Functions",
        "educe.tasks.oocr.Mixture",
        "educe.tasks.oocr.Parity",
        "educe.audit.oocr_report",
    ),
    topics=("evaluation", "reasoning", "training"),
    room="tasks",
)
