"""The engine's one thread: which positions of which requests are computed in the next step.

A step computes, in one pass through the layers, the next token of every row under way and beside it some positions of
texts that have to be read first (prompts, texts to score or embed). Rows join when their prompt has been read and leave
when they end, at any step; a long text is read in pieces, so that it does not hold up the rows. Texts are read in the
order of arrival and only from where the prefix tree ends; rows start in turns, one of each request.

What a request asks for never depends on what is computed beside it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from educe.core.errors import BackendError, EduceError
from educe.lm.completion import Chunk, Sampling
from educe.lm.engine.attention import OwnCache, RowSet, Segment, StepAttention, segments
from educe.lm.engine.blocks import BLOCK, BlockPool
from educe.lm.engine.model import Llama
from educe.lm.engine.policies import Policies
from educe.lm.engine.rows import Row
from educe.lm.engine.sampling import draw
from educe.lm.engine.tree import Match, Node, OutOfBlocks, PrefixTree

__all__ = ["BusyError", "Embedding", "Generation", "Request", "Scheduler", "Scoring"]

READ_BESIDE, READ_ALONE = 256, 1024  # positions read in a step beside rows, and where no row waits
LOGITS_AT_ONCE = 128
OWN_BLOCKS = 4  # whole blocks that a row copies rather than attends to in the tree for itself alone
OWN_MOST = 6  # own blocks at which a row moves them into the tree
WORTH = 8  # rows times blocks from which on attending once for all is faster than a copy for each
DRAFT_MOST = 8


class BusyError(BackendError):
    """The engine has as many requests as it takes; ask again when some have ended."""


class Request:
    """What a client waits for; made in its event loop, served by the engine's thread."""

    def __init__(self) -> None:
        self._loop, self._queue = asyncio.get_running_loop(), asyncio.Queue[Any]()
        self.cancelled = False
        self.readings: list[Reading] = []  # what is still to be read
        self.path: list[Node] = []  # blocks of the tree that it needs, pinned
        self.pins = 0  # how many times

    def read_first(self) -> Reading:
        """Return what has to be read at the beginning."""
        raise NotImplementedError

    def deliver(self, item: object) -> None:
        """Hand something to the client: a list, an exception, or None at the end."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the client's loop is closed
            self.cancelled = True

    async def items(self) -> AsyncIterator[Any]:
        """Yield what is delivered."""
        while (items := await self._queue.get()) is not None:
            if isinstance(items, BaseException):
                raise items
            for item in items:
                yield item


@dataclass(eq=False)
class Reading:
    """A text to be read.

    ``needed`` is the first position whose hidden state is wanted; what comes before may be taken from the tree.
    ``keep`` puts the text into the tree.
    """

    request: Request
    tokens: Sequence[int]
    needed: int
    keep: bool = True
    number: int = 0  # its place in the request
    path: list[Node] = field(default_factory=list)  # whole blocks that have been read, pinned
    partial: Node | None = None  # pinned too
    done: int = 0  # positions that have been read
    cached: int = 0  # positions that the tree had at the beginning
    begun: bool = False


class Generation(Request):
    """Rows to be drawn after a prompt."""

    def __init__(self, tokens: list[int], rows: list[Row], sampling: Sampling) -> None:
        super().__init__()
        self.tokens, self.sampling = tokens, sampling
        self.waiting, self.left = deque(rows), len(rows)
        self.logits = torch.empty(0)  # (1, vocabulary): what every row's first token is drawn from

    def read_first(self) -> Reading:
        """Read the prompt; the last position has to be computed even where the tree has it."""
        return Reading(self, self.tokens, len(self.tokens) - 1)


class Scoring(Request):
    """Texts whose log-probabilities are wanted, all after the same prompt.

    Parameters
    ----------
    prompt : list of int
        Read first, for all.
    texts : list of list of int
        Each from its beginning, prompt included.
    firsts : list of int
        First position of each text whose log-probability is wanted, >= 1.
    """

    def __init__(self, prompt: list[int], texts: list[list[int]], firsts: list[int]) -> None:
        super().__init__()
        self.prompt, self.texts, self.firsts = prompt, texts, firsts
        self.logprobs: list[list[float]] = [[] for _ in texts]
        self.cached = 0

    def read_first(self) -> Reading:
        """Read the prompt; nothing of it is wanted but that the tree has it."""
        return Reading(self, self.prompt, len(self.prompt))


class Embedding(Request):
    """A text whose mean hidden state is wanted."""

    def __init__(self, tokens: list[int]) -> None:
        super().__init__()
        self.tokens, self.total = tokens, torch.zeros(())

    def read_first(self) -> Reading:
        """Read the text from its beginning."""
        return Reading(self, self.tokens, 0, keep=len(self.tokens) > READ_BESIDE)


@dataclass(eq=False)
class _Active:
    """A row under way."""

    row: Row
    request: Generation
    tokens: list[int]  # of the whole text; keys and values of all but the last are kept
    path: list[Node]  # pinned
    whole: int  # blocks of the path that are its own text to the end; another may have written on in the one after
    trunk: int  # of these, how many it attends to in the tree; its own part begins after them
    draft: Sequence[int] = ()


class _Job(NamedTuple):
    """What is read in a step: texts, where each goes on, and how many positions each."""

    readings: list[Reading]
    starts: list[int]
    counts: list[int]
    rows: RowSet


class Scheduler:
    """The thread and all that it owns.

    Parameters
    ----------
    model : Llama
        The decoder.
    pool : BlockPool
        Memory of the prefix tree.
    max_rows, max_requests : int
        Most rows computed together; most requests that have not ended.
    policies : Policies
        See there.
    name : str
        The model's name, for messages.
    """

    def __init__(
        self, model: Llama, pool: BlockPool, *, max_rows: int, max_requests: int, policies: Policies, name: str
    ) -> None:
        self.model, self.pool, self.policies, self.name = model, pool, policies, name
        self.tree = PrefixTree(pool, policies.cache)
        self._max_rows, self._max_requests = max_rows, max_requests
        self._inbox: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._lock, self._open, self._closed = threading.Lock(), 0, False
        self._thread: threading.Thread | None = None
        self._requests: set[Request] = set()
        self._readings: deque[Reading] = deque()
        self._starting: deque[Generation] = deque()
        self._active: list[_Active] = []
        self._own = self._cache(1)
        self._workspace = self._cache(1)
        self._lengths = np.zeros(max_rows, np.int64)  # position of each row's last token, the next to be read
        self._shared: list[Segment] | None = None

    def _cache(self, rows: int) -> OwnCache:
        config = self.model.config
        return OwnCache(config.layers, config.key_value_heads, config.head_dim, rows, str(self.model.device))

    # --- for clients, from any thread ---

    def submit(self, request: Request) -> None:
        """Take a request.

        Raises
        ------
        BusyError
            There are too many already.
        BackendError
            The engine is closed.
        """
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if self._open >= self._max_requests:
                raise BusyError(
                    f"The model {self.name!r} is busy with {self._open} requests, the most it takes. "
                    "Ask again later, or load it with a larger max_requests."
                )
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="educe-worker", daemon=True)
                self._thread.start()
        self._inbox.put(request)

    def cancel(self, request: Request) -> None:
        """Give up a request: within one step nothing of it is computed any more."""
        request.cancelled = True
        self._inbox.put(None)

    def stop(self) -> None:
        """Take nothing more, and end what runs within one step."""
        with self._lock:
            self._closed = True
        self._inbox.put(None)

    def join(self) -> None:
        """Wait for the thread to end."""
        if self._thread is not None:
            self._thread.join()

    def _closed_error(self) -> BackendError:
        return BackendError(f"The model {self.name!r} is closed. Load it again.")

    # --- the thread ---

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            self._receive()
            if self._closed:
                break
            for request in [request for request in self._requests if request.cancelled]:
                self._end(request, None)
            job: _Job | None = None
            try:
                job = self._choose()
                if job is not None or self._active or self._starting:
                    self._step(job)
            except Exception as error:
                # Whatever was computed together may be half done: all of it fails, and the rest goes on.
                for request in {row.request for row in self._active} | set(self._starting) | _requests_of(job):
                    self._end(request, error)
                if job is None and not self._active and not self._starting and self._readings:
                    self._end(self._readings[0].request, error)
        with self._lock:
            while not self._inbox.empty():
                late = self._inbox.get()
                self._requests |= {late} - {None}
        for request in list(self._requests):
            self._end(request, self._closed_error())

    def _receive(self) -> None:
        """Take in new requests; wait for one where there is nothing to do."""
        idle = not self._requests
        if idle:
            self._workspace = self._cache(1)
        while (idle or not self._inbox.empty()) and not self._closed:
            request = self._inbox.get()
            idle = False
            if request is not None and not request.cancelled:
                self._requests.add(request)
                self._queue(request.read_first())
            elif request is not None:
                self._open_one_less()

    def _open_one_less(self) -> None:
        with self._lock:
            self._open -= 1

    def _queue(self, *readings: Reading) -> None:
        for reading in readings:
            reading.request.readings.append(reading)
        self._readings.extend(readings)

    def _end(self, request: Request, error: BaseException | None) -> None:
        """Free what a request holds and tell the client how it ended."""
        if request not in self._requests:
            return
        self._requests.discard(request)
        if error is not None:
            if not isinstance(error, EduceError):
                cause = error
                error = BackendError(f"The model {self.name!r} failed: {cause}. Try fewer rows or a shorter prompt.")
                error.__cause__ = cause
            request.deliver(error)
        for place in range(len(self._active) - 1, -1, -1):
            if self._active[place].request is request:
                self._drop(place, keep=error is None)
        for reading in request.readings:
            self.tree.unpin(_pinned(reading))
            if reading in self._readings:
                self._readings.remove(reading)
        for _ in range(request.pins):
            self.tree.unpin(request.path)
        request.readings, request.path, request.pins = [], [], 0
        if isinstance(request, Generation) and request in self._starting:
            self._starting.remove(request)
        self._open_one_less()

    # --- reading ---

    def _choose(self) -> _Job | None:
        """Choose what to read in the next step: one long text, or several that can be read to their ends."""
        budget = READ_BESIDE if self._active or self._starting else READ_ALONE
        chosen: list[Reading] = []
        longest = 0
        for reading in list(self._readings):
            found = None if reading.begun else self.tree.match(reading.tokens[: reading.needed])
            done = reading.done if found is None else found.length
            left = len(reading.tokens) - done
            if chosen:
                most = max(longest, left) * (len(chosen) + 1)
                if most > budget or len(chosen) == self._max_rows or chosen[0].begun:
                    break
                if reading.keep and any(
                    other.keep and _common(reading.tokens, other.tokens) > done for other in chosen
                ):
                    continue  # the other reads what this one needs
            if found is not None and not self._begin(reading, found, alone=not chosen):
                break
            chosen.append(reading)
            longest = max(longest, left)
            if left > budget:
                break
        finished = [reading for reading in chosen if len(reading.tokens) == reading.done]
        for reading in finished:
            self._read(reading)
        chosen = [reading for reading in chosen if len(reading.tokens) > reading.done]
        return self._job(chosen, budget) if chosen else None

    def _begin(self, reading: Reading, found: Match, *, alone: bool) -> bool:
        """Pin what the tree has of a text, if there is room for the rest."""
        pinned = found.path if found.partial is None else [*found.path, found.partial]
        self.tree.pin(pinned)
        missing = -(-len(reading.tokens) // BLOCK) - len(found.path) if reading.keep else 0
        if missing <= self.tree.available:
            reading.path, reading.partial, reading.done = found.path, found.partial, found.length
            reading.begun, reading.cached = True, found.length
            return True
        self.tree.unpin(pinned)
        if alone and not self._active and not self._starting:
            raise OutOfBlocks(
                f"A text of {len(reading.tokens)} tokens needs {missing} blocks of the cache, which has "
                f"{self.tree.available} of {self.pool.capacity} to give. Load the model with a larger cache_bytes."
            )
        return False

    def _job(self, chosen: list[Reading], budget: int) -> _Job:
        starts = [reading.done for reading in chosen]
        counts = [len(reading.tokens) - reading.done for reading in chosen]
        if counts[0] > budget:
            counts = [(starts[0] + budget) // BLOCK * BLOCK - starts[0]]
        self._workspace.grow(len(chosen))
        trunks = []
        for place, reading in enumerate(chosen):
            trunk = len(reading.path) if len(chosen) == 1 else self._trunk(reading.path)
            trunks.append(reading.path[:trunk])
            self._load(self._workspace, place, [*reading.path[trunk:], reading.partial], starts[place])
        positions = torch.tensor(starts)[:, None] + torch.arange(max(counts))
        begins = torch.tensor([len(trunk) * BLOCK for trunk in trunks])
        device = self.model.device
        rows = RowSet(self._workspace, begins.to(device), positions.to(device), segments(trunks))
        return _Job(chosen, starts, counts, rows)

    def _trunk(self, path: Sequence[Node]) -> int:
        """How many blocks of a path to attend to in the tree, rather than in a copy of one's own."""
        trunk = 0
        while trunk < len(path):
            users, end = path[trunk].pins, trunk + 1
            while end < len(path) and path[end].pins == users:
                end += 1
            if users < 2 or users * (end - trunk) < WORTH:
                break
            trunk = end
        return max(trunk, len(path) - OWN_BLOCKS)

    def _load(self, own: OwnCache, row: int, nodes: Sequence[Node | None], length: int) -> None:
        """Copy blocks of the tree to a row's own part; the last may be in part what the row of that length has."""
        for number, node in enumerate(nodes):
            if node is not None:
                count = min(len(node.tokens), length - node.depth * BLOCK)
                own.view(row, number)[..., :count, :] = self.pool.view(node.block)[..., :count, :]

    def _store(self, tokens: Sequence[int], own: OwnCache, row: int, trunk: int) -> list[Node]:
        """Put a text into the tree, its own part from the given row; return its blocks."""
        path, writes = self.tree.insert(tokens)
        for node, start, stop in writes:
            block = own.view(row, node.depth - trunk)
            self.pool.view(node.block)[..., start:stop, :] = block[..., start:stop, :]
        return path

    def _after_reading(self, job: _Job, hidden: torch.Tensor, last_logits: dict[int, torch.Tensor]) -> None:
        """Take what the texts of a job were read for."""
        self._take_logprobs(job, hidden)
        for place, (reading, start, count) in enumerate(zip(job.readings, job.starts, job.counts, strict=True)):
            request, states = reading.request, hidden[place, :count]
            if isinstance(request, Embedding):
                for begin in range(0, count, BLOCK):  # by the block, so that the sum is the same in pieces of any size
                    request.total = request.total + states[begin : begin + BLOCK].sum(0)
            if isinstance(request, Generation) and place in last_logits:
                request.logits = last_logits[place]
            reading.done = start + count
            if request not in self._requests:
                continue
            if reading.keep:
                trunk = int(job.rows.begins[place]) // BLOCK
                try:
                    path = self._store(reading.tokens[: reading.done], self._workspace, place, trunk)
                except OutOfBlocks as error:
                    self._end(request, error)
                    continue
                self.tree.pin(path)
                self.tree.unpin(_pinned(reading))
                whole = reading.done // BLOCK
                reading.path, reading.partial = path[:whole], path[whole] if len(path) > whole else None
            if reading.done == len(reading.tokens):
                self._read(reading)

    def _take_logprobs(self, job: _Job, hidden: torch.Tensor) -> None:
        """Give scored texts the log-probabilities of the tokens after the positions just read."""
        wanted: list[tuple[int, int, int, list[float]]] = []
        for place, (reading, start, count) in enumerate(zip(job.readings, job.starts, job.counts, strict=True)):
            request = reading.request
            if isinstance(request, Scoring) and reading.tokens is not request.prompt:
                values, first = request.logprobs[reading.number], request.firsts[reading.number]
                for position in range(max(start, first - 1), min(start + count, len(reading.tokens) - 1)):
                    wanted.append((place, position - start, reading.tokens[position + 1], values))
        for begin in range(0, len(wanted), LOGITS_AT_ONCE):
            some = wanted[begin : begin + LOGITS_AT_ONCE]
            places, offsets, tokens = torch.tensor([item[:3] for item in some], device=hidden.device).unbind(1)
            logprobs = self.model.logits(hidden[places, offsets]).log_softmax(-1)
            found = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
            for (_, _, _, values), value in zip(some, found, strict=True):
                values.append(value)

    def _read(self, reading: Reading) -> None:
        """Go on with a request one of whose texts has been read to its end."""
        request = reading.request
        self._readings.remove(reading)
        request.readings.remove(reading)
        if isinstance(request, Generation):
            request.path, request.pins = _pinned(reading), request.left
            self.tree.pin(request.path, request.left - 1)
            request.deliver([Chunk(row=0, prompt_tokens=len(request.tokens), cached_tokens=reading.cached)])
            self._starting.append(request)
        elif isinstance(request, Scoring) and reading.tokens is request.prompt:
            request.path, request.pins, request.cached = _pinned(reading), 1, reading.cached
            order = sorted(range(len(request.texts)), key=lambda number: len(request.texts[number]))
            self._queue(
                *(
                    Reading(
                        request,
                        request.texts[number],
                        request.firsts[number] - 1,
                        keep=len(request.texts[number]) - request.firsts[number] >= READ_BESIDE,
                        number=number,
                    )
                    for number in order
                )
            )
            if not order:
                self._end_well(request, [])
        else:
            self.tree.unpin(_pinned(reading))
            if isinstance(request, Scoring) and not request.readings:
                self._end_well(request, [(request.logprobs, request.cached)])
            elif isinstance(request, Embedding):
                mean = request.total / len(request.tokens)
                self._end_well(request, [(mean / mean.norm()).tolist()])

    def _end_well(self, request: Request, items: list[Any]) -> None:
        request.deliver(items)
        request.deliver(None)
        self._end(request, None)

    # --- rows ---

    def _step(self, job: _Job | None) -> None:
        """One pass through the layers, then the draws."""
        chunks: dict[Generation, list[Chunk]] = {}
        if job is not None or self._active:
            states, read = self._forward(job)
            wanted = [] if job is None else _last_wanted(job)
            last = [read[place, count - 1] for place, count in wanted]
            # One product with the output matrix for the rows and for the prompts that have just been read.
            if len(states) or last:
                logits = self.model.logits(torch.cat([states, *(state[None] for state in last)]))
                if len(states):
                    self._advance(logits[: len(states)].cpu(), chunks)
                last_logits = logits[len(states) :].cpu()
            if job is not None:
                numbered = {place: last_logits[i : i + 1].clone() for i, (place, _) in enumerate(wanted)}
                self._after_reading(job, read, numbered)
        self._start_rows(chunks)
        for request, items in chunks.items():
            if items:
                request.deliver(items)
            if not request.left:
                request.deliver(None)
                self._end(request, None)

    def _forward(self, job: _Job | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states of the rows (rows * length, width) and of what is read (texts, length, width)."""
        sets, tokens, positions = list[RowSet](), list[torch.Tensor](), list[torch.Tensor]()
        device, count = self.model.device, len(self._active)
        if self._active:
            self._propose()
            length = 1 + max(len(active.draft) for active in self._active)
            ids = torch.tensor([_filled([active.tokens[-1], *active.draft], length) for active in self._active])
            at = torch.from_numpy(self._lengths[:count].copy())[:, None] + torch.arange(length)
            begins = torch.tensor([active.trunk * BLOCK for active in self._active])
            sets.append(RowSet(self._own, begins.to(device), at.to(device), self._segments()))
            tokens.append(ids.flatten())
            positions.append(at.flatten())
        if job is not None:
            length = job.rows.length
            ids = torch.tensor(
                [
                    _filled(reading.tokens[start : start + number], length)
                    for reading, start, number in zip(job.readings, job.starts, job.counts, strict=True)
                ]
            )
            sets.append(job.rows)
            tokens.append(ids.flatten())
            positions.append(job.rows.positions.flatten().cpu())
        config = self.model.config
        attention = StepAttention(
            self.pool, config.heads, config.key_value_heads, config.head_dim, sets, self.policies.attention
        )
        hidden = self.model.hidden(torch.cat(tokens).to(device), torch.cat(positions).to(device), attention)
        drawn = sets[0].rows * sets[0].length if self._active else 0
        read = hidden[drawn:]
        return hidden[:drawn], read.view(*job.rows.positions.shape, -1) if job is not None else read

    def _segments(self) -> list[Segment]:
        """Return what the rows share, anew where rows have come or gone."""
        if self._shared is None:
            for place, active in enumerate(self._active):
                trunk = self._trunk(active.path[: active.whole])
                if trunk > active.trunk:
                    self._shift(place, trunk)
            self._shared = segments([active.path[: active.trunk] for active in self._active])
        return self._shared

    def _shift(self, place: int, trunk: int) -> None:
        """Let a row attend to more blocks in the tree, and move its own part down."""
        active = self._active[place]
        own_blocks = int(self._lengths[place]) // BLOCK + 1 - active.trunk
        for block in range(trunk - active.trunk, own_blocks):
            self._own.view(place, block - (trunk - active.trunk)).copy_(self._own.view(place, block))
        active.trunk = trunk

    def _propose(self) -> None:
        """Ask the draft policy for each row; never beyond the tokens that the row may still have."""
        for active in self._active:
            most = min(DRAFT_MOST, active.row.max_tokens - active.row.drawn - 1)
            active.draft = list(self.policies.draft.propose(active.tokens, most))[:most] if most > 0 else ()

    def _advance(self, logits: torch.Tensor, chunks: dict[Generation, list[Chunk]]) -> None:
        """Draw what follows each position that was read, and keep what a row without draft would have drawn."""
        length = len(logits) // len(self._active)
        drawn = self._draw(logits, [(active.row, active.request.sampling) for active in self._active], length)
        for place, active in enumerate(self._active):
            told = chunks.setdefault(active.request, [])
            for at in range(1 + len(active.draft)):
                token, logprob, law = drawn[place * length + at]
                active.tokens.append(token)
                self._lengths[place] += 1
                chunk = active.row.add(token, logprob, law)
                if chunk is not None:
                    told.append(chunk)
                if active.row.finish is not None or at >= len(active.draft) or active.draft[at] != token:
                    break
        for place in range(len(self._active) - 1, -1, -1):
            active = self._active[place]
            if active.row.finish is not None:
                active.request.left -= 1
                self._drop(place, keep=True)
            elif int(self._lengths[place]) // BLOCK - active.trunk >= OWN_MOST:
                self._move_into_tree(place)

    def _draw(
        self, logits: torch.Tensor, rows: Sequence[tuple[Row, Sampling]], length: int = 1
    ) -> list[tuple[int, float, float]]:
        """Draw ``length`` tokens for each row, one call for all rows that draw alike."""
        laws: dict[Sampling, list[int]] = {}
        for number, (_, sampling) in enumerate(rows):
            laws.setdefault(sampling, []).append(number)
        result: list[tuple[int, float, float]] = [(0, 0.0, 0.0)] * (len(rows) * length)
        for sampling, members in laws.items():
            places = [number * length + at for number in members for at in range(length)]
            some = logits if len(laws) == 1 else logits[places]
            seeds = [rows[number][0].seed for number in members for _ in range(length)]
            at = [rows[number][0].drawn + step for number in members for step in range(length)]
            columns = draw(some, seeds, at, sampling)
            for place, *values in zip(places, *(column.tolist() for column in columns), strict=True):
                result[place] = (values[0], values[1], values[2])
        return result

    def _start_rows(self, chunks: dict[Generation, list[Chunk]]) -> None:
        """Let rows take the free places, one of each request in turn, and draw their first tokens."""
        while self._starting and len(self._active) < self._max_rows:
            new: list[tuple[Generation, Row]] = []
            while self._starting and len(self._active) + len(new) < self._max_rows:
                request = self._starting.popleft()
                new.append((request, request.waiting.popleft()))
                if request.waiting:
                    self._starting.append(request)
            self._own.grow(min(self._max_rows, 1 << (len(self._active) + len(new) - 1).bit_length()))
            logits = torch.cat([request.logits for request, _ in new])
            drawn = self._draw(logits, [(row, request.sampling) for request, row in new])
            for (request, row), (token, logprob, law) in zip(new, drawn, strict=True):
                told = chunks.setdefault(request, [])
                chunk = row.add(token, logprob, law)
                told += [chunk] if chunk is not None else []
                request.pins -= 1
                if row.finish is not None:
                    request.left -= 1
                    self.tree.unpin(request.path)
                else:
                    self._place(request, row, token)

    def _place(self, request: Generation, row: Row, token: int) -> None:
        """Give a row its place and its own part of the prompt."""
        length, place = len(request.tokens), len(self._active)
        whole = length // BLOCK
        trunk = self._trunk(request.path[:whole])
        self._load(self._own, place, request.path[trunk:], length)
        self._active.append(_Active(row, request, [*request.tokens, token], list(request.path), whole, trunk))
        self._lengths[place] = length
        self._shared = None

    def _move_into_tree(self, place: int) -> None:
        """Move a row's whole own blocks into the tree, where there is room."""
        active, length = self._active[place], int(self._lengths[place])
        whole = length // BLOCK
        try:
            path = self._store(active.tokens[: whole * BLOCK], self._own, place, active.trunk)
        except OutOfBlocks:
            return
        self.tree.pin(path)
        self.tree.unpin(active.path)
        active.path, active.whole = path, whole
        self._shift(place, whole)
        self._shared = None

    def _drop(self, place: int, *, keep: bool) -> None:
        """Take a row out, its text into the tree, and fill its place with the last row."""
        active, last = self._active[place], len(self._active) - 1
        length = int(self._lengths[place])
        if keep and self.policies.cache.keeps(active.tokens[:length]):
            try:
                self._store(active.tokens[:length], self._own, place, active.trunk)
            except OutOfBlocks:
                pass  # a cache that is full of what is in use keeps nothing more
        self.tree.unpin(active.path)
        if place != last:
            moved = self._active[last]
            self._own.move(last, place, int(self._lengths[last]) // BLOCK + 1 - moved.trunk)
            self._active[place], self._lengths[place] = moved, self._lengths[last]
        self._active.pop()
        self._shared = None


def _pinned(reading: Reading) -> list[Node]:
    return reading.path if reading.partial is None else [*reading.path, reading.partial]


def _requests_of(job: _Job | None) -> set[Request]:
    return set() if job is None else {reading.request for reading in job.readings}


def _last_wanted(job: _Job) -> Iterator[tuple[int, int]] | list[tuple[int, int]]:
    """Places of the prompts that are read to their ends, with the number of positions read."""
    return [
        (place, count)
        for place, (reading, start, count) in enumerate(zip(job.readings, job.starts, job.counts, strict=True))
        if isinstance(reading.request, Generation) and start + count == len(reading.tokens)
    ]


def _filled(tokens: Sequence[int], length: int) -> list[int]:
    return [*tokens, *[0] * (length - len(tokens))]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
