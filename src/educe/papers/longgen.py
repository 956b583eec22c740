"""Ge et al. (2024): extend the context while two thirds of the layers turn sparse. arXiv:2410.01485."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="longgen",
    title="A Little Goes a Long Way: Efficient Long Context Training and Inference with Partial Contexts",
    authors=("Suyu Ge", "Xihui Lin", "Yunan Zhang", "Jiawei Han", "Hao Peng"),
    year=2024,
    arxiv="2410.01485",
    venue="ICLR 2025",
    summary=(
        "A pretrained short-context model is fine-tuned on long text once, with full attention kept in the middle "
        "third of its layers and a static sparse pattern, sink and window or strided blocks, in all others. "
        "Pick it when you own the weights, need long context, and the memory and bandwidth of the key-value cache are "
        "the cost."
    ),
    claim=(
        "From 4K to 128K tokens, Llama-2 trains 1.55 times faster with 62 % less key-value memory, 1.67 times faster "
        "prefill and 1.41 times faster decoding, at equal or better retrieval quality than with full attention "
        "everywhere."
    ),
    api=(
        "educe.accel.attention.longgen",
        "educe.accel.attention.hybrid_patterns",
        "educe.accel.attention.SinkWindow",
        "educe.accel.attention.LocalStride",
        "educe.accel.attention.KVBudget",
        "educe.learn.extend",
    ),
    topics=("efficiency", "training"),
    room="accel",
)
