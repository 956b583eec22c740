"""Hoang et al. (2023): repair a compressed model by choosing a soft prompt for each input. arXiv:2310.00867."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="dynamic-prompting",
    title="(Dynamic) Prompting might be all you need to repair Compressed LLMs",
    authors=(
        "Duc N.M. Hoang",
        "Minsik Cho",
        "Thomas Merth",
        "Mohammad Rastegari",
        "Zhangyang Wang",
    ),
    year=2023,
    arxiv="2310.00867",
    venue="NeurIPS 2024 ML & Compression workshop",
    summary=(
        "Several soft prompts are trained on a frozen compressed model, and for each input the first attention layer "
        "decides, by the attention that the input pays to each, which one is kept. "
        "Pick it when a quantised or pruned model must be repaired and its weights can be neither changed nor stored "
        "again."
    ),
    claim=(
        "Choosing a prompt per input gains 1.24 points on average over single prompts, with 21 times fewer added "
        "parameters than LoRA."
    ),
    api=(
        "educe.accel.repair.IDP",
        "educe.accel.repair.SoftPrompt",
        "educe.accel.repair.PromptPool",
        "educe.accel.compress.gptq",
        "educe.accel.compress.sparsegpt",
    ),
    topics=("prompting", "efficiency", "training"),
    room="accel",
)
