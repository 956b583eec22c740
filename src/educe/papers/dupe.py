"""Sonkar and Baraniuk (2023): does the model follow altered evidence or what it already knows? arXiv:2305.14507."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="dupe",
    title="Deduction under Perturbed Evidence: Probing Student Simulation Capabilities of Large Language Models",
    authors=(
        "Sonkar",
        "Baraniuk",
    ),
    year=2023,
    arxiv="2305.14507",
    venue="CEUR Workshop Proceedings 3487",
    summary=(
        "The supporting facts of yes-or-no questions are edited as little as possible so that the right answer flips, "
        "and the model is asked with the original and with the edited facts. "
        "Pick it to know whether a model reasons from the evidence in the prompt or from its weights, as in student "
        "simulation, counterfactual reading or retrieval with corrected facts."
    ),
    claim="GPT-3.5 and GPT-4 lose about 45 points of accuracy when the facts are edited.",
    api=(
        "educe.tasks.dupe.generate",
        "educe.tasks.dupe.load_duped",
        "educe.tasks.dupe.evaluate",
        "educe.tasks.dupe.Student",
    ),
    topics=("evaluation", "reasoning", "prompting"),
    room="tasks",
)
