"""Wang et al. (2023): write rules in words, turn them into programs, keep those that fit. arXiv:2309.05660."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="hypothesis-search",
    title="Hypothesis Search: Inductive Reasoning with Language Models",
    authors=(
        "Ruocheng Wang",
        "Eric Zelikman",
        "Gabriel Poesia",
        "Yewen Pu",
        "Nick Haber",
        "Noah D. Goodman",
    ),
    year=2023,
    arxiv="2309.05660",
    venue="ICLR 2024",
    summary=(
        "The model proposes rules in words, a summary keeps a few, each is written as programs that are run on the "
        "examples and revised from their errors, and a program that fits all examples gives the answer. "
        "Pick it when a rule must be inferred from a few input-output pairs and candidate programs can be run."
    ),
    claim="On 100 ARC tasks the pipeline with summarised hypotheses solves 30%, direct prompting 17%.",
    api=(
        "educe.reason.HypothesisSearch",
        "educe.reason.InductiveTask",
        "educe.tasks.arc",
        "educe.tasks.arc1d",
        "educe.verify.Sandbox",
    ),
    topics=("reasoning", "code", "verification", "test-time compute"),
    room="reason",
)
