"""Ozturkler et al. (2022): ask many small likelihoods and combine them by probability rules. arXiv:2210.01293."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="thinksum",
    title="ThinkSum: Probabilistic reasoning over sets using large language models",
    authors=("Batu Ozturkler", "Nikolay Malkin", "Zhen Wang", "Nebojsa Jojic"),
    year=2022,
    arxiv="2210.01293",
    venue="ACL 2023",
    summary=(
        "The model answers many small independent queries about the elements of a set, and mixtures, products, ratios "
        "and latent-variable sums outside the model combine their likelihoods into an answer. "
        "Pick it when a question is about several items at once, the model is small, and every intermediate number "
        "should be open to inspection."
    ),
    claim=(
        "On 13 hard BIG-bench tasks it beats direct and chain-of-thought prompting, with logical deduction of five "
        "objects rising from at most about a third to about 77 %."
    ),
    api=(
        "educe.reason.ThinkSum",
        "educe.reason.think.likelihoods",
        "educe.reason.think.examples",
        "educe.reason.think.facts",
        "educe.reason.think.truth",
        "educe.reason.think.translate",
        "educe.reason.sum.LogTable",
        "educe.tasks.bigbench",
    ),
    topics=("reasoning", "prompting", "bayesian inference"),
    room="reason",
)
