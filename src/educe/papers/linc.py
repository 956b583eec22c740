"""Olausson et al. (2023): translate text to first-order logic, prove it, and vote on the verdicts. arXiv:2310.15164."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="linc",
    title=(
        "LINC: A Neurosymbolic Approach for Logical Reasoning by Combining Language Models with First-Order Logic "
        "Provers"
    ),
    authors=(
        "Theo X. Olausson",
        "Alex Gu",
        "Ben Lipkin",
        "Cedegao E. Zhang",
        "A. Solar-Lezama",
        "J. Tenenbaum",
        "R. Levy",
    ),
    year=2023,
    arxiv="2310.15164",
    venue="EMNLP 2023",
    summary=(
        "The language model only translates premises and conclusion to first-order logic, a theorem prover decides "
        "entailment, and the majority verdict over several sampled translations is returned. "
        "Pick it when the answer must be entailed rather than plausible, and the model translates well but deduces "
        "badly."
    ),
    claim=(
        "On ProofWriter StarCoder+ reaches .825 accuracy where chain of thought has .386, and GPT-4 .983 against "
        ".722, while on FOLIO GPT-4 shows no gain."
    ),
    api=(
        "educe.reason.Linc",
        "educe.reason.DirectLogic",
        "educe.reason.CotLogic",
        "educe.reason.ScratchpadLogic",
        "educe.verify.logic.parse_fol",
        "educe.verify.logic.Prover",
        "educe.verify.logic.verdict",
        "educe.tasks.proofwriter",
    ),
    topics=("logic", "reasoning", "verification"),
    room="reason",
)
