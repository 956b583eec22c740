"""Tewari et al. (2023): diffusion over signals that are seen only through a forward model. arXiv:2306.11719."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="forward-diffusion",
    title="Diffusion with Forward Models: Solving Stochastic Inverse Problems Without Direct Supervision",
    authors=(
        "A. Tewari",
        "T. Yin",
        "G. Cazenavette",
        "S. Rezchikov",
        "J. B. Tenenbaum",
        "F. Durand",
        "W. T. Freeman",
        "V. Sitzmann",
    ),
    year=2023,
    arxiv="2306.11719",
    venue="NeurIPS 2023",
    summary=(
        "The denoiser proposes a whole signal, the known and differentiable measurement process turns it into an "
        "observation, and only that observation is compared with data, at the noisy view and at a new one. "
        "Pick it when the true signals of an inverse problem cannot be collected but the measurement process is "
        "known."
    ),
    claim="Training on observations alone is enough to sample complete signals that agree with a given observation.",
    api=(
        "educe.prob.ForwardDiffusion",
        "educe.prob.DeterministicInverse",
        "educe.prob.SignalDiffusion",
        "educe.prob.posterior_reference",
    ),
    topics=("diffusion", "vision", "scientific computing"),
    room="prob",
)
