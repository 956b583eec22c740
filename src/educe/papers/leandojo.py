"""Yang et al. (2023): retrieve accessible premises and prove by best-first tactic search. arXiv:2306.15626."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="leandojo",
    title="LeanDojo: Theorem Proving with Retrieval-Augmented Language Models",
    authors=(
        "Kaiyu Yang",
        "Aidan Swope",
        "Alex Gu",
        "Rahul Chalamala",
        "Peiyang Song",
        "Shixing Yu",
        "Saad Godil",
        "Ryan Prenger",
        "Anima Anandkumar",
    ),
    year=2023,
    arxiv="2306.15626",
    venue="NeurIPS 2023 Datasets and Benchmarks",
    summary=(
        "For each proof state a dual encoder retrieves lemmas that are accessible at that point of the library, a "
        "generator proposes the next tactic from goal and lemmas, and best-first search runs with the proof checker "
        "in the loop. "
        "Pick it when proofs must be machine-checked and may need lemmas that were never used in training."
    ),
    claim=(
        "Within ten minutes per theorem retrieval lifts the share proved from 47.6 % to 51.2 % on the random split "
        "and from 23.2 % to 26.3 % where premises are novel."
    ),
    api=(
        "educe.reason.prover.BestFirstProver",
        "educe.reason.prover.PremiseRetriever",
        "educe.reason.prover.BM25Premises",
        "educe.reason.prover.TacticGenerator",
        "educe.verify.proof.ProofEnv",
        "educe.verify.proof.MetamathEnv",
        "educe.verify.proof.ProofCorpus",
        "educe.verify.proof.traced",
        "educe.verify.proof.split_random",
        "educe.verify.proof.split_novel_premises",
    ),
    topics=("mathematics", "verification", "retrieval"),
    room="reason",
)
