"""Ge et al. (2023): bound what unlabelled data buy when a latent model is fitted first. arXiv:2303.01566."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="unsupervised-pretraining",
    title="On the Provable Advantage of Unsupervised Pretraining",
    authors=("Jiawei Ge", "Shange Tang", "Jianqing Fan", "Chi Jin"),
    year=2023,
    arxiv="2303.01566",
    venue="ICLR 2024",
    summary=(
        "A latent-variable model is fitted by maximum likelihood to unlabelled points, then only a head is fitted to "
        "the few labelled ones, and the excess risk splits into one term for each. "
        "Pick it to ask whether unlabelled data will help and how many labels they replace, including the cases where "
        "they do not help."
    ),
    claim=(
        "With m unlabelled and n labelled points the excess risk is of order sqrt(C_Phi / m) + sqrt(C_Psi / n), "
        "against sqrt(C / n) with the larger C of the composed class from labels alone."
    ),
    api=(
        "educe.learn.pretrain.MLEThenERM",
        "educe.learn.pretrain.FactorModel",
        "educe.learn.pretrain.GaussianMixture",
        "educe.learn.pretrain.Contrastive",
        "educe.learn.pretrain.excess_risk",
        "educe.learn.pretrain.rate_sweep",
        "educe.learn.pretrain.label_equivalent",
        "educe.learn.pretrain.informativeness",
    ),
    topics=("learning theory", "statistics", "training"),
    room="learn",
)
