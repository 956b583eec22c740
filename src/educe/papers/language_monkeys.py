"""Brown et al. (2024): measure and forecast how coverage grows with repeated samples. arXiv:2407.21787."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="language-monkeys",
    title="Large Language Monkeys: Scaling Inference Compute with Repeated Sampling",
    authors=(
        "Bradley Brown",
        "Jordan Juravsky",
        "Ryan Ehrlich",
        "Ronald Clark",
        "Quoc V. Le",
        "Christopher Ré",
        "Azalia Mirhoseini",
    ),
    year=2024,
    arxiv="2407.21787",
    venue=None,
    summary=(
        "Many independent samples are drawn per problem, the share of problems solved by at least one of them is "
        "estimated without bias, and an exponentiated power law in the number of samples is fitted to it. "
        "Pick it to forecast how many samples a verifier needs before one is right, and to see how little of that a "
        "selector without a verifier realises."
    ),
    claim=(
        "On SWE-bench Lite, DeepSeek-Coder-V2-Instruct rises from 15.9 % with one sample to 56 % with 250, above the "
        "43 % of the best single attempt."
    ),
    api=(
        "educe.reason.RepeatedSampling",
        "educe.reason.pass_at_k",
        "educe.reason.coverage",
        "educe.reason.fit_coverage",
        "educe.reason.align_curves",
        "educe.reason.select",
        "educe.lm.flops",
    ),
    topics=("test-time compute", "verification", "evaluation"),
    room="reason",
)
