"""Gui et al. (2024): a better draft input and loss for lossless speculative decoding. arXiv:2408.15562."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="fspad",
    title="Boosting Lossless Speculative Decoding via Feature Sampling and Partial Alignment Distillation",
    authors=(
        "Lujun Gui",
        "Bin Xiao",
        "Lei Su",
        "Weipeng Chen",
    ),
    year=2024,
    arxiv="2408.15562",
    venue=None,
    summary=(
        "The sampled token selects from the target's feature in a wider space before the draft reads it, and only a "
        "part of the draft's output is tied to the target's features while another part learns its logits. "
        "Pick it to have more drafted tokens accepted with the tree and the verifier of EAGLE-2 left as they are."
    ),
    claim=(
        "Against EAGLE-2 it gains 0.28 to 0.48 accepted tokens per cycle over all tasks and targets, with the "
        "target's output distribution unchanged."
    ),
    api=(
        "educe.accel.speculative.DraftHead",
        "educe.accel.speculative.train_draft",
        "educe.accel.speculative.build_tree",
        "educe.accel.speculative.verify",
        "educe.accel.speculative.speculative_generate",
    ),
    topics=("decoding", "efficiency", "training"),
    room="accel",
)
