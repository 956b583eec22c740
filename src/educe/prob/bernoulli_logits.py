"""`BernoulliLogits`: truth values given by log-odds, stable where probabilities round to 0 or 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from educe.prob.density import Density, Real
from educe.prob.numbers import LogNumber, Weight

__all__ = ["BernoulliLogits"]


class BernoulliLogits(Density):
    """A truth value, or an array of 0.0 and 1.0, with given log-odds.

    Parameters
    ----------
    logits : float or Tensor
        Log of p / (1 - p), any real number. Values between 0 and 1 are scored too, by linear interpolation of the
        log-probability, as is usual for grey pixels.

    Examples
    --------
    >>> round(float(BernoulliLogits(0.0).log_prob(True).exp()), 6)
    0.5
    """

    def __init__(self, logits: Real) -> None:
        super().__init__(logits)

    @staticmethod
    def _density(value: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return logits * value - torch.nn.functional.softplus(logits)

    @staticmethod
    def _draw(rng: np.random.Generator, logits: Any) -> Any:
        return rng.random(logits.shape) < 1 / (1 + np.exp(-logits))

    @staticmethod
    def _decode(value: torch.Tensor) -> Any:
        return bool(value) if value.ndim == 0 else value

    def enumerate(self) -> Iterator[tuple[bool, Weight]]:
        """List True and False with their probabilities."""
        logit = float(self.parameters[0])
        for value, signed in ((True, logit), (False, -logit)):
            yield value, LogNumber(-math.log1p(math.exp(-signed)) if signed > -700 else signed)
