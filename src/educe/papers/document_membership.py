"""Meeus et al. (2023): infer whether a whole document was in a language model's training set. arXiv:2310.15007."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="document-membership",
    title="Did the Neurons Read your Book? Document-level Membership Inference for Large Language Models",
    authors=(
        "Meeus",
        "Jain",
        "Rei",
        "de Montjoye",
    ),
    year=2023,
    arxiv="2310.15007",
    venue="USENIX Security 2024",
    summary=(
        "Token probabilities of a document are normalised by how common each token is, gathered into features of the "
        "document, and judged by a classifier trained on labelled members and non-members. "
        "Pick it when the provenance of whole documents is to be audited and labelled members and non-members of the "
        "same kind are at hand."
    ),
    claim="On OpenLLaMA-7B the AUC is 0.856 for books and 0.678 for arXiv papers.",
    api=(
        "educe.audit.membership.DocumentMembership",
        "educe.audit.membership.token_scores",
        "educe.audit.membership.Normalizer",
        "educe.audit.membership.shift_audit",
    ),
    topics=("privacy", "security"),
    room="audit",
)
