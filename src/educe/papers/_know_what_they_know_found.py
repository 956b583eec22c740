"""What one part of the reproduction of know-what-they-know hands to the next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Found"]

Floats = npt.NDArray[np.float64]


class Found(NamedTuple):
    """What one training seed gave; arrays are over test questions or judged answers."""

    rates: Floats
    lengths: Floats
    known: Floats
    probe: Floats
    length_only: Floats
    narrow: Floats
    context: dict[str, float]
    right: Floats
    alone: Floats
    beside: Floats
    votes: Floats
    question: Floats
    shuffled: Floats
    tokens: int
