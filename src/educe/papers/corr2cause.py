"""Jin et al. (2023): judge in words what a list of correlations implies about causes. arXiv:2306.05836."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="corr2cause",
    title="Can Large Language Models Infer Causation from Correlation?",
    authors=(
        "Jin",
        "Liu",
        "Lyu",
        "Poff",
        "Sachan",
        "Mihalcea",
        "Diab",
        "Schölkopf",
    ),
    year=2023,
    arxiv="2306.05836",
    venue="ICLR 2024",
    summary=(
        "All correlations and conditional independences of a Markov equivalence class over two to six variables are "
        "put into words, and a causal hypothesis is valid only if it holds in every graph of the class. "
        "Pick it when formal causal discovery in words is to be tested with exact labels and a built-in shift of "
        "wording and names."
    ),
    claim=(
        "Seventeen language models are close to random without fine-tuning, and a fine-tuned one falls sharply when "
        "hypotheses are paraphrased or variables renamed."
    ),
    api=(
        "educe.tasks.corr2cause.generate",
        "educe.tasks.corr2cause.label",
        "educe.tasks.corr2cause.perturb",
        "educe.tasks.corr2cause.solve_text",
        "educe.tasks.corr2cause.evaluate",
    ),
    topics=("causality", "evaluation", "reasoning"),
    room="tasks",
)
