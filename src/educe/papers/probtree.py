"""Cao et al. (2023): answer a tree of sub-questions and trust the likeliest source at each node. arXiv:2311.13982."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="probtree",
    title="Probabilistic Tree-of-thought Reasoning for Answering Knowledge-intensive Complex Questions",
    authors=("Shulin Cao", "Jiajie Zhang", "Jiaxin Shi", "Xin Lv", "Zijun Yao", "Qi Tian", "Lei Hou", "Juanzi Li"),
    year=2023,
    arxiv="2311.13982",
    venue="Findings of EMNLP 2023",
    summary=(
        "A complex question is split into a tree of sub-questions, and at each node the likelihood of the model's own "
        "explanation decides between the answer from memory, from retrieved text, or from the children. "
        "Pick it when neither memory nor retrieval alone suffices and one bad passage or sub-answer must not sink the "
        "chain."
    ),
    claim=(
        "Answer F1 exceeds the best earlier method by about 3.9 points on HotpotQA, 7.3 on MuSiQue and 5.2 on "
        "2WikiMultihopQA."
    ),
    api=("educe.reason.ProbTree", "educe.reason.decompose", "educe.reason.QueryTree", "educe.reason.TreeNode"),
    topics=("reasoning", "retrieval", "uncertainty"),
    room="reason",
)
