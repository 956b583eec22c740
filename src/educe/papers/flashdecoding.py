"""Hong et al. (2023): decode faster with one softmax constant, flat products and tuned dispatch. arXiv:2311.01282."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="flashdecoding",
    title="FlashDecoding++: Faster Large Language Model Inference on GPUs",
    authors=(
        "Ke Hong",
        "Guohao Dai",
        "Jiaming Xu",
        "Qiuli Mao",
        "Xiuhong Li",
        "Jun Liu",
        "Kangdi Chen",
        "Yuhan Dong",
        "Yu Wang",
    ),
    year=2023,
    arxiv="2311.01282",
    venue="MLSys 2024",
    summary=(
        "All chunks of a split attention share one softmax constant and need no synchronisation, matrix products of "
        "few rows are padded to 8 instead of 64, and a table tuned in advance picks the implementation for each "
        "shape. "
        "Pick it when small batches are decoded, attention is split over the length of the cache, and products have 1 "
        "to 64 rows."
    ),
    claim=(
        "Decoding is up to 4.86 times faster than Hugging Face on NVIDIA GPUs and 1.37 times faster on average than "
        "the best engine of its time."
    ),
    api=(
        "educe.accel.kernels.decode_attention",
        "educe.accel.kernels.unified_softmax",
        "educe.accel.kernels.calibrate_phi",
        "educe.accel.kernels.FlatGemm",
        "educe.accel.kernels.tune_dataflow",
    ),
    topics=("efficiency", "decoding"),
    room="accel",
)
