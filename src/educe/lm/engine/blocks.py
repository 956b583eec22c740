"""Memory for the keys and values of the prefix tree: blocks of `BLOCK` positions, cut out of slabs.

A slab is one tensor with room for some blocks. It is made when needed and freed when its last block is, so that memory
goes back to the system; all slabs together never exceed the byte budget. Neighbouring blocks of a text are given
neighbouring places where that is possible: attention then reads them as one piece, without a copy.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["BLOCK", "Block", "BlockPool"]

BLOCK = 64  # positions; every sum over positions in attention is made block by block, in order
SLAB_BLOCKS = 16
SLAB_BYTES = 1 << 26


class Block(NamedTuple):
    """A place in the pool."""

    slab: int
    place: int


class BlockPool:
    """Blocks under a byte budget.

    Parameters
    ----------
    layers, heads, head_dim : int
        Sizes of the key-value cache.
    budget : int
        Most bytes that the slabs may take.
    device : str
        Where they lie.

    Attributes
    ----------
    capacity, free : int
        Blocks in all, and blocks that are not given out.

    Examples
    --------
    >>> pool = BlockPool(layers=1, heads=1, head_dim=2, budget=8192)
    >>> pool.capacity, pool.allocate(2), pool.free
    (8, [Block(slab=0, place=0), Block(slab=0, place=1)], 6)
    """

    def __init__(self, layers: int, heads: int, head_dim: int, budget: int, device: str = "cpu") -> None:
        self.block_bytes = layers * 2 * heads * BLOCK * head_dim * 4
        self.slab_blocks = max(1, min(SLAB_BLOCKS, SLAB_BYTES // self.block_bytes, budget // self.block_bytes))
        self._most_slabs = budget // (self.block_bytes * self.slab_blocks)
        self.capacity = self.free = self._most_slabs * self.slab_blocks
        self._shape = (layers, 2, heads, self.slab_blocks, BLOCK, head_dim)
        self._device = device
        self._slabs: dict[int, torch.Tensor] = {}
        self._places: dict[int, list[int]] = {}  # free places of each slab, in order

    @property
    def bytes(self) -> int:
        """What the slabs take now."""
        return len(self._slabs) * self.slab_blocks * self.block_bytes

    def slab(self, number: int) -> torch.Tensor:
        """Return a slab: (layers, 2, heads, places, BLOCK, head_dim) float32, keys before values."""
        return self._slabs[number]

    def view(self, block: Block) -> torch.Tensor:
        """Return a block: (layers, 2, heads, BLOCK, head_dim)."""
        return self._slabs[block.slab][:, :, :, block.place]

    def allocate(self, count: int) -> list[Block]:
        """Give out blocks, neighbours where there are any; there must be as many free."""
        assert count <= self.free
        self.free -= count
        blocks: list[Block] = []
        while len(blocks) < count:
            blocks += self._run(min(count - len(blocks), self.slab_blocks))
        return blocks

    def _run(self, count: int) -> list[Block]:
        """Return up to ``count`` neighbours."""
        best: tuple[int, int, int] = (0, 0, 0)  # length, slab, index of the first among the free places
        for number, places in self._places.items():
            begin = 0
            for index in range(1, len(places) + 1):
                if index == len(places) or places[index] != places[index - 1] + 1:
                    best = max(best, (min(index - begin, count), -number, -begin))
                    begin = index
            if best[0] == count:
                break
        if best[0] < count and len(self._slabs) < self._most_slabs:
            number = next(number for number in range(self._most_slabs) if number not in self._slabs)
            # Zeros: what a masked position holds is multiplied by 0, and must therefore be a number.
            self._slabs[number] = torch.zeros(self._shape, device=self._device)
            self._places[number] = list(range(self.slab_blocks))
            best = (count, -number, 0)
        length, number, begin = best[0], -best[1], -best[2]
        taken = self._places[number][begin : begin + length]
        del self._places[number][begin : begin + length]
        return [Block(number, place) for place in taken]

    def release(self, block: Block) -> None:
        """Take a block back."""
        places = self._places[block.slab]
        places.append(block.place)
        places.sort()
        self.free += 1
        if len(places) == self.slab_blocks:
            del self._slabs[block.slab], self._places[block.slab]
