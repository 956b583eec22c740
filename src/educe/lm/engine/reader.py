"""Reading texts beside the rows: prompts, texts to score, texts to embed.

Each step reads one piece of a long text or several short texts to their ends, in the order of arrival. A text is read
from where the tree ends, and a text that begins like one that is just being read waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch

from educe.lm.engine.attention import OwnCache, RowSet, segments
from educe.lm.engine.blocks import BLOCK
from educe.lm.engine.model import Llama
from educe.lm.engine.prefix import PrefixCache
from educe.lm.engine.requests import READ_AT_ONCE, Embedding, Generation, Reading, Scoring
from educe.lm.engine.tree import Match, Node, OutOfBlocksError, common

__all__ = ["Job", "Reader"]

READ_ALONE = 1024  # positions read in a step where no row waits
LOGITS_AT_ONCE = 128


class Job(NamedTuple):
    """What is read in a step: texts, where each goes on, how many positions of each."""

    readings: list[Reading]
    starts: list[int]
    counts: list[int]
    rows: RowSet

    def tokens(self) -> torch.Tensor:
        """Return the tokens (texts, positions), filled up with zeros."""
        return torch.tensor(
            [
                [*reading.tokens[start : start + count], *[0] * (self.rows.length - count)]
                for reading, start, count in zip(self.readings, self.starts, self.counts, strict=True)
            ]
        )

    def last_wanted(self) -> list[tuple[int, int]]:
        """Return the places of the prompts that are read to their ends, with the place of the last position."""
        return [
            (place, count - 1)
            for place, (reading, start, count) in enumerate(zip(self.readings, self.starts, self.counts, strict=True))
            if isinstance(reading.request, Generation) and start + count == len(reading.tokens)
        ]


class Reader:
    """The texts that wait to be read.

    Parameters
    ----------
    model : Llama
        Computes logits for texts to score.
    cache : PrefixCache
        Where texts are found and kept.
    workspace : callable
        Makes the own part of the texts that are being read, for a number of rows.
    max_texts : int
        Most texts read in a step.
    """

    def __init__(self, model: Llama, cache: PrefixCache, workspace: Callable[[int], OwnCache], max_texts: int) -> None:
        self._model, self._cache, self._tree = model, cache, cache.tree
        self._new_workspace, self._max_texts = workspace, max_texts
        self._workspace = workspace(1)
        self.waiting: deque[Reading] = deque()

    def add(self, *readings: Reading) -> None:
        """Take texts to be read."""
        for reading in readings:
            reading.request.readings.append(reading)
        self.waiting.extend(readings)

    def drop(self, reading: Reading) -> None:
        """Forget a text, read or not; its blocks stay pinned."""
        self.waiting.remove(reading)
        reading.request.readings.remove(reading)

    def rest(self) -> None:
        """Give memory back while there is nothing to do."""
        self._workspace = self._new_workspace(1)

    def choose(self, *, beside_rows: bool) -> tuple[list[Reading], Job | None]:
        """Choose what to read in the next step.

        Parameters
        ----------
        beside_rows : bool
            Whether rows are under way or about to be: they are not held up for long, and they may free blocks.

        Returns
        -------
        tuple of list of Reading and Job or None
            Texts of which nothing has to be read, and what to read.

        Raises
        ------
        OutOfBlocksError
            The first text does not fit into the cache, and nothing under way can make room.
        """
        budget = READ_AT_ONCE if beside_rows else READ_ALONE
        chosen: list[Reading] = []
        refused: OutOfBlocksError | None = None
        longest = 0
        for reading in list(self.waiting):
            # What waits behind one that finds no room may free some, if it holds blocks itself.
            if refused is not None and not (reading.begun or reading.request.pins):
                continue
            found = None if reading.begun else self._tree.match(reading.tokens[: reading.needed])
            done = reading.done if found is None else found.length
            left = len(reading.tokens) - done
            if chosen:
                if max(longest, left) * (len(chosen) + 1) > budget or len(chosen) == self._max_texts:
                    break
                if reading.keep and any(other.keep and common(reading.tokens, other.tokens) > done for other in chosen):
                    continue
            if found is not None and (lack := self._begin(reading, found)) is not None:
                if chosen or beside_rows:
                    break
                refused = refused or lack
                continue
            chosen.append(reading)
            longest = max(longest, left)
            if left > budget:
                break
        if refused is not None and not chosen:
            raise refused
        unread = [reading for reading in chosen if len(reading.tokens) > reading.done]
        whole = [reading for reading in chosen if len(reading.tokens) == reading.done]
        return whole, self._job(unread, budget) if unread else None

    def _begin(self, reading: Reading, found: Match) -> OutOfBlocksError | None:
        """Pin what the tree has of a text; where there is no room for the rest, let go and return what is lacking."""
        pinned = found.path if found.partial is None else [*found.path, found.partial]
        self._tree.pin(pinned)
        missing = _missing(reading, found.path)
        promised = sum(_missing(other, other.path) for other in self.waiting if other.begun)
        if missing + promised <= self._tree.available:
            reading.path, reading.partial, reading.done = found.path, found.partial, found.length
            reading.begun, reading.cached = True, found.length
            return None
        self._tree.unpin(pinned)
        return OutOfBlocksError(
            f"A text of {len(reading.tokens)} tokens needs {missing} blocks of the cache, which has "
            f"{self._tree.available} of {self._cache.pool.capacity} to give. Load the model with a larger cache_bytes."
        )

    def _job(self, chosen: list[Reading], budget: int) -> Job:
        starts = [reading.done for reading in chosen]
        counts = [len(reading.tokens) - reading.done for reading in chosen]
        if counts[0] > budget:
            # A piece ends with a block, so that the next begins with an empty own part.
            counts = [(starts[0] + budget) // BLOCK * BLOCK - starts[0]]
        self._workspace.reserve(rows=len(chosen))
        trunks = []
        for place, reading in enumerate(chosen):
            trunk = len(reading.path) if len(chosen) == 1 else self._cache.trunk(reading.path)
            trunks.append(reading.path[:trunk])
            self._cache.load(self._workspace, place, [*reading.path[trunk:], reading.partial], starts[place])
        positions = torch.tensor(starts)[:, None] + torch.arange(max(counts))
        begins = torch.tensor([len(trunk) * BLOCK for trunk in trunks])
        device = self._model.device
        return Job(
            chosen, starts, counts, RowSet(self._workspace, begins.to(device), positions.to(device), segments(trunks))
        )

    def take(self, job: Job, hidden: torch.Tensor) -> tuple[list[Reading], list[tuple[Reading, OutOfBlocksError]]]:
        """Keep what was read and take what it was read for.

        Parameters
        ----------
        job : Job
            What was read.
        hidden : Tensor
            (texts, positions, width).

        Returns
        -------
        tuple of list of Reading and list of (Reading, error)
            Texts that have been read to their ends, and those that the cache has no room for.
        """
        self._take_logprobs(job, hidden)
        whole: list[Reading] = []
        failed: list[tuple[Reading, OutOfBlocksError]] = []
        for place, (reading, start, count) in enumerate(zip(job.readings, job.starts, job.counts, strict=True)):
            request = reading.request
            if isinstance(request, Embedding):
                for begin in range(0, count, BLOCK):  # by the block, so that the sum is the same in pieces of any size
                    request.total = request.total + hidden[place, begin : min(begin + BLOCK, count)].sum(0)
            reading.done = start + count
            if reading.keep:
                try:
                    self._keep(reading, place, int(job.rows.begins[place]) // BLOCK)
                except OutOfBlocksError as error:
                    failed.append((reading, error))
                    continue
            if reading.done == len(reading.tokens):
                whole.append(reading)
        return whole, failed

    def _keep(self, reading: Reading, place: int, trunk: int) -> None:
        path = self._cache.store(reading.tokens[: reading.done], self._workspace, place, trunk)
        self._tree.pin(path)
        self._tree.unpin(reading.pinned)
        whole = reading.done // BLOCK
        reading.path, reading.partial = path[:whole], path[whole] if len(path) > whole else None

    def _take_logprobs(self, job: Job, hidden: torch.Tensor) -> None:
        """Give scored texts the log-probabilities of the tokens after the positions just read."""
        wanted: list[tuple[int, int, int]] = []
        targets: list[list[float]] = []
        for place, (reading, start, count) in enumerate(zip(job.readings, job.starts, job.counts, strict=True)):
            request = reading.request
            if isinstance(request, Scoring) and reading.tokens is not request.prompt:
                first = max(start, request.firsts[reading.number] - 1)
                last = min(start + count, len(reading.tokens) - 1)
                wanted += [(place, at - start, reading.tokens[at + 1]) for at in range(first, last)]
                targets += [request.logprobs[reading.number]] * (last - first)
        for begin in range(0, len(wanted), LOGITS_AT_ONCE):
            some = torch.tensor(wanted[begin : begin + LOGITS_AT_ONCE], device=hidden.device)
            logprobs = self._model.logits(hidden[some[:, 0], some[:, 1]]).log_softmax(-1)
            found = logprobs.gather(-1, some[:, 2:])[:, 0].tolist()
            for values, value in zip(targets[begin:], found, strict=False):
                values.append(value)


def _missing(reading: Reading, path: list[Node]) -> int:
    """Blocks that the rest of a text will take."""
    return -(-len(reading.tokens) // BLOCK) - len(path) if reading.keep else 0
