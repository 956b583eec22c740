"""The rows under way: their places, their own keys and values, and what they share.

Row ``i`` has place ``i`` in `OwnCache`; where a row ends, the last one takes its place, so that all of them lie side
by side. A row's own part begins with the blocks that it does not attend to in the tree. When it has grown to
`OWN_MOST` blocks, they move into the tree, and when the row has ended, all of its text does: whoever goes on from it
finds it there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from educe.lm.completion import Chunk, Sampling, TopLogprob
from educe.lm.engine.attention import OwnCache, RowSet, Segment, segments
from educe.lm.engine.blocks import BLOCK
from educe.lm.engine.policies import DraftPolicy
from educe.lm.engine.prefix import PrefixCache
from educe.lm.engine.requests import Generation
from educe.lm.engine.rows import Row
from educe.lm.engine.sampling import adjusted, draw, most_probable
from educe.lm.engine.tree import Node, OutOfBlocksError

__all__ = ["ActiveRow", "Batch"]

_Draw = tuple[int, float, float, tuple[TopLogprob, ...]]  # token, both log-probabilities, the most probable
OWN_MOST = 6
DRAFT_MOST = 8


@dataclass(eq=False)
class ActiveRow:
    """A row under way.

    Parameters
    ----------
    row : Row
        Its text.
    request : Generation
        Whose it is.
    tokens : list of int
        Of the whole text. Keys and values of all but the last are kept.
    path : list of Node
        Blocks of the tree that it uses, pinned.
    whole : int
        How many of them hold its own text to the end; another row may have written on in the one after.
    trunk : int
        How many of those it attends to in the tree; its own part begins after them.
    draft : sequence of int
        Tokens tried beyond the last one.
    """

    row: Row
    request: Generation
    tokens: list[int]
    path: list[Node]
    whole: int
    trunk: int
    draft: Sequence[int] = ()

    @property
    def length(self) -> int:
        """Positions whose keys and values are kept; the next to be read."""
        return len(self.tokens) - 1


class Batch:
    """All rows under way.

    Parameters
    ----------
    cache : PrefixCache
        What they share, and where their texts go.
    own : callable
        Makes their own part, for a number of rows.
    draft : DraftPolicy
        What is tried beyond the next token.
    max_rows : int
        Most rows.
    spelling : callable
        Gives the bytes of a token.
    """

    def __init__(
        self,
        cache: PrefixCache,
        own: Callable[[int], OwnCache],
        draft: DraftPolicy,
        max_rows: int,
        spelling: Callable[[int], bytes],
    ) -> None:
        self._spelling = spelling
        self._cache, self._draft, self._max_rows = cache, draft, max_rows
        self._own = own(1)
        self._shared: list[Segment] | None = None
        self.rows: list[ActiveRow] = []

    @property
    def free(self) -> int:
        """How many more rows may start."""
        return self._max_rows - len(self.rows)

    def next_positions(self, device: torch.device) -> tuple[torch.Tensor, RowSet]:
        """Return the tokens (rows, length) to be read next, and where. Rows without draft are filled up with zeros."""
        for active in self.rows:
            most = min(DRAFT_MOST, active.row.max_tokens - active.row.drawn - 1)
            if active.request.sampling.adjusts:  # what comes next depends on what was drawn
                most = 0
            active.draft = list(self._draft.propose(active.tokens, most))[:most] if most > 0 else ()
        length = 1 + max(len(active.draft) for active in self.rows)
        tokens = torch.tensor(
            [[active.tokens[-1], *active.draft, *[0] * (length - 1 - len(active.draft))] for active in self.rows]
        )
        shared = self._segments()
        lengths = torch.tensor([active.length for active in self.rows])
        begins = torch.tensor([active.trunk * BLOCK for active in self.rows])
        positions = lengths[:, None] + torch.arange(length)
        return tokens, RowSet(self._own, begins.to(device), positions.to(device), shared)

    def _segments(self) -> list[Segment]:
        """Return what the rows share, anew where rows have come or gone."""
        if self._shared is None:
            for place, active in enumerate(self.rows):
                trunk = self._cache.trunk(active.path[: active.whole])
                if trunk > active.trunk:
                    self._shift(place, trunk)
            self._shared = segments([active.path[: active.trunk] for active in self.rows])
        return self._shared

    def _shift(self, place: int, trunk: int) -> None:
        """Let a row attend to more blocks in the tree, and move the rest of its own part down."""
        active = self.rows[place]
        by = trunk - active.trunk
        for block in range(by, active.length // BLOCK + 1 - active.trunk):
            self._own.view(place, block - by).copy_(self._own.view(place, block))
        active.trunk = trunk

    def advance(self, logits: torch.Tensor) -> list[tuple[Generation, Chunk]]:
        """Draw what follows each position that was read, and keep what a row without draft would have drawn.

        Parameters
        ----------
        logits : Tensor
            (rows * length, vocabulary), as `next_positions` gave them.

        Returns
        -------
        list of (Generation, Chunk)
            What became certain. Rows that have ended are gone.
        """
        length = len(logits) // len(self.rows)
        drawn = self._drawn(logits, [(active.row, active.request, active.tokens) for active in self.rows], length)
        told: list[tuple[Generation, Chunk]] = []
        for place, active in enumerate(self.rows):
            if active.draft:
                told.append((active.request, Chunk(row=active.row.number, draft_tokens=len(active.draft))))
            for at in range(1 + len(active.draft)):
                token = drawn[place * length + at][0]
                active.tokens.append(token)
                chunk = self._add(active.row, active.request, drawn[place * length + at])
                if chunk is not None:
                    told.append((active.request, chunk))
                if active.row.finish is not None or at == len(active.draft) or active.draft[at] != token:
                    break
        for place in range(len(self.rows) - 1, -1, -1):
            active = self.rows[place]
            if active.row.finish is not None:
                active.request.left -= 1
                self.remove(place)
            elif active.length // BLOCK - active.trunk >= OWN_MOST:
                self._move_into_tree(place)
        return told

    def _drawn(
        self, logits: torch.Tensor, rows: Sequence[tuple[Row, Generation, Sequence[int]]], length: int = 1
    ) -> list[_Draw]:
        """Draw ``length`` tokens for each row, given its tokens so far; in one call for all rows that draw alike."""
        laws: dict[Sampling, list[int]] = {}
        for number, (_, request, _) in enumerate(rows):
            laws.setdefault(request.sampling, []).append(number)
        result: list[_Draw] = [(0, 0.0, 0.0, ())] * (len(rows) * length)
        for sampling, members in laws.items():
            each = 1 if sampling.adjusts else length  # such rows have no draft
            places = [number * length + at for number in members for at in range(each)]
            some = logits if len(laws) == 1 and each == length else logits[places]
            seeds = [rows[number][0].seed for number in members for _ in range(each)]
            counters = [rows[number][0].drawn + at for number in members for at in range(each)]
            law = self._law(some, sampling, [rows[number] for number in members]) if sampling.adjusts else None
            columns = draw(some, seeds, counters, sampling, law)
            top = self._top(some, sampling.top_logprobs)
            for at, (place, *values) in enumerate(zip(places, *(column.tolist() for column in columns), strict=True)):
                result[place] = (values[0], values[1], values[2], top[at])
        return result

    @staticmethod
    def _law(
        logits: torch.Tensor, sampling: Sampling, rows: Sequence[tuple[Row, Generation, Sequence[int]]]
    ) -> torch.Tensor:
        """What rows under penalties, bias or constraint are drawn from."""
        prompts = [request.tokens for _, request, _ in rows]
        drawn = [tokens[len(request.tokens) :] for _, request, tokens in rows]
        guides = [request.guides[row.number] for row, request, _ in rows if request.guides]
        return adjusted(logits, sampling, prompts, drawn, guides)

    def _top(self, logits: torch.Tensor, count: int) -> list[tuple[TopLogprob, ...]]:
        """The most probable tokens of each row of logits, with their spellings."""
        if not count:
            return [()] * len(logits)
        tokens, values = (column.tolist() for column in most_probable(logits, count))
        return [
            tuple(TopLogprob(token, self._spelling(token), value) for token, value in zip(*line, strict=True))
            for line in zip(tokens, values, strict=True)
        ]

    @staticmethod
    def _add(row: Row, request: Generation, draw: _Draw) -> Chunk | None:
        """Give a row its next token."""
        if request.guides:
            request.guides[row.number].take(draw[0])
        return row.add(*draw)

    def start(self, new: Sequence[tuple[Generation, Row]]) -> list[tuple[Generation, Chunk]]:
        """Draw the first tokens of new rows and give places to those that go on.

        Parameters
        ----------
        new : sequence of (Generation, Row)
            No more than are `free`; each takes over one pin of its request's path.
        """
        self._own.reserve(rows=min(self._max_rows, 1 << (len(self.rows) + len(new) - 1).bit_length()))
        logits = torch.cat([request.logits for request, _ in new])
        drawn = self._drawn(logits, [(row, request, request.tokens) for request, row in new])
        told: list[tuple[Generation, Chunk]] = []
        for (request, row), found in zip(new, drawn, strict=True):
            chunk = self._add(row, request, found)
            if chunk is not None:
                told.append((request, chunk))
            request.pins -= 1
            if row.finish is not None:
                request.left -= 1
                self._cache.tree.unpin(request.path)
                continue
            whole = len(request.tokens) // BLOCK
            trunk = self._cache.trunk(request.path[:whole])
            self._cache.load(self._own, len(self.rows), request.path[trunk:], len(request.tokens))
            self.rows.append(ActiveRow(row, request, [*request.tokens, found[0]], list(request.path), whole, trunk))
        self._shared = None
        return told

    def _move_into_tree(self, place: int) -> None:
        """Move a row's whole own blocks into the tree, where there is room."""
        active = self.rows[place]
        whole = active.length // BLOCK
        with contextlib.suppress(OutOfBlocksError):
            path = self._cache.store(active.tokens[: whole * BLOCK], self._own, place, active.trunk)
            self._cache.tree.pin(path)
            self._cache.tree.unpin(active.path)
            active.path, active.whole = path, whole
            self._shift(place, whole)
            self._shared = None

    def remove(self, place: int, *, keep: bool = True) -> None:
        """Take a row out, its text into the tree unless told otherwise, and put the last row in its place."""
        active, last = self.rows[place], len(self.rows) - 1
        if keep and self._cache.policy.keeps(active.tokens[: active.length]):
            with contextlib.suppress(OutOfBlocksError):  # a cache full of what is in use keeps nothing more
                self._cache.store(active.tokens[: active.length], self._own, place, active.trunk)
        self._cache.tree.unpin(active.path)
        if place != last:
            moved = self.rows[place] = self.rows[last]
            self._own.move(last, place, moved.length // BLOCK + 1 - moved.trunk)
        self.rows.pop()
        self._shared = None
