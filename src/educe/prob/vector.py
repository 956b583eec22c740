"""The vector engine: a program's log-density as one tensor graph for many positions, with its gradient.

The generator is run once inside ``vmap(grad_and_value)`` and traced by ``make_fx``; the flat graph is kept with
the program, one for each number of positions. Draws become slices of an unconstrained position through
``torch.distributions.biject_to``, with the log-Jacobian added. The program's structure must not depend on what
is drawn; both this and discrete draws are refused with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributions import biject_to
from torch.fx.experimental.proxy_tensor import make_fx

from educe.core import Seed, UsageError
from educe.prob.dist import Dist
from educe.prob.driver import drive
from educe.prob.numbers import log_of
from educe.prob.particle import Particle
from educe.prob.program import Names, Program
from educe.prob.requests import Draw, Evaluate, Factor, leaves, rebuild, refuse
from educe.prob.source import Source

__all__ = ["Layout", "Slot", "layout", "log_density", "value_and_gradient"]


@dataclass(frozen=True)
class Slot:
    """Where a draw lives in a position.

    Parameters
    ----------
    start, end : int
        Its part of the position.
    shape : tuple of int
        Shape before the bijection.
    transform : torch.distributions.Transform
        From the unconstrained part to the value.
    """

    start: int
    end: int
    shape: tuple[int, ...]
    transform: Any

    def value(self, positions: torch.Tensor) -> torch.Tensor:
        """Read the value off positions (..., size)."""
        part = positions[..., self.start : self.end].reshape(*positions.shape[:-1], *self.shape)
        return self.transform(part)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Layout:
    """All real draws of a program, laid out in one vector.

    Parameters
    ----------
    slots : dict of str to Slot
        By name, in the order of drawing.
    size : int
        Length of a position.
    """

    slots: dict[str, Slot]
    size: int


async def layout(program: Program, seed: int | Seed = 0) -> Layout:
    """Run a program twice and lay out what it draws.

    Parameters
    ----------
    program : Program
        Must draw the same names and shapes in every run.
    seed : int or Seed
        Source of the two runs.

    Returns
    -------
    Layout

    Raises
    ------
    UsageError
        The runs differ, nothing is drawn, or a draw is not real.
    """
    runs = []
    for turn in range(2):
        particle = _Unweighted(program)
        await drive(particle.advance(math.inf), Source(Seed.of(seed).child("layout", turn)))
        runs.append({name: (type(s.dist), torch.as_tensor(s.value).shape if s.dist.support else None)
                     for name, s in particle.sites.items()})  # fmt: skip
    if runs[0] != runs[1]:
        differing = {name for name, _ in set(runs[0].items()) ^ set(runs[1].items())}
        raise UsageError(
            f"{program.name} draws {sorted(differing)} in some runs only. "
            "The vector engine needs one structure; use mh or smc."
        )
    slots: dict[str, Slot] = {}
    start = 0
    for name, site in particle.sites.items():
        if site.dist.support is None:
            raise UsageError(f"{name!r} ~ {site.dist} is discrete and has no gradient. Sum it out, or use mh or smc.")
        transform = biject_to(site.dist.support)
        shape = tuple(transform.inv(torch.as_tensor(site.value)).shape)
        slots[name] = Slot(start, start + math.prod(shape), shape, transform)
        start += math.prod(shape)
    if not slots:
        raise UsageError(f"{program.name} draws nothing, so there is nothing to infer. Add a draw.")
    return Layout(slots, start)


class _Unweighted(Particle):
    """A particle that is run to the end whatever its weight."""

    def _multiply(self, weight: Any) -> None:
        pass


def log_density(program: Program, slots: dict[str, Slot], position: torch.Tensor) -> torch.Tensor:
    """Log of the joint density of a program at an unconstrained position, Jacobian included.

    Parameters
    ----------
    program : Program
        The model.
    slots : dict of str to Slot
        Of its `layout`.
    position : Tensor
        (size,) float64.

    Returns
    -------
    Tensor
        One number, differentiable.
    """
    steps, names, answer = iter(program), Names(program), None
    total = torch.zeros((), dtype=torch.float64)
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return total
        if isinstance(request, Factor):
            weight = request.weight
            if isinstance(weight, Evaluate):
                total = total + weight.dist.log_prob(weight.value)
            else:
                total = total + log_of(weight)
            answer = None
            continue
        values = []
        for leaf in leaves(request):
            draw = Draw(leaf) if isinstance(leaf, Dist) else leaf
            if not isinstance(draw, Draw):
                raise refuse(draw, program.name)
            slot = slots[names.name(draw.name, steps)]
            part = position[slot.start : slot.end].reshape(slot.shape)
            value = slot.transform(part)
            total = total + draw.dist.log_prob(value) + slot.transform.log_abs_det_jacobian(part, value).sum()
            values.append(value)
        answer = rebuild(request, iter(values))


def value_and_gradient(
    program: Program, where: Layout, positions: torch.Tensor
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return a function from positions to log-densities and gradients, traced once per program and shape.

    Parameters
    ----------
    program : Program
        The model.
    where : Layout
        Its layout.
    positions : Tensor
        (chains, size) float64; only its shape counts.

    Returns
    -------
    callable
        Takes (chains, size), returns (chains,) log-densities and (chains, size) gradients.

    Raises
    ------
    UsageError
        The program branches or loops on a drawn value.
    """
    key = tuple(positions.shape)
    if key not in program.traced:
        both = torch.func.vmap(torch.func.grad_and_value(lambda position: log_density(program, where.slots, position)))
        try:
            graph = make_fx(both)(torch.zeros_like(positions))
        except RuntimeError as error:
            if "vmap" not in str(error) and "data-dependent" not in str(error).lower():
                raise
            raise UsageError(
                f"{program.name} branches on a drawn value or takes it out of its tensor. "
                "Use torch.where in the vector engine, or an algorithm such as mh or smc."
            ) from error
        graph.graph.eliminate_dead_code()
        graph.recompile()
        program.traced[key] = graph
    graph = program.traced[key]

    def evaluate(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            gradient, value = graph(at)
        return value, gradient

    return evaluate
