"""Attention of one step: many rows at once, over what they share and over each row's own part.

Source: the shared part is multiplied once for all rows that share it, as in Juravsky et al. (2024),
arXiv:2402.05099; the parts are joined by their softmax sums, as in Dao et al. (2022), arXiv:2205.14135.

A row's text is cut into blocks of `BLOCK` positions, counted from its beginning. The first blocks may lie in the
prefix tree (`Segment`: consecutive blocks and the rows that share them), the rest in `OwnCache`. The softmax is
taken with the largest score of all parts; sums over positions are made within each block and the blocks are added in
order. So a row's result is the same bit for bit wherever its blocks lie, whoever shares them, and whether it is read
in pieces or token by token. That needs at least four rows in each small product (below that the library changes
kernels): a single position's query heads are filled up with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from educe.lm.engine.blocks import BLOCK, BlockPool
from educe.lm.engine.policies import AttentionPolicy
from educe.lm.engine.tree import Node

__all__ = ["OwnCache", "RowSet", "Segment", "StepAttention", "segments"]

LEAST_ROWS = 4


@dataclass(frozen=True)
class Segment:
    """Blocks of the tree that several rows attend to; ``rows`` is None where these are all rows of the set."""

    begin: int  # block number in the text
    runs: tuple[tuple[int, int, int], ...]  # (slab, first place, places)
    rows: torch.Tensor | None

    @property
    def blocks(self) -> int:
        """Blocks in all."""
        return sum(places for _, _, places in self.runs)


def segments(trunks: Sequence[Sequence[Node]]) -> list[Segment]:
    """Cut what the rows share into segments, each shared by the same rows from end to end; nearest the root first.

    Parameters
    ----------
    trunks : sequence of sequence of Node
        For each row the blocks, from the root on, that it attends to in the tree.
    """
    found: list[Segment] = []
    waiting = [(0, list(range(len(trunks))))]
    while waiting:
        begin, rows = waiting.pop(0)
        by_node: dict[int, list[int]] = {}
        for row in rows:
            if len(trunks[row]) > begin:
                by_node.setdefault(id(trunks[row][begin]), []).append(row)
        for members in by_node.values():
            first = trunks[members[0]]
            end = begin + 1
            while end < len(first) and all(
                len(trunks[row]) > end and trunks[row][end] is first[end] for row in members
            ):
                end += 1
            runs: list[tuple[int, int, int]] = []
            for slab, place in (node.block for node in first[begin:end]):
                if runs and runs[-1][0] == slab and runs[-1][1] + runs[-1][2] == place:
                    runs[-1] = (slab, runs[-1][1], runs[-1][2] + 1)
                else:
                    runs.append((slab, place, 1))
            everyone = len(members) == len(trunks)
            found.append(Segment(begin, tuple(runs), None if everyone else torch.tensor(members)))
            waiting.append((end, members))
    return found


class OwnCache:
    """Keys and values of each row's own blocks: the first block of all rows, then the second of all rows, ...

    Memory is taken from the system only where something is written.

    Parameters
    ----------
    layers, heads, head_dim : int
        Sizes of the key-value cache.
    rows : int
        Room for so many.
    device : str
        Where it lies.

    Attributes
    ----------
    tensor : Tensor
        (layers, 2, blocks, rows, heads, BLOCK, head_dim) float32, keys before values.
    """

    def __init__(self, layers: int, heads: int, head_dim: int, rows: int, device: str = "cpu") -> None:
        self.tensor = torch.zeros(layers, 2, 1, rows, heads, BLOCK, head_dim, device=device)

    @property
    def rows(self) -> int:
        """Rows that there is room for."""
        return self.tensor.shape[3]

    def reserve(self, blocks: int = 1, rows: int = 1) -> None:
        """Have room for so many blocks of so many rows; blocks are doubled, since all has to be copied."""
        layers, two, had_blocks, had_rows, *sizes = self.tensor.shape
        if blocks > had_blocks or rows > had_rows:
            blocks = max(blocks, 2 * had_blocks) if blocks > had_blocks else had_blocks
            new = self.tensor.new_zeros(layers, two, blocks, max(rows, had_rows), *sizes)
            new[:, :, :had_blocks, :had_rows] = self.tensor
            self.tensor = new

    def view(self, row: int, block: int) -> torch.Tensor:
        """Return one block of one row: (layers, 2, heads, BLOCK, head_dim)."""
        self.reserve(block + 1)
        return self.tensor[:, :, block, row]

    def move(self, source: int, target: int, blocks: int) -> None:
        """Copy the first blocks of a row into another row's place."""
        self.tensor[:, :, :blocks, target] = self.tensor[:, :, :blocks, source]


