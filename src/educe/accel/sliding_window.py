"""Attention to the first positions and a window of the last ones.

Source: Xiao et al. (2024), "Efficient streaming language models with attention sinks", arXiv:2309.17453. The positions
keep their place in the text; the paper counts them anew within the window, which matters for texts longer than the
model was trained on and is not done here. What is not seen is masked, not freed: this shows what the policy does to the
text, not yet what it saves.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch

from educe.core.errors import UsageError

__all__ = ["SlidingWindow"]


@dataclass(frozen=True)
class SlidingWindow:
    """An attention policy: sinks and a window.

    Parameters
    ----------
    window : int
        How many of the last positions are seen, the position itself included, >= 1.
    sinks : int
        How many of the first positions are seen, >= 0.
    full_layers : frozenset of int
        Layers that see everything.

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> policy = SlidingWindow(window=2, sinks=1)
    >>> policy.visible("window", torch.tensor([[4]]), torch.arange(5)).tolist()
    [[True, False, False, True, True]]
    """

    window: int
    sinks: int = 4
    full_layers: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.window < 1 or self.sinks < 0:
            raise UsageError(f"{self} sees nothing or less. Give window >= 1 and sinks >= 0.")

    def kind(self, layer: int) -> Hashable:
        """Return None for the layers that see everything."""
        return None if layer in self.full_layers else "window"

    def visible(self, kind: Hashable, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Return what lies in the window or among the sinks."""
        return (keys > queries - self.window) | (keys < self.sinks)
