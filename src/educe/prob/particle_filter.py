"""The particle filter of the vector engine: all particles as one tensor, for programs of steps.

`smc` runs any program, each particle its own generator; this runs the generator of a step once for all particles,
inside ``vmap``, and resamples the state between steps (Gordon, Salmond and Smith 1993). Draws leave ``vmap`` to be
made by NumPy in one call. A step must have one structure: no branch on a drawn value, no draws that are not numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from educe.core import EvidenceKind, Posterior, UsageError, nearest
from educe.prob.density import Density, aligned
from educe.prob.dist import Dist
from educe.prob.moves import at_least_one
from educe.prob.numbers import log_of
from educe.prob.program import Program, Steps
from educe.prob.requests import Draw, Evaluate, Factor, Twist, leaves, rebuild, refuse
from educe.prob.resampling import SCHEMES
from educe.prob.source import Source
from educe.prob.steps import StepProgram

__all__ = ["ParticleFilter", "particle_filter"]


class _Drawn(torch.autograd.Function):
    """Draw inside ``vmap``: its rule sees the parameters of all particles at once."""

    @staticmethod
    def forward(law: type[Density], rng: np.random.Generator, particle: torch.Tensor, *parameters: Any) -> torch.Tensor:
        raise UsageError("The particle filter draws for many particles only. Use smc for one.")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(
        info: Any, axes: Any, law: type[Density], rng: np.random.Generator, particle: torch.Tensor, *parameters: Any
    ) -> tuple[torch.Tensor, int]:
        columns = [
            (torch.as_tensor(value)[None] if axis is None else value.movedim(axis, 0)).expand(
                info.batch_size, *[-1] * (torch.as_tensor(value).ndim - (axis is not None))
            )
            for value, axis in zip(parameters, axes[3:], strict=True)
        ]
        try:
            drawn = law._draw(rng, *(column.numpy() for column in aligned(columns)))
        except ValueError as error:
            raise UsageError(f"A draw of {law.__name__} has bad parameters: {error}.") from None
        return torch.from_numpy(np.asarray(drawn, dtype=np.float64)), 0


def _one_step(program: StepProgram, state: Any, time: int, particle: torch.Tensor, rng: Any) -> tuple[Any, Any]:
    """Run one step of one particle; return its next state and log-weight."""
    generator: Steps = program.segment(state, time)
    answer, log_weight = None, torch.zeros((), dtype=torch.float64)
    while True:
        try:
            request = generator.send(answer)
        except StopIteration as stop:
            return stop.value, log_weight.expand(())
        if isinstance(request, Factor):
            weight = request.weight
            found = weight.dist.log_prob(weight.value) if isinstance(weight, Evaluate) else log_of(weight)
            log_weight = log_weight + found
            answer = None
            continue
        if isinstance(request, Twist):
            answer = None  # undone before it would count
            continue
        values = []
        for leaf in leaves(request):
            draw = Draw(leaf) if isinstance(leaf, Dist) else leaf
            if not isinstance(draw, Draw):
                raise refuse(draw, program.name)
            law = draw.via or draw.dist
            if not isinstance(law, Density):
                raise UsageError(f"{law!r} is not drawn for many particles at once. Use smc.")
            value = _Drawn.apply(  # type: ignore[no-untyped-call]
                type(law), rng, particle, *(torch.as_tensor(p) for p in law.parameters)
            )
            if draw.via is not None:
                log_weight = log_weight + draw.dist.log_prob(value) - draw.via.log_prob(value)
            values.append(value)
        answer = rebuild(request, iter(values))


def _mapped(state: Any) -> dict[str, torch.Tensor]:
    """Return a state as a mapping of tensors."""
    if isinstance(state, torch.Tensor):
        return {"state": state}
    if isinstance(state, Mapping) and all(isinstance(item, torch.Tensor) for item in state.values()):
        return dict(state)
    raise UsageError(
        f"A state of type {type(state).__name__} cannot be resampled. Return a tensor or a dict of tensors."
    )


def _rows(state: Any, chosen: torch.Tensor) -> Any:
    return {name: tensor[chosen] for name, tensor in state.items()} if isinstance(state, Mapping) else state[chosen]


@dataclass(frozen=True)
class ParticleFilter:
    """What `particle_filter` returns.

    Parameters
    ----------
    n : int
        Number of particles.
    scheme : str
        Of resampling.
    when : float
        Share of effective particles below which to resample.
    """

    n: int
    scheme: str = "systematic"
    when: float = 0.5

    async def infer(self, program: Program, source: Source) -> Posterior[Any]:
        """Run on a program of steps; see `educe.prob.run`."""
        if not isinstance(program, StepProgram):
            raise UsageError(f"{program.name} is no program of steps. Decorate one step with @steps, or use smc.")
        particles = torch.arange(self.n)
        state, time = program.begin()
        log_weights, evidence, ended, sizes = np.zeros(self.n), 0.0, False, []
        while not ended:
            state, found = self._advance(program, state, time, particles, source)
            time += 1
            state, ended = program.after(state, time)
            log_weights = log_weights + found
            if np.isnan(log_weights).any() or (log_weights == math.inf).any():
                raise UsageError(
                    f"{program.name} has a log-weight that is NaN or infinite in step {time - 1}. "
                    "Give finite log-weights or -inf."
                )
            most = float(log_weights.max())
            if most == -math.inf:
                return Posterior([], torch.zeros(0), -math.inf, EvidenceKind.UNBIASED, details={"stopped_at": time - 1})
            weights = np.exp(log_weights - most)
            total = float(weights.sum())
            sizes.append(total**2 / float(weights @ weights))
            if source.progress:
                source.progress(time, None if program.inputs is None else len(program.inputs), ess=f"{sizes[-1]:.0f}")
            if not ended and sizes[-1] < self.when * self.n:
                ancestors = torch.from_numpy(SCHEMES[self.scheme][0](weights / total, self.n, source.rng))
                state = _rows(state, ancestors)
                evidence += most + math.log(total / self.n)
                log_weights = np.zeros(self.n)
        evidence += most + math.log(total / self.n)
        details = {"algorithm": "particle filter", "particles": self.n, "ess": sizes}
        return Posterior(
            _mapped(state), torch.from_numpy(log_weights), evidence, EvidenceKind.UNBIASED, details=details
        )

    def _advance(
        self, program: StepProgram, state: Any, time: int, particles: torch.Tensor, source: Source
    ) -> tuple[Any, np.ndarray]:
        batched = 0 if time else None
        try:
            state, log_weight = torch.vmap(
                lambda state, particle: _one_step(program, state, time, particle, source.rng), in_dims=(batched, 0)
            )(state, particles)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, UsageError) or "vmap" not in str(error):
                raise
            raise UsageError(
                f"{program.name} branches on a drawn value, or its state holds something that is no tensor. "
                "Use torch.where, or smc."
            ) from error
        return state, log_weight.numpy()


def particle_filter(n: int, scheme: str = "systematic", *, when: float = 0.5) -> ParticleFilter:
    """A particle filter for programs of `steps`, with all particles in one tensor. The evidence is unbiased.

    Parameters
    ----------
    n : int
        Number of particles, >= 1; a hundred thousand are usual.
    scheme : str
        ``"multinomial"``, ``"stratified"``, ``"systematic"`` or ``"residual"``.
    when : float
        Resample when the effective sample size is below this share of `n`, in (0, 1]; 1 resamples after every step.

    Returns
    -------
    ParticleFilter
        For `run`. The posterior's values are the last state: a dict of tensors as the steps returned it, or
        ``{"state": tensor}``.

    Raises
    ------
    UsageError
        The program is not made of steps, or a step branches on a drawn value.

    Examples
    --------
    >>> from educe.prob import Normal, observe, run, steps
    >>> @steps
    ... def walk(place, seen):
    ...     place = yield Normal(0.0 if place is None else place, 0.5)
    ...     yield observe(Normal(place, 1.0), seen)
    ...     return place
    >>> posterior = run(walk(None, [0.3, 0.9, 1.4]), particle_filter(10_000), seed=0)
    >>> round(float(posterior.expect(lambda row: row["state"])), 1)
    0.7
    """
    at_least_one(n=n)
    if scheme not in SCHEMES:
        raise UsageError(f"Resampling scheme {scheme!r} is unknown; {nearest(scheme, SCHEMES)}")
    if not 0 < when <= 1:
        raise UsageError(f"when={when} is out of range. Give a number in (0, 1].")
    return ParticleFilter(n, scheme, when)
