"""Buban et al. (2025): run a model on scrambled tokens and weights with equal outputs. arXiv:2502.01013."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="equivariant-encryption",
    title="Encrypted Large Model Inference: The Equivariant Encryption Paradigm",
    authors=(
        "James P. Buban",
        "Hongyang Zhang",
        "Claudio Angione",
        "Harry Yang",
        "Ahmad Farhan",
        "Yue Zhao",
        "Fielding Johnston",
        "Patrick Colangelo",
    ),
    year=2025,
    arxiv="2502.01013",
    venue=None,
    summary=(
        "Secret permutations and other maps that commute with the layers are folded once into the weights and the "
        "vocabulary, so that an untrusted host computes on scrambled tokens and the client unscrambles the same "
        "outputs. "
        "Pick it when cheap obfuscation against a curious wire or log is enough, and to measure what an attacker "
        "still recovers."
    ),
    claim="Outputs are the same after decryption and the latency overhead is below 0.1%.",
    api=(
        "educe.audit.obfuscation.EquivariantKey",
        "educe.audit.obfuscation.encrypt_model",
        "educe.audit.obfuscation.equivariance_error",
        "educe.audit.obfuscation.vocabulary_match",
    ),
    topics=("security", "privacy", "efficiency"),
    room="audit",
)
