"""Liu et al. (2025): measure which setting of an inference-time method is worth turning. arXiv:2502.07191."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="bag-of-tricks",
    title="Bag of Tricks for Inference-time Computation of LLM Reasoning",
    authors=(
        "Fan Liu",
        "Wenshuo Chao",
        "Naiqiang Tan",
        "Hao Liu",
    ),
    year=2025,
    arxiv="2502.07191",
    venue="NeurIPS 2025 Datasets & Benchmarks",
    summary=(
        "Within one pipeline of proposer and verifier, the prompt style, temperature, top-p, reward and number of "
        "rounds are varied one at a time, and six methods are compared on eight tasks at equal budgets. "
        "Pick it to learn which knob matters for your own model and tasks before compute is bought."
    ),
    claim="Temperature alone moves accuracy by up to 5%, and the gains of single tricks do not add up.",
    api=("educe.reason.bench.Grid", "educe.reason.bench.ablate"),
    topics=("test-time compute", "evaluation", "reasoning", "prompting"),
    room="reason",
)
