"""Contract a network of tensors by eliminating one index at a time, the cheapest first.

Greedy elimination by the size of what it makes (minimum weight; Koller and Friedman 2009, section 9.4.3). Works on any
number of indices, where `torch.einsum` alone stops at 52 and goes from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

__all__ = ["Contracted", "contract"]


class Contracted(NamedTuple):
    """A contracted network and its price."""

    tensor: torch.Tensor
    contractions: int
    flops: int


def contract(
    factors: Sequence[tuple[torch.Tensor, tuple[int, ...]]], sizes: dict[int, int], out: tuple[int, ...]
) -> Contracted:
    """Multiply all factors and sum out every index that is not in `out`; the indices in `out` differ."""
    # A box that reads one wire at two ports carries that index twice: take the diagonal before anything else.
    work = [_diagonal(tensor, indices) for tensor, indices in factors]
    contractions = flops = 0

    def merge(members: list[tuple[torch.Tensor, tuple[int, ...]]], keep: tuple[int, ...]) -> torch.Tensor:
        nonlocal contractions, flops
        indices = tuple(dict.fromkeys(i for _, own in members for i in own))
        local = {index: place for place, index in enumerate(indices)}
        operands = [part for tensor, own in members for part in (tensor, [local[i] for i in own])]
        contractions += 1
        flops += len(members) * math.prod(sizes[i] for i in indices)
        return torch.einsum(*operands, [local[i] for i in keep])

    inner = {i for _, own in work for i in own} - set(out)

    def cost(index: int) -> tuple[int, int]:
        touched = {i for _, own in work if index in own for i in own}
        return math.prod(sizes[i] for i in touched), index

    while inner:
        index = min(inner, key=cost)
        members = [factor for factor in work if index in factor[1]]
        keep = tuple(dict.fromkeys(i for _, own in members for i in own if i != index))
        work = [factor for factor in work if index not in factor[1]] + [(merge(members, keep), keep)]
        inner.discard(index)
    if not work:
        return Contracted(torch.ones((), dtype=torch.float64), contractions, flops)
    return Contracted(merge(work, out), contractions, flops)


def _diagonal(tensor: torch.Tensor, indices: tuple[int, ...]) -> tuple[torch.Tensor, tuple[int, ...]]:
    distinct = tuple(dict.fromkeys(indices))
    if len(distinct) == len(indices):
        return tensor, indices
    local = {index: place for place, index in enumerate(distinct)}
    return torch.einsum(tensor, [local[i] for i in indices], list(range(len(distinct)))), distinct
