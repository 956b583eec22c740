"""Ścibior et al. (2017): samplers built from parts that each keep a program's meaning. arXiv:1711.03219."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="denotational-validation",
    title="Denotational validation of higher-order Bayesian inference",
    authors=(
        "A. Ścibior",
        "O. Kammar",
        "M. Vákár",
        "S. Staton",
        "H. Yang",
        "Y. Cai",
        "K. Ostermann",
        "S. Moss",
        "C. Heunen",
        "Z. Ghahramani",
    ),
    year=2017,
    arxiv="1711.03219",
    venue="POPL 2018",
    summary=(
        "Inference algorithms are composed of transformations between representations of a program (weighted, "
        "population, sequential, traced), each proved to leave the meaning of the program unchanged. "
        "Pick it to build a sampler from small verified parts and to test exactly, not statistically, that a part of "
        "your own is right."
    ),
    claim=(
        "Sequential Monte Carlo and Metropolis-Hastings are valid for higher-order functions and continuous "
        "distributions because each of their parts is (theory, no numbers)."
    ),
    api=(
        "educe.prob.smc",
        "educe.prob.compose",
        "educe.prob.laws.exact",
        "educe.prob.laws.meaning",
        "educe.prob.laws.check",
    ),
    topics=("probabilistic programming", "bayesian inference"),
    room="prob",
)
