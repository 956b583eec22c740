"""Guo et al. (2022): independence across two samples per environment identifies the causal graph. arXiv:2203.15756."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="causal-de-finetti",
    title="Causal de Finetti: On the Identification of Invariant Causal Structure in Exchangeable Data",
    authors=(
        "Siyuan Guo",
        "Viktor Tóth",
        "Bernhard Schölkopf",
        "Ferenc Huszár",
    ),
    year=2022,
    arxiv="2203.15756",
    venue="NeurIPS 2023",
    summary=(
        "Samples within an environment are treated as exchangeable rather than independent, and "
        "conditional-independence tests between one sample and another of the same environment find the layers and "
        "then the edges of a unique graph. "
        "Pick it when there are many small groups (patients, labs, users), each with as few as two samples."
    ),
    claim=(
        "With two samples from each of 500 environments the share of right bivariate structures is 0.91, against at "
        "most 0.49 for the methods compared."
    ),
    api=(
        "educe.causal.exchangeable.discover",
        "educe.causal.exchangeable.sink_layers",
        "educe.causal.exchangeable.kci",
        "educe.causal.exchangeable.simulate_icm",
    ),
    topics=("causality", "statistics"),
    room="causal",
)
