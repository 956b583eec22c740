"""Liu et al. (2023): prune and reorder the premises into proof order, then reason once. arXiv:2310.03309."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="cop",
    title="Concise and Organized Perception Facilitates Large Language Models for Deductive Reasoning",
    authors=(
        "Junjie Liu",
        "Shaotian Yan",
        "Chen Shen",
        "Zhengdong Xiao",
        "Liang Xie",
        "Wenxiao Wang",
        "Jieping Ye",
    ),
    year=2023,
    arxiv="2310.03309",
    venue="NAACL 2025",
    summary=(
        "The model rewrites the premises as symbolic terms, a backward search from the query keeps those that can "
        "take part in a proof, and their original sentences are put in order of inference for one chain-of-thought "
        "call. "
        "Pick it when a deduction is buried among shuffled and irrelevant premises and calls to the model should be "
        "few."
    ),
    claim=(
        "COP is more accurate than chain of thought, Selection-Inference, LAMBADA and Logic-LM, with far fewer calls "
        "than methods that work stage by stage."
    ),
    api=("educe.reason.ConciseOrganized", "educe.reason.mind_map", "educe.tasks.proofwriter", "educe.tasks.prontoqa"),
    topics=("logic", "reasoning", "prompting"),
    room="reason",
)