class Piece(NamedTuple):
    """Own blocks that are multiplied in one go: of the first rows of a set, by the queries from one on."""

    block: int
    blocks: int
    rows: int
    first: int


class RowSet:
    """Rows of one step that all read the same number of positions, filled up where they have fewer.

    Parameters
    ----------
    own : OwnCache
        Where their own blocks lie: row ``i`` of the set is row ``i`` of the cache.
    begins : Tensor
        (rows,) int64; where each row's own part begins in the text, multiples of `BLOCK`.
    positions : Tensor
        (rows, length) int64; the positions that are read.
    shared : list of Segment
        What comes before the own parts.
    """

    def __init__(self, own: OwnCache, begins: torch.Tensor, positions: torch.Tensor, shared: list[Segment]) -> None:
        self.own, self.begins, self.positions, self.shared = own, begins, positions, shared
        self.rows, self.length = positions.shape
        offsets = positions - begins[:, None]
        reach = offsets[:, -1] // BLOCK
        blocks = int(reach.max()) + 1
        own.reserve(blocks)
        if self.length == 1 and self.rows == own.rows and int(reach.min()) == blocks - 1:
            self.pieces = [Piece(0, blocks, self.rows, 0)]
        else:
            self.pieces = [self._piece(block, reach, offsets) for block in range(blocks)]
        # Where the new keys and values go.
        rows = torch.arange(self.rows, device=begins.device).repeat_interleave(self.length)
        self._places = offsets.flatten() // BLOCK, rows, offsets.flatten() % BLOCK

    def _piece(self, block: int, reach: torch.Tensor, offsets: torch.Tensor) -> Piece:
        """Leave out the rows that end before a block, and the queries that lie before it in all rows."""
        some = int((reach >= block).nonzero().max()) + 1
        first = block * BLOCK - int(offsets[:some, 0].max())
        return Piece(block, 1, some, max(0, min(first, self.length - LEAST_ROWS)))

    def write(self, layer: int, keys_values: torch.Tensor) -> None:
        """Keep new keys and values (rows * length, 2, heads, head_dim)."""
        blocks, rows, places = self._places
        self.own.tensor[layer][:, blocks, rows, :, places] = keys_values


