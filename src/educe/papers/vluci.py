"""Zhao et al. (2023): infer a hidden confounder per unit and hand it to any effect learner. arXiv:2308.00904."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="vluci",
    title="VLUCI: Variational Learning of Unobserved Confounders for Counterfactual Inference",
    authors=("Yonghe Zhao", "Qiang Huang", "Siwei Wu", "Yun Peng", "Huiyan Sun"),
    year=2023,
    arxiv="2308.00904",
    venue=None,
    summary=(
        "A variational posterior over an unobserved confounder is inferred for each unit from treatment and outcome "
        "given the observed covariates, and its draws are added to the inputs of any counterfactual learner. "
        "Pick it to make an existing model of individual effects robust to a hidden confounder, with the assumed "
        "functional form and a sensitivity curve in plain view."
    ),
    claim=(
        "Adding the inferred confounder clearly lowers both group and individual errors of existing counterfactual "
        "learners on synthetic and semi-synthetic data."
    ),
    api=(
        "educe.causal.hidden.VLUCI",
        "educe.causal.hidden.heckman",
        "educe.causal.hidden.sensitivity",
        "educe.causal.cate.TARNet",
        "educe.causal.cate.CFR",
        "educe.causal.cate.DragonNet",
        "educe.causal.cate.CEVAE",
        "educe.causal.cate.TLearner",
    ),
    topics=("causality", "variational inference", "uncertainty"),
    room="causal",
)
