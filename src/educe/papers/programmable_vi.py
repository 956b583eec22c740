"""Becker et al. (2024): write variational objectives as programs and derive unbiased gradients. arXiv:2406.15742."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="programmable-vi",
    title="Probabilistic Programming with Programmable Variational Inference",
    authors=("M. R. Becker", "A. K. Lew", "X. Wang", "M. Ghavami", "M. Huot", "M. C. Rinard", "V. K. Mansinghka"),
    year=2024,
    arxiv="2406.15742",
    venue="PLDI 2024",
    summary=(
        "A variational objective is an ordinary program, and a modular transformation turns it into an unbiased "
        "gradient estimator with the estimation strategy chosen separately for each random choice. "
        "Pick it to write your own objective, such as a hierarchical or nested importance bound, and to swap gradient "
        "estimators with one word each."
    ),
    claim=(
        "One pass over the multi-object image data takes 1.52 s against 12.28 s in Pyro with the same estimator, and "
        "a nested bound that Pyro and NumPyro cannot state lifts the cone objective from -8.08 to -7.33."
    ),
    api=(
        "educe.prob.vi.E",
        "educe.prob.vi.elbo",
        "educe.prob.vi.iwelbo",
        "educe.prob.vi.hvi",
        "educe.prob.vi.iwhvi",
        "educe.prob.vi.diwhvi",
        "educe.prob.vi.marginal",
        "educe.prob.vi.normalize",
        "educe.prob.vi.sir",
        "educe.prob.vi.fit",
        "educe.prob.vi.check_gradient",
    ),
    topics=("variational inference", "probabilistic programming", "bayesian inference"),
    room="prob",
)
