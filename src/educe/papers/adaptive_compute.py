"""Manvi et al. (2024): one extra token tells the model whether sampling again would pay. arXiv:2410.02725."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="adaptive-compute",
    title="Adaptive Inference-Time Compute: LLMs Can Predict if They Can Do Better, Even Mid-Generation",
    authors=(
        "Rohin Manvi",
        "Anikait Singh",
        "Stefano Ermon",
    ),
    year=2024,
    arxiv="2410.02725",
    venue=None,
    summary=(
        "The generator is fine-tuned to state, in one token after a full or cut response, the probability that it "
        "would not do better by starting over, and that probability decides whether to draw again, which samples to "
        "drop, and which to return. "
        "Pick it when best-of-N quality is wanted for little more than one sample and no second model can be hosted."
    ),
    claim="With Llama-3.1-8B-Instruct, 1.2 samples on average bring 74% of the improvement that 16 samples bring.",
    api=(
        "educe.reason.AdaptiveSampling",
        "educe.reason.PrunedBestOfN",
        "educe.reason.replay",
        "educe.learn.train_self_eval",
    ),
    topics=("test-time compute", "efficiency", "calibration", "reasoning"),
    room="reason",
)
