"""Liu et al. (2024): survey how inference of mixture-of-experts models is made cheaper. arXiv:2412.14219."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="moe-inference",
    title="A Survey on Inference Optimization Techniques for Mixture of Experts Models",
    authors=(
        "Jiacheng Liu",
        "Peng Tang",
        "Wenfeng Wang",
        "Yuhang Ren",
        "Xiaofeng Hou",
        "Pheng-Ann Heng",
        "Minyi Guo",
        "Chao Li",
    ),
    year=2024,
    arxiv="2412.14219",
    venue=None,
    summary=(
        "The survey orders the ways to make mixture-of-experts inference cheaper, from pruning, merging, quantising "
        "and skipping experts to caching, prefetching and placing them, and here each leaf has a runnable "
        "representative. "
        "Pick it to size a deployment by asking what is lost and gained when fewer experts are kept, skipped, cached "
        "or spread over devices."
    ),
    claim=(
        "The techniques fall into three levels, model, system and hardware, along which one layer can be made cheaper "
        "independently."
    ),
    api=(
        "educe.accel.moe.MoELayer",
        "educe.accel.moe.Router",
        "educe.accel.moe.trace",
        "educe.accel.moe.prune",
        "educe.accel.moe.merge",
        "educe.accel.moe.quantize_experts",
        "educe.accel.moe.SkipRule",
        "educe.accel.moe.to_dense",
        "educe.accel.moe.OffloadSim",
        "educe.accel.moe.place",
        "educe.accel.moe.moefy",
    ),
    topics=("efficiency",),
    room="accel",
)
