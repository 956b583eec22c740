"""Lazaridou et al. (2022): answer under many searched passages and rerank by a product of scores. arXiv:2203.05115."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="internet-augmented",
    title="Internet-augmented language models through few-shot prompting for open-domain question answering",
    authors=("Angeliki Lazaridou", "Elena Gribovskaya", "Wojciech Stokowiec", "Nikolai Grigorev"),
    year=2022,
    arxiv="2203.05115",
    venue=None,
    summary=(
        "A few-shot prompted model samples answers under each of many passages found by a search engine, and the same "
        "model's own conditional likelihoods, multiplied as weighted experts, choose one pair of answer and passage. "
        "Pick it when answers must rest on fresh or cited text, weights stay untouched, and inference compute is "
        "cheaper than a larger model."
    ),
    claim=(
        "Few-shot Gopher-280B rises on Natural Questions from about 25 to 26 exact match closed-book to 38.4 with "
        "searched passages reranked by a product of experts."
    ),
    api=(
        "educe.reason.InternetAugmented",
        "educe.reason.LocalIndex",
        "educe.reason.CachedSearch",
        "educe.reason.rank_passages",
        "educe.reason.score_terms",
        "educe.reason.tune_poe",
    ),
    topics=("retrieval", "prompting", "test-time compute"),
    room="reason",
)
