"""Castagna et al. (2024): a plan must pass the questions of argument theory before an answer. arXiv:2412.15177."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="critical-questions",
    title="Critical-Questions-of-Thought: Steering LLM reasoning with Argumentative Querying",
    authors=(
        "Federico Castagna",
        "Isabel Sassoon",
        "Simon Parsons",
    ),
    year=2024,
    arxiv="2412.15177",
    venue=None,
    summary=(
        "The model writes a plan without an answer, judges it by eight yes-or-no questions drawn from Toulmin's model "
        "of argument, starts afresh when too few are passed, and answers from the accepted plan. "
        "Pick it when there is neither training nor a verifier and extra calls may be spent on checking the plan "
        "before the answer is written."
    ),
    claim=(
        "On MT-Bench the judge's score rises on average by 4.74% in reasoning and by 5.71% in math over the same "
        "model's plain answer."
    ),
    api=(
        "educe.reason.CriticalQuestions",
        "educe.reason.TOULMIN_8",
        "educe.reason.gate_statistics",
        "educe.reason.Judge",
    ),
    topics=("reasoning", "prompting", "verification", "test-time compute"),
    room="reason",
)
