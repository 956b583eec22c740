"""Maini et al. (2021): prove that a model was made from your data by distances to its boundaries. arXiv:2104.10706."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="dataset-inference",
    title="Dataset Inference: Ownership Resolution in Machine Learning",
    authors=(
        "Maini",
        "Yaghini",
        "Papernot",
    ),
    year=2021,
    arxiv="2104.10706",
    venue="ICLR 2021",
    summary=(
        "Private training points lie farther from the decision boundaries of a model that was trained on, distilled "
        "or extracted from them than fresh points do, and a t-test on learned scores of these distances tells a "
        "stolen model from an independent one. "
        "Pick it when ownership of a data set is to be claimed from query access to a suspect model, without "
        "retraining and without a watermark."
    ),
    claim="10 to 50 points prove theft with confidence above 99% on CIFAR10, SVHN, CIFAR100 and ImageNet.",
    api=(
        "educe.audit.dataset_inference.OwnershipTester",
        "educe.audit.dataset_inference.mingd",
        "educe.audit.dataset_inference.blind_walk",
        "educe.audit.dataset_inference.steal",
    ),
    topics=("security", "privacy", "statistics"),
    room="audit",
)
