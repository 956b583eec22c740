"""`Chains`: many Markov chains side by side in the vector engine, with any kernel, and how well they mixed.

A kernel is two functions, `State` to `State`: what a step needs is `State` and `Tuning`, what it reports is `Info`
(the shape of BlackJAX kernels). All chains step together; a step of 64 costs little more than a step of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from educe.core import EvidenceKind, Posterior, UsageError
from educe.prob.adaptation import Adaptation, Info, Tuning
from educe.prob.diagnostics import effective_sample_size, r_hat
from educe.prob.leapfrog import State, uniforms
from educe.prob.moves import at_least_one
from educe.prob.program import Program
from educe.prob.source import Source
from educe.prob.vector import Target, layout, target

__all__ = ["ChainKernel", "Chains", "chains_of", "first_state", "metropolis"]

# Log-density may fall by this much along a trajectory before it counts as diverged (Stan's limit).
DIVERGED = 1000.0


class ChainKernel(Protocol):
    """What `Chains` can follow: a way to move all chains one step.

    Attributes
    ----------
    name : str
        Shown in results.
    acceptance : float or None
        Acceptance probability that warm-up tunes the step size for; None for kernels without a step size.
    gradient : bool
        Whether the kernel reads gradients.
    lengths : bool
        Whether warm-up tunes the length of trajectories.
    """

    name: str
    acceptance: float | None
    gradient: bool
    lengths: bool

    def step(self, rng: np.random.Generator, target: Target, state: State, tuning: Tuning) -> tuple[State, Info]:
        """Move all chains one step.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only randomness.
        target : Target
            The log-density; its buffers may be overwritten.
        state : State
            Where the chains are.
        tuning : Tuning
            Step size, variances, length.
        """
        ...


def metropolis(rng: np.random.Generator, old: State, new: State, change: torch.Tensor) -> tuple[State, torch.Tensor]:
    """Accept or reject each chain by itself.

    Parameters
    ----------
    rng : numpy.random.Generator
        Randomness.
    old, new : State
        Where the chains are, and where they might go.
    change : Tensor
        (chains,) logarithm of the acceptance ratio; NaN rejects.

    Returns
    -------
    State
        New rows where accepted.
    Tensor
        (chains,) acceptance probabilities.
    """
    probability = change.clamp(max=0).exp().nan_to_num_(0.0)
    moved = uniforms(rng, change) < probability
    rows = moved[:, None]
    return State(
        torch.where(rows, new.position, old.position),
        torch.where(moved, new.value, old.value),
        torch.where(rows, new.gradient, old.gradient),
    ), probability


def first_state(rng: np.random.Generator, program: Program, compiled: Target) -> State:
    """Draw starting points within two units of zero on the unconstrained scale, as Stan does; redraw bad ones."""
    position = compiled.position
    missing = torch.ones(len(position), dtype=torch.bool)
    for _ in range(20):
        fresh = torch.from_numpy(rng.uniform(-2, 2, position.shape))
        position[missing] = fresh[missing]
        compiled()
        missing = ~torch.isfinite(compiled.value)
        if not bool(missing.any()):
            break
    if bool(missing.all()):
        raise UsageError(f"{program.name} has no finite log-density near its starting points. Check its factors.")
    value = torch.where(missing, -math.inf, compiled.value)
    return State(position.clone(), value, compiled.gradient.clone())


class _Details(Mapping[str, Any]):
    """Numbers and calculations; what is expensive is calculated when it is read."""

    def __init__(self, **known: Any) -> None:
        self._known = known

    def __getitem__(self, name: str) -> Any:
        if callable(self._known[name]):
            self._known[name] = self._known[name]()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True)
class Chains:
    """Markov chains in the vector engine; `hmc`, `nuts`, `mala` and `slice_sampling` make it.

    Parameters
    ----------
    kernel : ChainKernel
        How to move.
    chains, draws, warmup : int
        Chains side by side, states to keep of each, states for tuning.
    """

    kernel: Any
    chains: int = 64
    draws: int = 200
    warmup: int = 200

    async def infer(self, program: Program, source: Source) -> Posterior[Any]:
        """Run on a program; see `educe.prob.run`."""
        where = await layout(program, source.seed)
        compiled = target(program, where, self.chains, self.kernel.gradient)
        rng = source.seed.child(self.kernel.name).numpy()
        # Some kernels have to look at the program first.
        prepare = getattr(self.kernel, "prepare", None)
        kernel = await prepare(program, source) if prepare else self.kernel
        state = first_state(rng, program, compiled)
        adaptation = Adaptation(where.size, self.warmup, kernel.acceptance, kernel.lengths)
        tuning = adaptation.tuning
        kept = torch.empty(self.draws, where.size, self.chains, dtype=torch.float64)
        accepted, diverged, evaluations = torch.zeros(self.chains), torch.zeros(self.chains), 1
        total = self.warmup + self.draws
        for iteration in range(total):
            before = state
            state, info = kernel.step(rng, compiled, state, tuning)
            evaluations += info.evaluations
            if iteration < self.warmup:
                tuning = adaptation.update(before, state, info)
            else:
                tuning = replace(tuning, iteration=iteration + 1)
                kept[iteration - self.warmup] = state.position.T
                accepted = accepted + info.acceptance
                diverged = diverged + info.diverged
            if source.progress:
                source.progress(
                    iteration + 1, total, phase="warm-up" if iteration < self.warmup else "sampling",
                    acceptance=f"{float(info.acceptance.mean()):.2f}", divergences=int(diverged.sum()),
                )  # fmt: skip
        values = where.values(kept.permute(2, 0, 1))
        details = _Details(
            algorithm=kernel.name, chains=self.chains, draws=self.draws, step_size=tuning.step_size,
            trajectory=tuning.length, acceptance=float(accepted.mean()) / self.draws, divergences=int(diverged.sum()),
            evaluations=evaluations * self.chains,
            r_hat=lambda: {name: float(r_hat(item).max()) for name, item in values.items()},
            ess=lambda: {name: float(effective_sample_size(item).min()) for name, item in values.items()},
        )  # fmt: skip
        flat = {name: item.reshape(-1, *item.shape[2:]) for name, item in values.items()}
        weights = torch.zeros(self.chains * self.draws, dtype=torch.float64)
        return Posterior(flat, weights, None, EvidenceKind.NONE, details=details)


def chains_of(kernel: Any, chains: int, draws: int, warmup: int) -> Chains:
    """Check the sizes and make `Chains`."""
    at_least_one(chains=chains, draws=draws, warmup=warmup + 1)
    if kernel.acceptance is not None and not 0 < kernel.acceptance < 1:
        raise UsageError(f"acceptance={kernel.acceptance} is out of range. Give a number in (0, 1), for instance 0.8.")
    return Chains(kernel, chains, draws, warmup)
