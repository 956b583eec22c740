"""Kim and Hospedales (2023): few-shot learning by a hierarchical Bayesian model of all weights. arXiv:2306.09702."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="niw-meta",
    title="A Hierarchical Bayesian Model for Deep Few-Shot Meta Learning",
    authors=("Minyoung Kim", "T. Hospedales"),
    year=2023,
    arxiv="2306.09702",
    venue="ICLR 2024",
    summary=(
        "A normal-inverse-Wishart prior over all network weights is learned across episodes, and each episode's "
        "weight posterior is a one-time closed form of the global parameters, found without second-order graphs. "
        "Pick it to meta-learn a distribution over weights with the memory of ordinary training and to get calibrated "
        "few-shot predictions."
    ),
    claim=(
        "Accuracy and calibration exceed those of MAML-type and other Bayesian meta-learners, and memory per "
        "iteration does not grow with the number of inner steps."
    ),
    api=("educe.learn.NIWMeta", "educe.learn.meta.MAML", "educe.learn.meta.Reptile", "educe.learn.meta.ProtoNet"),
    topics=("meta-learning", "bayesian inference", "variational inference", "calibration"),
    room="learn",
)
