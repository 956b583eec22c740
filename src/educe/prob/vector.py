"""The vector engine: a program's log-density as one tensor graph for many positions, with its gradient.

The generator is run once inside ``vmap(grad_and_value)``, traced by ``make_fx`` and made a `Plan`, which is kept with
the program, one for each number of positions. Draws become slices of an unconstrained position through
``torch.distributions.biject_to``, with the log-Jacobian added. The program's structure must not depend on what
is drawn; both this and discrete draws are refused with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributions import biject_to

from educe.core import Seed, UsageError
from educe.prob.dist import Dist
from educe.prob.driver import drive, together
from educe.prob.numbers import log_of
from educe.prob.particle import Particle, Site
from educe.prob.plan import Plan
from educe.prob.program import Names, Program, Steps
from educe.prob.requests import Draw, Evaluate, Factor, Twist, leaves, rebuild, refuse
from educe.prob.source import Source

__all__ = ["Layout", "Replicated", "Slot", "Target", "layout", "log_density", "target", "value_and_gradient"]


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

    def parts(self, positions: torch.Tensor) -> list[torch.Tensor]:
        """Split positions (..., size) into unconstrained parts, in the order of drawing."""
        return [positions[..., slot.start : slot.end].reshape((*positions.shape[:-1], *slot.shape))
                for slot in self.slots.values()]  # fmt: skip

    def values(self, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        """Read all draws off positions (..., size)."""
        return {name: slot.value(positions) for name, slot in self.slots.items()}


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
    runs = [await whole_run(program, Seed.of(seed).child("layout", turn)) for turn in range(2)]
    shapes = [
        {name: (type(site.dist), torch.as_tensor(site.value).shape if site.dist.support else None)
         for name, site in sites.items()} for sites in runs
    ]  # fmt: skip
    if shapes[0] != shapes[1]:
        differing = {name for name, _ in set(shapes[0].items()) ^ set(shapes[1].items())}
        raise UsageError(
            f"{program.name} draws {sorted(differing)} in some runs only. "
            "The vector engine needs one structure; use mh or smc."
        )
    slots: dict[str, Slot] = {}
    start = 0
    for name, site in runs[1].items():
        if site.dist.support is None:
            raise UsageError(f"{name!r} ~ {site.dist} is discrete and has no gradient. Sum it out, or use mh or smc.")
        transform = biject_to(site.dist.support)
        shape = tuple(transform.inv(torch.as_tensor(site.value)).shape)
        slots[name] = Slot(start, start + math.prod(shape), shape, transform)
        start += math.prod(shape)
    if not slots:
        raise UsageError(f"{program.name} draws nothing, so there is nothing to infer. Add a draw.")
    return Layout(slots, start)


async def whole_run(program: Program, seed: Seed) -> dict[str, Site]:
    """Run a program to its end, whatever its weight, and return what it drew."""
    particle = _Unweighted(program)
    await drive(particle.advance(math.inf), Source(seed))
    return particle.sites


async def prior_positions(program: Program, where: Layout, n: int, source: Source) -> torch.Tensor:
    """Draw positions (n, size) from a program's law before any factor."""
    runs = await drive(together(_Unweighted(program).advance(math.inf) for _ in range(n)), source)
    parts = []
    for name, slot in where.slots.items():
        values = torch.stack([torch.as_tensor(run.sites[name].value, dtype=torch.float64) for run in runs])
        parts.append(slot.transform.inv(values).reshape(n, -1))
    return torch.cat(parts, 1)


class _Unweighted(Particle):
    """A particle that is run to the end whatever its weight."""

    def _multiply(self, weight: Any) -> None:
        pass


