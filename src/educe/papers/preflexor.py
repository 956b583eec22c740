"""Buehler (2024): teach a model to think, reflect and revise by preferences made on the fly. arXiv:2410.12375."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="preflexor",
    title=(
        "PRefLexOR: Preference-based Recursive Language Modeling for Exploratory Optimization of Reasoning and "
        "Agentic Thinking"
    ),
    authors=("Markus J. Buehler",),
    year=2024,
    arxiv="2410.12375",
    venue="npj Artificial Intelligence 2025",
    summary=(
        "Questions and structured thinking drawn from a raw corpus by a teacher form preference pairs against the "
        "model's own answers, which train it in two stages, and at inference a critic feeds back on the thinking "
        "before each new answer. "
        "Pick it when you have a corpus but no labelled reasoning data, and want thinking tokens and preference "
        "tuning together."
    ),
    claim=(
        "A 3B model teaches itself from a raw corpus, with an 8B teacher, to think in marked sections and to revise, "
        "shown mostly by case studies and model-judged scores per recursion step."
    ),
    api=(
        "educe.learn.PRefLexOR",
        "educe.learn.onthefly.CorpusQuestions",
        "educe.learn.preference.orpo_loss",
        "educe.learn.preference.exo_pair_loss",
        "educe.learn.preference.dpo_loss",
        "educe.learn.preference.SpanMask",
        "educe.reason.recursive",
        "educe.reason.spans",
    ),
    topics=("training", "reinforcement learning", "reasoning"),
    room="learn",
)
