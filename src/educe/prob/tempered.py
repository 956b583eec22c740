"""Tempered sequential Monte Carlo: from the prior to the posterior by powers of the likelihood, in the vector engine.

Particles start as prior draws and count ``exp(power * factors)`` for a power that grows from 0 to 1; after each
resampling they move by a Markov kernel that leaves the current law unchanged (Del Moral, Doucet and Jasra 2006). A
first pass chooses the powers, so that the effective sample size halves each time, and tunes the kernel; a second,
independent pass uses what the first has found. So the evidence is unbiased, at twice the price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from educe.core import EvidenceKind, Posterior, UsageError
from educe.prob.adaptation import DualAveraging, Tuning, shrunk_variance
from educe.prob.hmc import HMC
from educe.prob.leapfrog import State
from educe.prob.moves import at_least_one
from educe.prob.program import Program
from educe.prob.resampling import SCHEMES
from educe.prob.source import Source
from educe.prob.vector import Target, layout, prior_positions, target

__all__ = ["Tempered", "tempered"]


JITTERED = HMC("jittered", 10)


class _Stage(NamedTuple):
    power: float
    tuning: Tuning


@dataclass(frozen=True)
class Tempered:
    """What `tempered` returns.

    Parameters
    ----------
    n, steps : int
        Particles, and steps of the kernel at each power.
    kernel : ChainKernel
        Moves the particles.
    share : float
        Effective share of the particles to which each power may reduce them.
    """

    n: int
    steps: int = 5
    kernel: Any = JITTERED
    share: float = 0.5

    async def infer(self, program: Program, source: Source) -> Posterior[Any]:
        """Run on a program; see `educe.prob.run`."""
        where = await layout(program, source.seed)
        compiled = target(program, where, self.n, self.kernel.gradient, powers=True)
        stages: list[_Stage] = []
        for turn, known in (("pilot", None), ("final", stages)):
            seed = source.seed.child("tempered", turn)
            start = await prior_positions(program, where, self.n, Source(seed))
            position, evidence, found = self._pass(program, compiled, start, seed.child("moves").numpy(), known)
            stages = stages or found
            if evidence == -math.inf:
                break
        details = {"algorithm": "tempered", "particles": self.n, "powers": [stage.power for stage in stages]}
        return Posterior(
            where.values(position), torch.zeros(self.n), evidence, EvidenceKind.UNBIASED, details=details
        )  # fmt: skip

    def _pass(
        self, program: Program, compiled: Target, start: torch.Tensor, rng: np.random.Generator,
        known: list[_Stage] | None,
    ) -> tuple[torch.Tensor, float, list[_Stage]]:  # fmt: skip
        """Raise the power from 0 to 1; choose powers and tuning unless they are known."""
        compiled.position.copy_(start)
        power, evidence = 0.0, 0.0
        stages: list[_Stage] = []
        step = DualAveraging(0.5, self.kernel.acceptance) if self.kernel.acceptance else None
        while power < 1:
            compiled.power.fill_(power)
            compiled()
            factors = compiled.factors.numpy().copy()
            if np.isnan(factors).any() or (factors == math.inf).any():
                raise UsageError(f"{program.name} has a log-weight that is NaN or infinite. Check its factors.")
            new = known[len(stages)].power if known else self._next_power(factors, power)
            logs = (new - power) * np.where(np.isfinite(factors), factors, -1e300)
            weights = np.exp(logs - logs.max())
            if factors.max() == -math.inf:
                return start, -math.inf, stages
            evidence += float(logs.max() + math.log(weights.mean()))
            ancestors = SCHEMES["systematic"][0](weights / weights.sum(), self.n, rng)
            power = new
            compiled.position.copy_(compiled.position[ancestors].clone())
            compiled.power.fill_(power)
            compiled()
            state = State(compiled.position.clone(), compiled.value.clone(), compiled.gradient.clone())
            tuning = known[len(stages)].tuning if known else None
            variance = tuning.variance if tuning else shrunk_variance(state.position)
            for iteration in range(self.steps):
                now = tuning or Tuning(step.size if step else 1.0, variance, 1.0, iteration)
                state, info = self.kernel.step(rng, compiled, state, now)
                if step and not tuning:
                    step.update(float(info.acceptance.mean()))
            stages.append(_Stage(power, tuning or Tuning(step.size if step else 1.0, variance)))
            compiled.position.copy_(state.position)
        return compiled.position.clone(), evidence, stages

    def _next_power(self, factors: np.ndarray, power: float) -> float:
        """Largest power, by bisection, that leaves the wanted effective share."""

        def share(new: float) -> float:
            logs = (new - power) * np.where(np.isfinite(factors), factors, -1e300)
            weights = np.exp(logs - logs.max())
            return float(weights.sum() ** 2 / (weights @ weights) / len(weights))

        if share(1.0) >= self.share:
            return 1.0
        low, high = power, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if share(middle) >= self.share else (low, middle)
        # Where runs of weight zero alone exceed the share, no power is small enough; go on by little.
        return max(low, power + 1e-9)


def tempered(n: int, steps: int = 5, *, kernel: Any = None, share: float = 0.5) -> Tempered:
    """Tempered sequential Monte Carlo, for programs of fixed structure with real draws only. The evidence is unbiased.

    Parameters
    ----------
    n : int
        Number of particles, >= 1.
    steps : int
        Steps of the kernel at each power, >= 1.
    kernel : ChainKernel or None
        Moves the particles; None is Hamiltonian Monte Carlo with 1 to 10 leapfrog steps.
    share : float
        Each power is the largest that leaves this share of the particles effective, in (0, 1).

    Returns
    -------
    Tempered
        For `run`. The posterior's values are the program's draws by name, of equal weight; ``details["powers"]``.

    Examples
    --------
    >>> from educe.prob import Normal, observe, program, run
    >>> @program
    ... def mean(seen):
    ...     mu = yield Normal(0.0, 10.0) @ "mu"
    ...     yield observe(Normal(mu, 1.0), seen)
    >>> posterior = run(mean(torch.tensor([1.0, 3.0])), tempered(500), seed=0)
    >>> round(float(posterior.expect(lambda draw: draw["mu"])), 1), round(posterior.log_evidence)
    (2.0, -6)
    """
    at_least_one(n=n, steps=steps)
    if not 0 < share < 1:
        raise UsageError(f"share={share} is out of range. Give a number in (0, 1).")
    return Tempered(n, steps, kernel or JITTERED, share)