def joint(program: Program, where: Layout, parts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a program at unconstrained parts; return log-density of its draws, Jacobian included, and of its factors."""
    given = dict(zip(where.slots, parts, strict=True))
    steps, names, answer = iter(program), Names(program), None
    prior = factors = torch.zeros((), dtype=torch.float64)
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return prior, factors
        if isinstance(request, Factor):
            weight = request.weight
            found = weight.dist.log_prob(weight.value) if isinstance(weight, Evaluate) else log_of(weight)
            factors = factors + found
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
            name = names.name(draw.name, steps)
            slot, part = where.slots[name], given[name]
            value = slot.transform(part)
            prior = prior + draw.dist.log_prob(value) + slot.transform.log_abs_det_jacobian(part, value).sum()
            values.append(value)
        answer = rebuild(request, iter(values))


def log_density(program: Program, where: Layout, position: torch.Tensor) -> torch.Tensor:
    """Log of the joint density of a program at an unconstrained position, Jacobian included.

    Parameters
    ----------
    program : Program
        The model.
    where : Layout
        Its `layout`.
    position : Tensor
        (size,) float64.

    Returns
    -------
    Tensor
        One number, differentiable.
    """
    prior, factors = joint(program, where, where.parts(position))
    return prior + factors


class Replicated(Program):
    """One program for many data sets: in the vector engine each position has a data set of its own.

    Parameters
    ----------
    make : callable
        Takes one data set, returns a program.
    rows : Tensor
        (chains, ...) a data set for each position.
    """

    def __init__(self, make: Callable[[Any], Program], rows: torch.Tensor) -> None:
        super().__init__(make, (), {})
        self.rows = rows

    def __iter__(self) -> Steps:
        return (yield from self.function(self.rows[0]))

    def segment(self, state: Any, time: int) -> Steps:
        """Return the generator for the first data set."""
        return iter(self)


class Target:
    """The log-density of a program at many positions, on buffers that each call overwrites; `target` makes it.

    Parameters
    ----------
    program : Program
        The model.
    where : Layout
        Its layout.
    chains : int
        Number of positions.
    gradient : bool
        Whether to compute the gradient, too.
    powers : bool
        Whether the factors are raised to a power, for each position its own.

    Attributes
    ----------
    position : Tensor
        (chains, size) float64, read by each call.
    power : Tensor
        (chains,) float64, read by each call where asked for: the power to which the factors are raised.
    value : Tensor
        (chains,) float64, written by each call.
    factors : Tensor
        (chains,) float64, written by each call: log-weight of all factors, at power 1.
    gradient : Tensor
        (chains, size) float64, written by each call, where asked for.
    """

    def __init__(
        self, program: Program, where: Layout, chains: int, gradient: bool = True, powers: bool = False
    ) -> None:
        self.where = where
        # Chains lie next to each other in memory: parameters then broadcast over long inner loops.
        self.position = torch.zeros(where.size, chains, dtype=torch.float64).T
        self.power = torch.ones(chains, dtype=torch.float64)

        rows = program.rows if isinstance(program, Replicated) else torch.zeros(chains)

        def one(parts: list[torch.Tensor], power: torch.Tensor, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            model = program.function(row) if isinstance(program, Replicated) else program
            prior, factors = joint(model, where, parts)
            return prior + (power * factors if powers else factors), factors.expand(())

        def value_only(position: torch.Tensor, power: torch.Tensor) -> Any:
            return torch.func.vmap(one)(where.parts(position), power, rows)

        def with_gradient(position: torch.Tensor, power: torch.Tensor) -> Any:
            both = torch.func.vmap(torch.func.grad_and_value(one, has_aux=True))
            pulls, (value, factors) = both(where.parts(position), power, rows)
            return value, factors, torch.cat([pull.reshape(chains, -1) for pull in pulls], 1)

        try:
            self.plan = Plan(with_gradient if gradient else value_only, [self.position, self.power])
        except RuntimeError as error:
            if "vmap" not in str(error) and "data-dependent" not in str(error).lower():
                raise
            raise UsageError(
                f"{program.name} branches on a drawn value or takes it out of its tensor. "
                "Use torch.where in the vector engine, or an algorithm such as mh or smc."
            ) from error
        self.value, self.factors, *pulls = self.plan.outputs
        self.gradient = pulls[0] if pulls else torch.empty(0)

    def __call__(self) -> None:
        """Compute value, factors and gradient at the position."""
        self.plan()


def target(program: Program, where: Layout, chains: int, gradient: bool = True, powers: bool = False) -> Target:
    """Return the log-density of a program for a number of chains, traced once and kept with the program.

    Parameters
    ----------
    program : Program
        The model.
    where : Layout
        Its layout.
    chains : int
        Number of positions.
    gradient, powers : bool
        Whether to compute the gradient, too; whether to raise the factors to a power.

    Raises
    ------
    UsageError
        The program branches or loops on a drawn value.
    """
    key = (chains, gradient, powers)
    if key not in program.traced:
        program.traced[key] = Target(program, where, chains, gradient, powers)
    found: Target = program.traced[key]
    return found


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
    compiled = target(program, where, len(positions))

    def evaluate(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        compiled.position.copy_(at)
        compiled()
        return compiled.value.clone(), compiled.gradient.clone()

    return evaluate
