"""Zhang et al. (2024): tune one model on a broad instruction mixture for shopping tasks. arXiv:2408.02006."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="llasa",
    title="LLaSA: Large Language and E-Commerce Shopping Assistant",
    authors=("Shuo Zhang", "Boci Peng", "Xinping Zhao", "Boren Hu", "Yun Zhu", "Yanjia Zeng", "Xuming Hu"),
    year=2024,
    arxiv="2408.02006",
    venue="KDD Cup 2024 workshop",
    summary=(
        "A large model is tuned by low-rank adapters on an instruction mixture made by expanding seed tasks, "
        "recasting public data and inventing tasks, then quantised, and prompted by a strategy chosen per task type. "
        "Pick it when one model must serve many small product tasks and new products under a fixed memory budget."
    ),
    claim=(
        "One tuned and quantised model came third overall in the Amazon KDD Cup 2024 and among the top five in each "
        "of its five tracks."
    ),
    api=(
        "educe.learn.instruct.InstructionMixture",
        "educe.learn.sft",
        "educe.tasks.shop.Catalogue",
        "educe.accel.quantize",
        "educe.reason.by_task",
    ),
    topics=("training", "prompting", "efficiency"),
    room="learn",
)
