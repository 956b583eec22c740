"""Cheaper inference: policies that plug into the engine."""

from educe.accel.prompt_lookup import PromptLookup
from educe.accel.sliding_window import SlidingWindow

__all__ = ["PromptLookup", "SlidingWindow"]
