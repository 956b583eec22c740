"""Hamiltonian Monte Carlo (Neal 2011): many chains side by side, trajectories of random length.

Trajectories have 1 to `leapfrogs` steps, drawn anew at each iteration for all chains at once, which removes the
resonances of a fixed length. Warm-up tunes one step size by dual averaging (Hoffman and Gelman 2014, section 3.2)
and the variances of a diagonal metric from all chains together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from educe.core import Posterior, UsageError
from educe.prob.diagnostics import effective_sample_size, split_r_hat
from educe.prob.moves import at_least_one
from educe.prob.program import Program
from educe.prob.source import Source
from educe.prob.vector import layout, value_and_gradient

__all__ = ["HMC", "hmc"]

# Energy may grow by this much before a trajectory counts as diverged (Stan's limit).
DIVERGED = 1000.0
WINDOWS = (0.15, 0.35, 0.6, 0.85)


class _StepSize:
    """Dual averaging with the constants of Hoffman and Gelman (2014)."""

    def __init__(self, size: float, target: float) -> None:
        self.target = target
        self.centre = math.log(10 * size)
        self.error, self.averaged, self.count = 0.0, 0.0, 0
        self.size = size

    def update(self, acceptance: float) -> None:
        self.count += 1
        rate = 1 / (self.count + 10)
        self.error += rate * (self.target - acceptance - self.error)
        log_size = self.centre - math.sqrt(self.count) / 0.05 * self.error
        weight = self.count**-0.75
        self.averaged += weight * (log_size - self.averaged)
        self.size = math.exp(log_size)


@dataclass(frozen=True)
class HMC:
    """Hamiltonian Monte Carlo in the vector engine; see `hmc`.

    Parameters
    ----------
    chains, draws, warmup, leapfrogs : int
        See `hmc`.
    acceptance : float
        See `hmc`.
    """

    chains: int = 64
    draws: int = 200
    warmup: int = 200
    leapfrogs: int = 20
    acceptance: float = 0.8

    async def infer(self, program: Program, source: Source) -> Posterior[Any]:
        """Run on a program; see `educe.prob.run`."""
        where = await layout(program, source.seed)
        rng = source.seed.child("hmc").torch()
        # Within two units of zero on the unconstrained scale, as in Stan.
        position = 4 * torch.rand(self.chains, where.size, generator=rng, dtype=torch.float64) - 2
        density = value_and_gradient(program, where, position)
        value, gradient = density(position)
        if not bool(torch.isfinite(value).any()):
            raise UsageError(f"{program.name} has no finite log-density near its starting points. Check its factors.")
        value = torch.where(torch.isfinite(value), value, -math.inf)
        variance = torch.ones(where.size, dtype=torch.float64)
        step = _StepSize(0.1, self.acceptance)
        window: list[torch.Tensor] = []
        ends = {int(self.warmup * share) for share in WINDOWS}
        kept, accepted, diverged, gradients = [], [], 0, 1
        for iteration in range(self.warmup + self.draws):
            if iteration == self.warmup and self.warmup:
                step.size = math.exp(step.averaged)
            length = int(torch.randint(1, self.leapfrogs + 1, (), generator=rng))
            momentum = torch.randn(position.shape, generator=rng, dtype=torch.float64) / variance.sqrt()
            energy = value - 0.5 * (momentum.square() * variance).sum(1)
            here, pull, moving = position, gradient, momentum
            for _ in range(length):
                moving = moving + 0.5 * step.size * pull
                here = here + step.size * variance * moving
                there, pull = density(here)
                moving = moving + 0.5 * step.size * pull
            gradients += length
            change = there - 0.5 * (moving.square() * variance).sum(1) - energy
            change = torch.where(torch.isnan(change), -math.inf, change)
            probability = change.clamp(max=0).exp()
            moved = torch.rand(self.chains, generator=rng, dtype=torch.float64) < probability
            position = torch.where(moved[:, None], here, position)
            gradient = torch.where(moved[:, None], pull, gradient)
            value = torch.where(moved, there, value)
            if iteration >= self.warmup:
                kept.append(position)
                accepted.append(float(probability.mean()))
                diverged += int((change < -DIVERGED).sum())
                continue
            step.update(float(probability.mean()))
            window.append(position)
            if iteration + 1 in ends:
                variance = _shrunk_variance(torch.cat(window))
                window, step = [], _StepSize(step.size, self.acceptance)
        chains = torch.stack(kept, 1)
        values = {name: slot.value(chains) for name, slot in where.slots.items()}
        details: dict[str, Any] = {
            "algorithm": "hmc",
            "chains": self.chains,
            "draws": self.draws,
            "step_size": step.size,
            "acceptance": sum(accepted) / len(accepted),
            "divergences": diverged,
            "gradients": gradients * self.chains,
        }
        if self.draws >= 4:
            details["r_hat"] = {name: float(split_r_hat(item).max()) for name, item in values.items()}
            details["ess"] = {name: float(effective_sample_size(item).min()) for name, item in values.items()}
        flat = {name: item.reshape(-1, *item.shape[2:]) for name, item in values.items()}
        return Posterior(flat, torch.zeros(self.chains * self.draws, dtype=torch.float64), details=details)


def _shrunk_variance(draws: torch.Tensor) -> torch.Tensor:
    """Variance of each coordinate, drawn towards a small number where there are few draws (as Stan does)."""
    n = len(draws)
    return draws.var(0) * n / (n + 5) + 1e-3 * 5 / (n + 5)


def hmc(chains: int = 64, draws: int = 200, warmup: int = 200, leapfrogs: int = 20, acceptance: float = 0.8) -> HMC:
    """Hamiltonian Monte Carlo for programs of fixed structure with real draws only. There is no evidence.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1. Many chains cost little more than one.
    draws : int
        States to keep of each, >= 1.
    warmup : int
        States for tuning, dropped, >= 0.
    leapfrogs : int
        Longest trajectory, >= 1.
    acceptance : float
        Acceptance probability to tune for, in (0, 1).

    Returns
    -------
    HMC
        For `run`. The posterior's values are the program's draws by name, one row per state, chain after chain;
        ``details`` has split R-hat, effective sample sizes, acceptance and divergences.

    Examples
    --------
    >>> from educe.prob import Normal, observe, program, run
    >>> @program
    ... def mean(seen):
    ...     mu = yield Normal(0.0, 10.0) @ "mu"
    ...     yield observe(Normal(mu, 1.0), seen)
    >>> posterior = run(mean(torch.tensor([1.0, 3.0])), hmc(chains=32, draws=100), seed=0)
    >>> round(float(posterior.expect(lambda draw: draw["mu"])), 1)
    2.0
    """
    at_least_one(chains=chains, draws=draws, warmup=warmup + 1, leapfrogs=leapfrogs)
    if not 0 < acceptance < 1:
        raise UsageError(f"acceptance={acceptance} is out of range. Give a number in (0, 1), for instance 0.8.")
    return HMC(chains, draws, warmup, leapfrogs, acceptance)
