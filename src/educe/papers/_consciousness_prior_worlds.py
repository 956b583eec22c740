"""Worlds for the report on attention bottlenecks: concepts among distractors, hidden signals under noise; a dense net."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from educe.core import Seed

__all__ = ["CONCEPTS", "ELEMENTS", "Mechanism", "World", "dense_network", "hidden_signals", "make_world", "redraw",
           "transitions"]  # fmt: skip

CONCEPTS, COINS, CONSTANTS = 12, 50, 4
ELEMENTS = CONCEPTS + COINS + CONSTANTS
FLIP = 0.08


class Mechanism(NamedTuple):
    """How a concept follows from others: "and", "or" or "copy" of its parents."""

    kind: str
    parents: tuple[int, ...]

    def next(self, now: torch.Tensor) -> torch.Tensor:
        """Value before the flip, (n,)."""
        columns = now[:, list(self.parents)].bool()
        return (columns.any(1) if self.kind == "or" else columns.all(1)).long()


World = list[Mechanism]


def _draw(rng: torch.Generator) -> Mechanism:
    kind = ("and", "or", "copy")[int(torch.randint(3, (), generator=rng))]
    parents = torch.randperm(CONCEPTS, generator=rng)[: 1 if kind == "copy" else 2]
    return Mechanism(kind, tuple(sorted(parents.tolist())))


def make_world(seed: Seed) -> World:
    """Draw a mechanism for each of 12 concepts."""
    rng = seed.child("world").torch()
    return [_draw(rng) for _ in range(CONCEPTS)]


def redraw(world: World, concept: int, seed: Seed) -> World:
    """Give one concept another mechanism."""
    rng = seed.child("redraw").torch()
    other = world[concept]
    while other == world[concept]:
        other = _draw(rng)
    return [other if k == concept else mechanism for k, mechanism in enumerate(world)]


def transitions(world: World, n: int, seed: Seed) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw states of 66 elements and their successors; everything is drawn anew for each transition."""
    rng = seed.child("transitions").torch()
    fair = [torch.randint(2, (n, CONCEPTS + COINS), generator=rng) for _ in range(2)]
    rare = [(torch.rand(n, CONSTANTS, generator=rng) < 0.99).long() for _ in range(2)]
    now = torch.cat([fair[0], rare[0]], 1)
    later = torch.cat([fair[1], rare[1]], 1)
    for k, mechanism in enumerate(world):
        flip = (torch.rand(n, generator=rng) < FLIP).long()
        later[:, k] = mechanism.next(now) ^ flip
    return now, later


def dense_network(
    train: tuple[torch.Tensor, torch.Tensor],
    stop: tuple[torch.Tensor, torch.Tensor],
    seed: Seed,
    steps: int = 300,
    start: torch.nn.Module | None = None,
) -> torch.nn.Module:
    """Train a 66-64-66 perceptron on all elements, keep the weights that are best on the stopping set."""
    with torch.random.fork_rng():
        torch.manual_seed(seed.bits())
        net = torch.nn.Sequential(
            torch.nn.Linear(ELEMENTS, 64), torch.nn.ReLU(), torch.nn.Linear(64, ELEMENTS)
        )
    if start is not None:
        net.load_state_dict(start.state_dict())
    loss = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    best, kept = math.inf, {name: value.clone() for name, value in net.state_dict().items()}
    for step in range(steps):
        if step % 5 == 0:
            with torch.no_grad():
                value = float(loss(net(stop[0].float())[:, :CONCEPTS], stop[1][:, :CONCEPTS].float()))
            if value < best:
                best, kept = value, {name: item.clone() for name, item in net.state_dict().items()}
        optimizer.zero_grad()
        torch.autograd.backward(loss(net(train[0].float()), train[1].float()))
        optimizer.step()
    net.load_state_dict(kept)
    return net


def hidden_signals(n: int, seed: Seed) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw six autoregressive signals and 30 channels that mix them with 24 white distractors of sd 5."""
    rng = seed.child("signals").torch()
    decay = 0.95 - 0.05 * torch.arange(6, dtype=torch.float64)
    noise = torch.randn(n, 6, generator=rng, dtype=torch.float64) * (1 - decay**2).sqrt()
    signals = torch.empty(n, 6, dtype=torch.float64)
    state = torch.randn(6, generator=rng, dtype=torch.float64)
    for t in range(n):
        state = decay * state + noise[t]
        signals[t] = state
    distractors = 5 * torch.randn(n, 24, generator=rng, dtype=torch.float64)
    mixing = torch.linalg.qr(torch.randn(30, 30, generator=rng, dtype=torch.float64))[0]
    return signals, torch.cat([signals, distractors], 1) @ mixing
