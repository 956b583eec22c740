"""Stroebl et al. (2024): show the ceiling of resampling against an imperfect verifier. arXiv:2411.17501."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="scaling-flaws",
    title="Inference Scaling fLaws: The Limits of LLM Resampling with Imperfect Verifiers",
    authors=("Benedikt Stroebl", "Sayash Kapoor", "Arvind Narayanan"),
    year=2024,
    arxiv="2411.17501",
    venue="ICLR 2026",
    summary=(
        "When a model resamples until an imperfect verifier accepts, accuracy is capped by the chance that an "
        "accepted sample is right, and with a cost for false positives the best number of attempts is finite. "
        "Pick it to learn whether resampling against a given test suite is worthwhile, how many attempts pay, and "
        "what accuracy can be reached at most."
    ),
    claim=(
        "On HumanEval+ 12 of 17 models can never reach the .855 of a single GPT-4o sample, however often they "
        "resample against the HumanEval tests."
    ),
    api=(
        "educe.reason.ResampleUntilAccepted",
        "educe.reason.resampling_ceiling",
        "educe.reason.resampling_reward",
        "educe.reason.two_type_reward",
        "educe.verify.ImperfectVerifier",
        "educe.verify.estimate_error_rates",
    ),
    topics=("test-time compute", "verification", "code"),
    room="reason",
)
