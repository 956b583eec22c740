"""Hedegaard (2023): clip networks that do one frame's work for each new frame. arXiv:2306.13474."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="continual-inference",
    title="Efficient Online Processing with Deep Neural Networks",
    authors=("Lukas Hedegaard",),
    year=2023,
    arxiv="2306.13474",
    venue="PhD thesis, Aarhus University",
    summary=(
        "Convolutions, pooling and attention over time are reordered to keep partial results between frames, so that "
        "the same weights give the same outputs at the cost of one frame, and prunable low-rank adapters fit one "
        "large model to many tasks. "
        "Pick it when a network slides over a stream (video, skeletons, audio, sensors, tokens) and each step must be "
        "cheap."
    ),
    claim=(
        "CoST-GCN reaches 86.3% on NTU-60 with 107.7 times fewer FLOPs per step than the clip network, which reaches "
        "86.0%."
    ),
    api=(
        "educe.accel.stream.Streaming",
        "educe.accel.stream.to_streaming",
        "educe.accel.stream.flops",
        "educe.accel.prune.SPLoRA",
    ),
    topics=("efficiency", "vision"),
    room="accel",
)
