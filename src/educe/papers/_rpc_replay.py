"""What one part of the reproduction of rpc hands to the next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Replay"]

Floats = npt.NDArray[np.float64]


class Replay(NamedTuple):
    """What one estimator does with one number of samples: credit and confidence, (questions, subsets)."""

    credit: Floats
    confidence: Floats
