"""Du et al. (2024): predict the best inference acceleration for an unseen setup. arXiv:2410.21340."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="meta-acceleration",
    title="Meta-Learning for Speeding Up Large Model Inference in Decentralized Environments",
    authors=(
        "Yipeng Du",
        "Zihao Wang",
        "Ahmad Farhan",
        "Claudio Angione",
        "Harry Yang",
        "Fielding Johnston",
        "James P. Buban",
        "Patrick Colangelo",
        "Yue Zhao",
        "Yuzhe Yang",
    ),
    year=2024,
    arxiv="2410.21340",
    venue="COLM 2025",
    summary=(
        "A predictor trained on past timings and on embeddings of model, hardware, workload and method names the "
        "acceleration method with the least expected cost for a new combination, without running anything there. "
        "Pick it when one code base serves many machines and models, and a wrong default is costly."
    ),
    claim=(
        "The meta-learned selector picks the best method with accuracy 0.898, against 0.815 for gradient boosting and "
        "0.742 for a random forest."
    ),
    api=(
        "educe.accel.choose.MetaSelector",
        "educe.accel.choose.Task",
        "educe.accel.choose.Hardware",
        "educe.accel.choose.Measurement",
        "educe.accel.choose.SingleBest",
        "educe.accel.choose.ISAC",
        "educe.accel.choose.ALORS",
        "educe.accel.choose.evaluate",
        "educe.accel.choose.accelerate",
    ),
    topics=("efficiency", "meta-learning"),
    room="accel",
)
