"""Networks over partly known discrete vectors: what is unknown is a mask symbol of its own.

A trunk turns (n, variables, categories + 1) indicators into features; the last category stands for "unknown". The
default trunk is a residual perceptron with layer normalisation. All randomness of the initial weights comes from a
seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from educe.core import Seed, UsageError

__all__ = ["MaskedNetwork", "cosine_adam", "cut_at", "random_order"]

Trunk = Callable[[int, int, int], nn.Module]


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(nn.functional.gelu(self.inner(self.norm(x))))  # type: ignore[no-any-return]


def residual_trunk(variables: int, symbols: int, width: int, depth: int) -> nn.Module:
    """Return the default trunk, (n, variables, symbols) to (n, width)."""
    blocks = [_Residual(width) for _ in range(depth)]
    return nn.Sequential(nn.Flatten(), nn.Linear(variables * symbols, width), *blocks, nn.LayerNorm(width))


class MaskedNetwork(nn.Module):
    """A trunk and a linear head, from partly known vectors to outputs.

    Parameters
    ----------
    categories : int
        Values of each variable are ``0 .. categories - 1``.
    variables : int
        Length of the vectors.
    outputs : int
        Length of the output.
    width, depth : int
        Of the default trunk.
    trunk : callable or None
        Makes another trunk: takes variables, categories + 1 and width, returns a module from
        (n, variables, categories + 1) to (n, width).
    seed : int or Seed
        Source of the initial weights.

    Examples
    --------
    >>> network = MaskedNetwork(2, 3, 1, width=8, depth=1)
    >>> network(torch.tensor([[0, 1, 1]]), torch.tensor([[True, True, False]])).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        categories: int,
        variables: int,
        outputs: int,
        width: int = 128,
        depth: int = 2,
        trunk: Trunk | None = None,
        seed: int | Seed = 0,
    ) -> None:
        super().__init__()
        if categories < 2 or variables < 1:
            raise UsageError(f"categories={categories}, variables={variables} leave nothing to model. Give >= 2, >= 1.")
        self.categories, self.variables = categories, variables
        make = trunk or (lambda variables, symbols, width: residual_trunk(variables, symbols, width, depth))
        self.trunk = make(variables, categories + 1, width)
        self.head = nn.Linear(width, outputs)
        rng = Seed.of(seed).child("weights").torch()
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    bound = 1 / math.sqrt(module.in_features)
                    for parameter in module.parameters():
                        parameter.copy_((2 * torch.rand(parameter.shape, generator=rng) - 1) * bound)

    def forward(self, x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Evaluate the network.

        Parameters
        ----------
        x : Tensor
            (n, variables) integers; entries that are not known do not count.
        known : Tensor
            (n, variables) truth values.

        Returns
        -------
        Tensor
            (n, outputs) float32.
        """
        symbols = torch.where(known, x, self.categories)
        indicators = nn.functional.one_hot(symbols, self.categories + 1).to(self.head.weight.dtype)
        return self.head(self.trunk(indicators))  # type: ignore[no-any-return]


def random_order(n: int, variables: int, rng: torch.Generator) -> torch.Tensor:
    """Return ranks: entry (i, j) says when variable j comes in the random order of row i."""
    return torch.rand(n, variables, generator=rng).argsort(1).argsort(1)


def cut_at(rank: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut each order at a random place: what comes before, and the index of what comes next."""
    place = torch.randint(rank.shape[1], (len(rank), 1), generator=rng)
    return rank < place, (rank == place).int().argmax(1)


def cosine_adam(
    parameters: Iterator[nn.Parameter], steps: int, rate: float
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return Adam with a rate that falls to zero along a cosine."""
    optimizer = torch.optim.Adam(parameters, lr=rate)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
