"""Fujisawa et al. (2024): test whether a model can follow a written procedure for many steps. arXiv:2410.03117."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="procbench",
    title="ProcBench: Benchmark for Multi-Step Reasoning and Following Procedure",
    authors=("Fujisawa", "Nobe", "Seto", "Onda", "Uchida", "Ikoma", "Chien", "Kanai"),
    year=2024,
    arxiv="2410.03117",
    venue=None,
    summary=(
        "Procedural tasks spell out every instruction, so neither search nor knowledge is needed, and exact rules "
        "grade each intermediate state by its longest correct prefix. "
        "Pick it to measure step by step, free of contamination, for how many steps a model can carry out "
        "instructions."
    ),
    claim=(
        "The best model tested, o1-preview, reaches a prefix accuracy of 69.8 % and a full sequential match of 49.6 "
        "%, and accuracy falls as steps are added."
    ),
    api=(
        "educe.tasks.procbench.TASKS",
        "educe.tasks.procbench.ProcTask",
        "educe.tasks.procbench.dataset",
        "educe.tasks.procbench.parse",
        "educe.tasks.procbench.score",
        "educe.tasks.procbench.summarise",
    ),
    topics=("evaluation", "reasoning"),
    room="tasks",
)
