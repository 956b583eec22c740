"""Cheng et al. (2024): make preference pairs by refining failed answers with tree search. arXiv:2412.11605."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="spar",
    title="SPaR: Self-Play with Tree-Search Refinement to Improve Instruction-Following in Large Language Models",
    authors=(
        "Jiale Cheng",
        "Xiao Liu",
        "Cunxiang Wang",
        "Xiaotao Gu",
        "Yida Lu",
        "Dan Zhang",
        "Yuxiao Dong",
        "Jie Tang",
        "Hongning Wang",
        "Minlie Huang",
    ),
    year=2024,
    arxiv="2412.11605",
    venue="ICLR 2025",
    summary=(
        "An actor's failed answers are refined by tree search under a judge until they pass, so that each preference "
        "pair differs only where the instruction failed, and actor and refiner are both trained on the result over "
        "several rounds. "
        "Pick it when answers must meet checkable constraints and the model itself should supply better preference "
        "data."
    ),
    claim=(
        "Three rounds lift the IFEval average of LLaMA3-8B-Instruct from 77.9 to 81.8, and to 83.7 with tree search "
        "at inference, past GPT-4-Turbo."
    ),
    api=(
        "educe.learn.selfplay.SPaR",
        "educe.learn.dpo_loss",
        "educe.reason.refine_search",
        "educe.tasks.constraints.Constraint",
        "educe.tasks.constraints.sample_instruction",
    ),
    topics=("training", "reinforcement learning", "test-time compute"),
    room="learn",
)
