"""Sun et al. (2024): exit early on easy tokens of code, stop on hopeless ones. arXiv:2401.09964."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="dynamic-completion",
    title=(
        "When Neural Code Completion Models Size up the Situation: Attaining Cheaper and Faster Completion through "
        "Dynamic Model Inference"
    ),
    authors=(
        "Zhensu Sun",
        "Xiaoning Du",
        "Fu Song",
        "Shangwen Wang",
        "Li Li",
    ),
    year=2024,
    arxiv="2401.09964",
    venue="ICSE 2024",
    summary=(
        "Layers of a frozen model get heads of their own, and one small controller decides after each layer whether "
        "to take that layer's token, to go deeper, or to end the completion because the next token would be wrong. "
        "Pick it when completion is interactive: easy tokens should cost less and a hopeless rest should be neither "
        "computed nor shown."
    ),
    claim="On average 1.7 of 16 layers are skipped and completion is 11.2% faster, with ROUGE-L down 1.1%.",
    api=(
        "educe.accel.early_exit.DynamicDecoder",
        "educe.accel.early_exit.ExitHeads",
        "educe.accel.early_exit.StopExitController",
        "educe.accel.early_exit.make_labels",
    ),
    topics=("code", "efficiency", "decoding"),
    room="accel",
)
