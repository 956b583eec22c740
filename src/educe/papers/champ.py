"""Mao et al. (2024): competition problems with concepts, hints and annotated first wrong steps. arXiv:2401.06961."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="champ",
    title="CHAMP: A Competition-level Dataset for Fine-Grained Analyses of LLMs' Mathematical Reasoning Capabilities",
    authors=(
        "Mao",
        "Kim",
        "Zhou",
    ),
    year=2024,
    arxiv="2401.06961",
    venue="Findings of ACL 2024",
    summary=(
        "A set of 270 competition problems carries concepts, hints and stepwise solutions, together with 540 model "
        "solutions in which the first wrong step is marked, so that prompts with chosen side information and "
        "verifiers can be scored. "
        "Pick it to ask whether a model can use side information or find the first wrong step, beyond whether its "
        "answer is right."
    ),
    claim=(
        "The best of ten models reaches 58.1% in the standard settings, and many right final answers rest on a wrong "
        "step."
    ),
    api=(
        "educe.tasks.champ.load",
        "educe.tasks.champ.solve",
        "educe.tasks.champ.grade",
        "educe.tasks.champ.score_verifier",
    ),
    topics=("mathematics", "evaluation", "verification", "prompting"),
    room="tasks",
)
