"""Yuan et al. (2023): tune a video diffusion model with an image reward by partial denoising. arXiv:2312.12490."""

from __future__ import annotations

from educe.core import Card

card = Card(
    slug="instructvideo",
    title="InstructVideo: Instructing Video Diffusion Models with Human Feedback",
    authors=(
        "Hangjie Yuan",
        "Shiwei Zhang",
        "Xiang Wang",
        "Yujie Wei",
        "Tao Feng",
        "Yining Pan",
        "Yingya Zhang",
        "Ziwei Liu",
        "Samuel Albanie",
        "Dong Ni",
    ),
    year=2023,
    arxiv="2312.12490",
    venue="CVPR 2024",
    summary=(
        "Real videos are noised in part and denoised again, an image reward scores one random frame per segment with "
        "less weight away from the middle, and its gradient through the last step trains a low-rank adapter. "
        "Pick it when the only reward is a differentiable one for images and a video model must be tuned cheaply "
        "without freezing its motion."
    ),
    claim="On in-domain animals the HPSv2 score rises from 0.2506 to 0.2717, against 0.2584 with DRaFT-1.",
    api=(
        "educe.learn.diffusion_reward.RewardTuner",
        "educe.learn.diffusion_reward.SegVR",
        "educe.learn.diffusion_reward.TAR",
        "educe.prob.diffusion.ddim_partial",
    ),
    topics=("diffusion", "vision", "training"),
    room="learn",
)
