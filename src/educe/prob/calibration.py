"""Simulation-based calibration: is the posterior right on average over the prior?

Truths are drawn from the prior and data from the truths; then each truth is one more draw of its posterior, and its
rank among the draws is uniform (Talts et al. 2018, arXiv:1804.06788). All data sets are run at once, a chain
each. Ranks that are not uniform say how the sampler is wrong; uniform ones do not prove it right for one data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from educe.core import Seed, UsageError
from educe.prob.chains import Chains
from educe.prob.driver import run
from educe.prob.moves import at_least_one
from educe.prob.program import Program
from educe.prob.vector import Replicated

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` found.

    Parameters
    ----------
    ranks : mapping of str to Tensor
        (replications,) ranks of the truth among `draws` draws, from 0 to `draws`, for each number.
    draws : int
        Draws that each truth was compared with.
    """

    ranks: Mapping[str, torch.Tensor]
    draws: int

    def counts(self, name: str, bins: int = 20) -> torch.Tensor:
        """Histogram of the ranks of one number; `plot_ranks` draws it."""
        place = (self.ranks[name].double() + 0.5) / (self.draws + 1) * bins
        return torch.bincount(place.long().clamp(max=bins - 1), minlength=bins)

    def p_value(self, name: str, bins: int = 20) -> float:
        """Probability of a histogram at least as uneven if ranks are uniform (chi-squared)."""
        counts = self.counts(name, bins).double()
        expected = float(counts.sum()) * self._shares(bins)
        statistic = float(((counts - expected).square() / expected).sum())
        half = torch.tensor([(bins - 1) / 2, statistic / 2], dtype=torch.float64)
        return float(torch.special.gammaincc(half[0], half[1]))

    def _shares(self, bins: int) -> torch.Tensor:
        """Probability of each bin: ranks are whole numbers, so that bins may hold one more or less of them."""
        place = (torch.arange(self.draws + 1, dtype=torch.float64) + 0.5) / (self.draws + 1) * bins
        return torch.bincount(place.long().clamp(max=bins - 1), minlength=bins).double() / (self.draws + 1)


def calibrate(
    simulate: Callable[[np.random.Generator], tuple[Mapping[str, Any], Any]],
    model: Callable[[torch.Tensor], Program],
    algorithm: Chains,
    replications: int = 1000,
    thin: int = 10,
    seed: int | Seed = 0,
) -> Calibration:
    """Rank truths among the draws of their posteriors.

    Parameters
    ----------
    simulate : callable
        Takes a random generator, returns named truths and an array of data, of one shape for all calls.
    model : callable
        Takes the data as a tensor, returns the program; its draws have the truths' names.
    algorithm : Chains
        For instance ``hmc(draws=990)``; its number of chains is replaced by that of the replications.
    replications : int
        Truths, >= 20.
    thin : int
        Every so-many-th draw is compared, so that draws are nearly independent, >= 1.
    seed : int or Seed
        Same seed, same ranks.

    Returns
    -------
    Calibration

    Examples
    --------
    >>> from educe.prob import Normal, hmc, observe, program
    >>> def simulate(rng):
    ...     mu = rng.normal()
    ...     return {"mu": mu}, rng.normal(mu, 1.0, size=3)
    >>> @program
    ... def model(data):
    ...     mu = yield Normal(0.0, 1.0) @ "mu"
    ...     yield observe(Normal(mu, 1.0), data)
    >>> found = calibrate(simulate, model, hmc(draws=190, warmup=100), replications=200)
    >>> found.p_value("mu") > 1e-4
    True
    """
    at_least_one(thin=thin)
    if replications < 20:
        raise UsageError(f"replications={replications} fill no histogram. Give at least 20, better 1000.")
    rng = Seed.of(seed).child("calibration").numpy()
    pairs = [simulate(rng) for _ in range(replications)]
    data = torch.as_tensor(np.stack([np.asarray(seen) for _, seen in pairs]), dtype=torch.float64)
    everywhere = Chains(algorithm.kernel, replications, algorithm.draws, algorithm.warmup)
    posterior = run(Replicated(model, data), everywhere, seed)
    ranks: dict[str, torch.Tensor] = {}
    for name in pairs[0][0]:
        truth = torch.as_tensor(np.stack([np.asarray(truths[name]) for truths, _ in pairs]), dtype=torch.float64)
        draws = posterior.values[name].reshape(replications, algorithm.draws, -1)[:, thin - 1 :: thin]  # type: ignore[call-overload]
        for index, column in enumerate(truth.reshape(replications, -1).unbind(1)):
            label = name if math.prod(truth.shape[1:]) == 1 else f"{name}[{index}]"
            ranks[label] = (draws[:, :, index] < column[:, None]).sum(1)
    return Calibration(ranks, algorithm.draws // thin)
