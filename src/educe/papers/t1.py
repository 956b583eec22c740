"""Hou et al. (2025): scale reinforcement learning of reasoning by oversampling and exploration. arXiv:2501.11651."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="t1",
    title="Advancing Language Model Reasoning through Reinforcement Learning and Inference Scaling",
    authors=(
        "Zhenyu Hou",
        "Xin Lv",
        "Rui Lu",
        "Jiajie Zhang",
        "Yujiang Li",
        "Zijun Yao",
        "Juanzi Li",
        "Jie Tang",
        "Yuxiao Dong",
    ),
    year=2025,
    arxiv="2501.11651",
    venue="ICML 2025",
    summary=(
        "A model first tuned on chains with trial and error is trained on checkable rewards with many hot samples per "
        "prompt, an entropy bonus, a moving anchor and penalties for unwanted patterns, and its thinking is then cut "
        "at growing budgets. "
        "Pick it when a verifiable reward of 0 or 1 exists and the policy stops exploring, or to plot how much "
        "thinking a model really uses."
    ),
    claim=(
        "Reinforcement learning lifts the tuned Qwen2.5-32B from 83.4 % to 92.4 % on MATH500 and from 24.9 % to 50.6 "
        "% on AIME 2024."
    ),
    api=("educe.learn.rl.RLOO", "educe.learn.rl.ThinkTraces", "educe.reason.budget_curve", "educe.reason.truncated"),
    topics=("reinforcement learning", "reasoning", "test-time compute", "mathematics"),
    room="learn",
)
