"""Gollakota et al. (2023): learn a halfspace with a certificate, or reject the assumption. arXiv:2302.14853."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="halfspace-tester",
    title="An Efficient Tester-Learner for Halfspaces",
    authors=(
        "Aravind Gollakota",
        "Adam Klivans",
        "Konstantinos Stavropoulos",
        "Arsen Vasilyan",
    ),
    year=2023,
    arxiv="2302.14853",
    venue="ICLR 2024",
    summary=(
        "Gradient descent on a ramp loss over the sphere proposes a linear classifier, and tests of the data near its "
        "boundary either certify its error or reject the assumption on the distribution of the inputs. "
        "Pick it when a linear classifier should refuse to answer once its distributional assumption fails in a way "
        "that matters for it."
    ),
    claim=(
        "In polynomial time, accepted output has error at most opt + epsilon under Massart noise, and O(opt) + "
        "epsilon under adversarial noise for the Gaussian."
    ),
    api=(
        "educe.learn.halfspace.TesterLearner",
        "educe.learn.halfspace.psgd_sphere",
        "educe.learn.halfspace.disagreement_bound",
        "educe.learn.halfspace.MomentTester",
    ),
    topics=("learning theory", "statistics", "verification"),
    room="learn",
)
