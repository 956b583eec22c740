"""Warm-up of the gradient kernels: step size, diagonal metric and trajectory length, from all chains together.

Sources: dual averaging of Hoffman and Gelman (2014), arXiv:1111.4246, section 3.2; shrunk variances over growing
windows as in Stan; trajectory lengths by ChEES, Hoffman, Radul and Sountsov (2021), AISTATS, algorithm 1.
All chains share one step size, one metric and one length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from educe.prob.leapfrog import State

__all__ = ["Adaptation", "DualAveraging", "Info", "Tuning", "shrunk_variance"]

# Ends of the windows over which variances are collected, as shares of the warm-up.
WINDOWS = (0.1, 0.2, 0.4, 0.7)
# Adam as in the ChEES paper: learning rate and decay of the squared gradient; no momentum.
RATE, DECAY = 0.025, 0.95


@dataclass(frozen=True)
class Tuning:
    """What warm-up finds and a kernel uses.

    Parameters
    ----------
    step_size : float
        Of the integrator; kernels without one take it as their width.
    variance : Tensor
        (size,) scale of the posterior, squared; the inverse mass.
    length : float
        Mean time of a trajectory.
    iteration : int
        Steps taken so far.
    """

    step_size: float
    variance: torch.Tensor
    length: float = 1.0
    iteration: int = 0


class Info(NamedTuple):
    """What happened in one step of all chains.

    ``acceptance`` is (chains,) and ``diverged`` (chains,) bool; ``evaluations`` counts densities of each chain.
    Kernels with a trajectory also give its end point, its momentum there and its time, for ChEES.
    """

    acceptance: torch.Tensor
    diverged: torch.Tensor
    evaluations: int
    end: State | None = None
    momentum: torch.Tensor | None = None
    time: float = 0.0


class DualAveraging:
    """Stochastic approximation of the step size that gives a wanted acceptance.

    Parameters
    ----------
    size : float
        Where to start.
    wanted : float
        Acceptance probability to reach.
    """

    def __init__(self, size: float, wanted: float) -> None:
        self.wanted, self.size = wanted, size
        # Optimistic: later steps are cheaper if the first are too long than if they are too short.
        self.centre = math.log(10 * size)
        self.error, self.averaged, self.count = 0.0, 0.0, 0

    def update(self, acceptance: float) -> None:
        """Take note of an acceptance probability."""
        self.count += 1
        self.error += (self.wanted - acceptance - self.error) / (self.count + 10)
        log_size = self.centre - math.sqrt(self.count) / 0.05 * self.error
        self.averaged += self.count**-0.75 * (log_size - self.averaged)
        self.size = math.exp(log_size)

    def final(self) -> float:
        """Return the averaged step size."""
        return math.exp(self.averaged) if self.count else self.size


class Adaptation:
    """The state of warm-up.

    Parameters
    ----------
    size : int
        Length of a position.
    warmup : int
        Number of steps.
    wanted : float or None
        Acceptance to reach; None leaves the step size at 1.
    lengths : bool
        Whether to adapt the length of trajectories.
    """

    def __init__(self, size: int, warmup: int, wanted: float | None, lengths: bool) -> None:
        self.warmup, self.lengths = warmup, lengths
        self.step = DualAveraging(0.1, wanted) if wanted else None
        self.tuning = Tuning(0.1 if wanted else 1.0, torch.ones(size, dtype=torch.float64))
        self.ends = {int(warmup * share) for share in WINDOWS} - {0}
        self.window: list[torch.Tensor] = []
        self.log_length, self.squared, self.updates = 0.0, 0.0, 0

    def update(self, before: State, after: State, info: Info) -> Tuning:
        """Learn from one step and return the tuning of the next."""
        done = self.tuning.iteration + 1
        variance, step_size = self.tuning.variance, self.tuning.step_size
        acceptance = info.acceptance.mean()
        if self.lengths:
            self._lengthen(before, info)
        if self.step:
            self.step.update(float(acceptance))
            step_size = self.step.size
        self.window.append(after.position)
        if done in self.ends:
            variance = shrunk_variance(torch.cat(self.window))
            self.window = []
            if self.step:
                # Relearn around what worked; the new metric changes what a step of one means.
                self.step = DualAveraging(self.step.final(), self.step.wanted)
                step_size = self.step.size
        if done >= self.warmup and self.step:
            step_size = self.step.final()
        self.tuning = Tuning(step_size, variance, math.exp(self.log_length), done)
        return self.tuning

    def _lengthen(self, before: State, info: Info) -> None:
        """One step of Adam on the log-length, up the change of squared distance from the chains' mean."""
        if info.end is None or info.momentum is None:
            return
        weight = torch.where(info.diverged, 0.0, info.acceptance)
        total = float(weight.sum())
        if not total > 0:
            return
        # Rows that diverged may be infinite; they count nothing.
        end = info.end.position if total == float(info.acceptance.sum()) else _finite(info.end.position)
        precision = 1 / self.tuning.variance
        centred = end - (weight @ end) / total
        start = before.position - before.position.mean(0)
        spread = (centred.square() - start.square()) @ precision
        signal = spread * (centred * info.momentum).sum(1)
        slope = info.time * float(weight @ _finite(signal)) / total
        self.updates += 1
        self.squared = DECAY * self.squared + (1 - DECAY) * slope**2
        corrected = math.sqrt(self.squared / (1 - DECAY**self.updates)) + 1e-12
        self.log_length = min(max(self.log_length + RATE * slope / corrected, -5.0), 5.0)


def _finite(numbers: torch.Tensor) -> torch.Tensor:
    return torch.nan_to_num(numbers, 0.0, 0.0, 0.0)


def shrunk_variance(draws: torch.Tensor) -> torch.Tensor:
    """Variance of each coordinate, drawn towards a small number where there are few draws (as Stan does)."""
    n = len(draws)
    return draws.var(0) * n / (n + 5) + 1e-3 * 5 / (n + 5)
