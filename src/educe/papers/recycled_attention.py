"""Xu et al. (2024): attend to the full cache now and then and to its best keys in between. arXiv:2411.05787."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="recycled-attention",
    title="Recycled Attention: Efficient inference for long-context language models",
    authors=("Fangyuan Xu", "Tanya Goyal", "Eunsol Choi"),
    year=2024,
    arxiv="2411.05787",
    venue="ACL 2025",
    summary=(
        "The full key-value cache stays in memory, but only an occasional decoding step attends to all of it, and the "
        "steps between attend to the tokens which that step weighted most and to those generated since. "
        "Pick it when decoding is bound by the bandwidth of a long context and there is memory for the whole cache."
    ),
    claim="On RULER it scores about twice what local-context and heavy-hitter caches score at the same speed.",
    api=(
        "educe.accel.attention.RecycledAttention",
        "educe.accel.attention.FullAttention",
        "educe.accel.attention.StreamingLLM",
        "educe.accel.attention.H2O",
        "educe.accel.attention.SnapKV",
        "educe.accel.attention.recycled_mask",
        "educe.learn.continue_pretraining",
    ),
    topics=("efficiency", "decoding"),
    room="accel",
)