class StepAttention:
    """The attention of one step, called once for each layer.

    Parameters
    ----------
    pool : BlockPool
        Holds the blocks of the segments.
    heads, key_value_heads, head_dim : int
        Sizes; queries come scaled.
    sets : list of RowSet
        The rows, in the order of the step's positions.
    policy : AttentionPolicy
        What is seen.
    """

    def __init__(
        self,
        pool: BlockPool,
        heads: int,
        key_value_heads: int,
        head_dim: int,
        sets: list[RowSet],
        policy: AttentionPolicy,
    ) -> None:
        self._pool, self._heads, self._groups, self._head_dim = pool, heads, key_value_heads, head_dim
        self._sets, self._policy = sets, policy
        self._masks: dict[tuple[int, Hashable], tuple[list[torch.Tensor], list[torch.Tensor | None]]] = {}

    def __call__(self, layer: int, queries: torch.Tensor, keys_values: torch.Tensor, out: torch.Tensor) -> None:
        """Attend.

        Parameters
        ----------
        layer : int
            Which.
        queries : Tensor
            (positions, heads, head_dim) float32, rotated and scaled.
        keys_values : Tensor
            (positions, 2, key-value heads, head_dim) float32, keys rotated.
        out : Tensor
            (positions, heads * head_dim); written.
        """
        self.keep(layer, keys_values)
        begin = 0
        for number, rows in enumerate(self._sets):
            end = begin + rows.rows * rows.length
            self._attend(number, layer, queries[begin:end], out[begin:end])
            begin = end

    def keep(self, layer: int, keys_values: torch.Tensor) -> None:
        """Keep new keys and values (positions, 2, key-value heads, head_dim), keys rotated."""
        begin = 0
        for rows in self._sets:
            end = begin + rows.rows * rows.length
            rows.write(layer, keys_values[begin:end])
            begin = end

    def _masks_of(
        self, number: int, kind: Hashable, width: int
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """What is added to the scores: for each piece (blocks * rows * groups, queries, BLOCK), for each segment."""
        if (number, kind) not in self._masks:
            rows = self._sets[number]
            queries, places = rows.positions[:, :, None], torch.arange(BLOCK, device=rows.positions.device)
            own: list[torch.Tensor] = []
            for piece in rows.pieces:
                blocks = torch.arange(piece.block, piece.block + piece.blocks, device=places.device)
                begins = rows.begins[: piece.rows, None, None] + blocks[:, None, None, None] * BLOCK
                keys, asked = begins + places, queries[: piece.rows, piece.first :]
                seen = keys <= asked
                if kind is not None:
                    seen = seen & self._policy.visible(kind, asked, keys)
                bias = torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -math.inf)
                shape = (piece.blocks, piece.rows, self._groups, seen.shape[2], width, BLOCK)
                own.append(bias[:, :, None, :, None].expand(shape).reshape(-1, seen.shape[2] * width, BLOCK))
            shared: list[torch.Tensor | None] = []
            for segment in rows.shared:
                if kind is None:
                    shared.append(None)
                    continue
                asked = queries if segment.rows is None else queries[segment.rows]
                first = segment.begin * BLOCK
                keys = torch.arange(first, first + segment.blocks * BLOCK, device=asked.device)
                seen = self._policy.visible(kind, asked, keys)
                bias = torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -math.inf)
                many = self._heads // self._groups
                shared.append(bias[:, :, None].expand(-1, -1, many, -1).reshape(1, -1, len(keys)))
            self._masks[number, kind] = own, shared
        return self._masks[number, kind]

    def _attend(self, number: int, layer: int, queries: torch.Tensor, out: torch.Tensor) -> None:
        rows = self._sets[number]
        count, length, groups, head_dim = rows.rows, rows.length, self._groups, self._head_dim
        many = self._heads // groups
        width = max(many, -(-LEAST_ROWS // length))
        own_masks, shared_masks = self._masks_of(number, self._policy.kind(layer), width)
        split = queries.view(count, length, groups, many, head_dim)
        if width == many:
            mine = split.transpose(1, 2).reshape(count * groups, length * many, head_dim)
        else:
            filled = queries.new_zeros(count, groups, length, width, head_dim)
            filled[..., :many, :] = split.transpose(1, 2)
            mine = filled.view(count * groups, length * width, head_dim)

        # The first piece has all rows and all queries: a position sees itself or what comes before.
        own_scores: list[torch.Tensor] = []
        for piece, mask in zip(rows.pieces, own_masks, strict=True):
            asked = mine[: piece.rows * groups, piece.first * width :]
            if piece.blocks > 1:
                asked = asked.expand(piece.blocks, *asked.shape).flatten(0, 1)
            keys = self._own_part(rows, layer, 0, piece)
            scores = torch.baddbmm(mask, asked, keys.transpose(1, 2)).view(piece.blocks, -1, asked.shape[1], BLOCK)
            found = scores.amax((0, 3))
            if not own_scores:
                largest = found
            else:
                raised = largest[: scores.shape[1], piece.first * width :]
                torch.maximum(raised, found, out=raised)
            own_scores.append(scores)

        mean = total = None
        if rows.shared:
            mean, total = torch.zeros_like(mine), torch.zeros_like(largest)
            # Of the shape (rows, groups, length, width): what segments and own parts are joined in.
            top = largest.view(count, groups, length, width)
            parts = [
                self._shared_scores(layer, segment, split, top, mask)
                for segment, mask in zip(rows.shared, shared_masks, strict=True)
            ]
            for segment, scores in zip(rows.shared, parts, strict=True):
                self._add_shared(layer, segment, scores, top, mean.view(*top.shape, head_dim), total.view(top.shape))
        for piece, scores in zip(rows.pieces, own_scores, strict=True):
            some, first = scores.shape[1], piece.first * width
            weights = scores.sub_(largest[:some, first:, None]).exp_()
            partial = torch.bmm(weights.flatten(0, 1), self._own_part(rows, layer, 1, piece))
            by_block = zip(
                partial.view(piece.blocks, some, -1, head_dim).unbind(), weights.sum(-1).unbind(), strict=True
            )
            for means, masses in by_block:
                if mean is None or total is None:
                    mean, total = means, masses
                else:
                    mean[:some, first:] += means
                    total[:some, first:] += masses
        assert mean is not None
        assert total is not None
        joined = mean.div_(total[..., None]).view(count, groups, length, width, head_dim)[..., :many, :]
        out.view(count, length, groups, many, head_dim).copy_(joined.transpose(1, 2))

    @staticmethod
    def _own_part(rows: RowSet, layer: int, which: int, piece: Piece) -> torch.Tensor:
        """Keys (0) or values (1) of a piece: (blocks * rows * groups, BLOCK, head_dim), a view."""
        part = rows.own.tensor[layer, which, piece.block : piece.block + piece.blocks, : piece.rows]
        return part.flatten(0, 2)

    def _shared_scores(
        self, layer: int, segment: Segment, split: torch.Tensor, top: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Scores (groups, rows * length * heads of a group, positions); raises the largest scores in ``top``."""
        asked = split if segment.rows is None else split[segment.rows]
        count, length, groups, many, head_dim = asked.shape
        flat = asked.permute(2, 0, 1, 3, 4).reshape(groups, -1, head_dim)
        flat = pad(flat, (0, 0, 0, max(0, LEAST_ROWS - flat.shape[1])))
        pieces = [
            torch.bmm(flat, self._pool.slab(slab)[layer, 0, :, place : place + places].flatten(1, 2).transpose(1, 2))
            for slab, place, places in segment.runs
        ]
        scores = pieces[0] if len(pieces) == 1 else torch.cat(pieces, -1)
        if mask is not None:
            scores[:, : count * length * many] += mask
        found = scores[:, : count * length * many].amax(-1).view(groups, count, length, many).transpose(0, 1)
        if segment.rows is None:
            raised = top[..., :many]
            torch.maximum(raised, found, out=raised)
        else:
            top[segment.rows, :, :, :many] = torch.maximum(top[segment.rows, :, :, :many], found)
        return scores

    def _add_shared(
        self,
        layer: int,
        segment: Segment,
        scores: torch.Tensor,
        top: torch.Tensor,
        mean: torch.Tensor,
        total: torch.Tensor,
    ) -> None:
        """Add a segment's blocks, one after the other, to ``mean`` and ``total``."""
        many = self._heads // self._groups
        rows: slice | torch.Tensor = slice(None) if segment.rows is None else segment.rows
        largest = top[rows, :, :, :many].transpose(0, 1)
        shape, used = largest.shape, largest[0].numel()
        fill = (0, 0, 0, scores.shape[1] - used)
        weights = scores.sub_(pad(largest.reshape(shape[0], used, 1), fill)).exp_()
        masses = weights.view(*weights.shape[:2], -1, BLOCK).sum(-1)
        # Each row's blocks are added one after the other, also where they lie in several segments.
        means = pad(mean[rows, :, :, :many].transpose(0, 1).reshape(shape[0], used, -1), fill)
        sums = pad(total[rows, :, :, :many].transpose(0, 1).reshape(shape[0], used, 1), fill)
        block = 0
        for slab, place, places in segment.runs:
            values = self._pool.slab(slab)[layer, 1]
            for at in range(place, place + places):
                part = weights[:, :, block * BLOCK : (block + 1) * BLOCK]
                means.add_(torch.bmm(part, values[:, at]))
                sums.add_(masses[..., block, None])
                block += 1
        total[rows, :, :, :many] = sums[:, :used].reshape(shape).transpose(0, 1)
        mean[rows, :, :, :many] = means[:, :used].reshape(*shape, -1).transpose(0, 1)
