"""Chen et al. (2024): tree search on final answers alone trains a policy and its step values. arXiv:2405.03553."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="alphamath",
    title="AlphaMath Almost Zero: process Supervision without process",
    authors=(
        "Guoxin Chen",
        "Minpeng Liao",
        "Chengxi Li",
        "Kai Fan",
    ),
    year=2024,
    arxiv="2405.03553",
    venue="NeurIPS 2024",
    summary=(
        "Monte-Carlo tree search over solution steps, rewarded only by the final answer, yields solutions and step "
        "values on which a model with a value head is trained in rounds, and at test time that head steers a beam "
        "over steps. "
        "Pick it when questions come with final answers only and a step-level value is wanted without annotated or "
        "borrowed solutions."
    ),
    claim=(
        "After three rounds on final answers alone, DeepSeekMath-7B solves 53.62% of MATH greedily and 65.98% by "
        "step-level beam search."
    ),
    api=("educe.reason.StepMCTS", "educe.reason.StepBeam", "educe.lm.ValueHead", "educe.learn.alphamath"),
    topics=("mathematics", "reasoning", "reinforcement learning", "test-time compute"),
    room="reason",
)
