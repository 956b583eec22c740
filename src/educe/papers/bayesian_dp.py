"""Zanella-Béguelin et al. (2022): a posterior of epsilon from an attack's confusion counts. arXiv:2206.05199."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="bayesian-dp",
    title="Bayesian Estimation of Differential Privacy",
    authors=(
        "Zanella-Béguelin",
        "Wutschitz",
        "Tople",
        "Salem",
        "Rühle",
        "Paverd",
        "Naseri",
        "Köpf",
        "Jones",
    ),
    year=2022,
    arxiv="2206.05199",
    venue="ICML 2023",
    summary=(
        "The false positive and false negative rates of a membership attack get a joint posterior from their counts, "
        "and its mass inside each privacy region gives the posterior of epsilon directly, instead of by two combined "
        "intervals. "
        "Pick it when differentially private training, or any randomised mechanism, is to be audited with few runs."
    ),
    claim="Intervals of epsilon are about 40% narrower at equal sample size and confidence.",
    api=(
        "educe.audit.bayesian_dp.AttackCounts",
        "educe.audit.bayesian_dp.epsilon_posterior",
        "educe.audit.bayesian_dp.audit",
        "educe.audit.bayesian_dp.audit_training",
    ),
    topics=("privacy", "bayesian inference", "security"),
    room="audit",
)
