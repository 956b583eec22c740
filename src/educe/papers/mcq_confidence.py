"""Fu et al. (2025): compare option probabilities before and after written reasoning. arXiv:2501.09775."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="mcq-confidence",
    title=(
        "Multiple Choice Questions: Reasoning Makes Large Language Models (LLMs) More Self-Confident Even When They "
        "Are Wrong"
    ),
    authors=("Tairan Fu", "Javier Conde", "Gonzalo Martínez", "María Grandury", "Pedro Reviriego"),
    year=2025,
    arxiv="2501.09775",
    venue="IEEE Intelligent Systems",
    summary=(
        "The same multiple-choice questions are asked once directly and once with reasoning first, and the "
        "probabilities of the answer letters are compared over all, right and wrong choices. "
        "Pick it to decide whether the probabilities of answer tokens may serve as confidence under a given prompt."
    ),
    claim=(
        "Reasoning raises the mean probability of the chosen option in all seven models and more for wrong choices "
        "than for right ones, as from 58.3 % to 91.5 % on the wrong answers of Llama-3.1-8B."
    ),
    api=("educe.uncertainty.option_confidence", "educe.uncertainty.compare_modes", "educe.uncertainty.reliability"),
    topics=("calibration", "uncertainty", "reasoning"),
    room="uncertainty",
)
