"""The engine's one thread: which positions of which requests are computed in the next step.

A step computes, in one pass through the layers, the next token of every row under way and beside it some positions
of texts that have to be read first (prompts, texts to score or embed). Rows join when their prompt has been read and
leave when they end, at any step; a long text is read in pieces, so that it does not hold up the rows. Rows start in
turns, one of each request. What a request gets never depends on what is computed beside it.
"""

from __future__ import annotations

import atexit
import ctypes
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from educe.core.errors import BackendError, EduceError
from educe.lm.completion import Chunk
from educe.lm.engine.attention import OwnCache, RowSet, StepAttention
from educe.lm.engine.batch import Batch
from educe.lm.engine.blocks import BlockPool
from educe.lm.engine.model import Llama
from educe.lm.engine.policies import Policies
from educe.lm.engine.prefix import PrefixCache
from educe.lm.engine.reader import Job, Reader
from educe.lm.engine.requests import BusyError, Embedding, Generation, Reading, Request, Scoring
from educe.lm.engine.rows import Row

__all__ = ["Scheduler"]

EXIT_SECONDS = 10.0  # that the end of the process waits for a step
REST_EVERY = 256  # steps after which an idle engine gives memory back: it takes some milliseconds


_RUNNING: weakref.WeakSet[Scheduler] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """End the threads before the interpreter does: one that is stopped inside a kernel takes the process down."""
    running = list(_RUNNING)
    for scheduler in running:
        scheduler.stop()
    for scheduler in running:
        scheduler.join(EXIT_SECONDS)


def _give_back() -> None:
    """Hand freed memory to the system, where the C library can: products of many sizes leave holes in the heap."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
        Where cheaper inference plugs in.
    name : str
        The model's name, for messages.
    spelling : callable
        Gives the bytes of a token.
    """

    def __init__(
        self,
        model: Llama,
        pool: BlockPool,
        *,
        max_rows: int,
        max_requests: int,
        policies: Policies,
        name: str,
        spelling: Callable[[int], bytes],
    ) -> None:
        self._model, self._policies, self._name = model, policies, name
        self._max_requests = max_requests
        self.cache = PrefixCache(pool, policies.cache)
        self._reader = Reader(model, self.cache, self._own_cache, max_rows)
        self._batch = Batch(self.cache, self._own_cache, policies.draft, max_rows, spelling)
        self._starting: deque[Generation] = deque()
        self._requests: set[Request] = set()
        self._inbox: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._lock, self._open, self._closed = threading.Lock(), 0, False
        self._steps = 0  # since memory was last given back
        self._thread: threading.Thread | None = None

    def _own_cache(self, rows: int) -> OwnCache:
        config = self._model.config
        return OwnCache(config.layers, config.key_value_heads, config.head_dim, rows, str(self._model.device))

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
                    f"The model {self._name!r} is busy with {self._open} requests, the most it takes. "
                    "Ask again later, or load it with a larger max_requests."
                )
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="educe-worker", daemon=True)
                _RUNNING.add(self)
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

    def join(self, seconds: float | None = None) -> None:
        """Wait for the thread to end, not longer than so many seconds where given."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _closed_error(self) -> BackendError:
        return BackendError(f"The model {self._name!r} is closed. Load it again.")

    # --- the thread ---

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            self._receive()
            if self._closed:
                break
            for request in [request for request in self._requests if request.cancelled]:
                self._end(request, keep=False)
            self._guarded_step()
        for request in list(self._requests):
            self._fail(request, self._closed_error())

    def _receive(self) -> None:
        """Take in new requests; wait for one where there is nothing to do."""
        wait = not self._requests
        if wait:
            self._reader.rest()
            if self._steps >= REST_EVERY:
                self._steps = 0
                _give_back()
        while wait or not self._inbox.empty():
            request = self._inbox.get()
            wait = False
            if request is not None:
                self._requests.add(request)
                self._reader.add(request.first_reading())

    def _guarded_step(self) -> None:
        """Choose and compute. An error fails what was computed together, for it may be half done; the rest goes on."""
        computed: set[Request] = set()
        try:
            beside = bool(self._batch.rows or self._starting)
            computed = {active.request for active in self._batch.rows} | set(self._starting)
            if not beside and self._reader.waiting:
                computed = {self._reader.waiting[0].request}
            whole, job = self._reader.choose(beside_rows=beside)
            if job is not None:
                computed |= {reading.request for reading in job.readings}
            for reading in whole:
                self._read(reading)
            if job is not None or self._batch.rows or self._starting:
                self._step(job)
        except Exception as error:
            for request in computed:
                self._fail(request, error)

    def _step(self, job: Job | None) -> None:
        """One pass through the layers, then the draws."""
        self._steps += 1
        told: list[tuple[Generation, Chunk]] = []
        if job is not None or self._batch.rows:
            states, read = self._forward(job)
            wanted = job.last_wanted() if job is not None else []
            # One product with the output matrix for the rows and for the prompts that have just been read.
            together = torch.cat([states, *(read[place, at][None] for place, at in wanted)])
            logits = self._model.logits(together).cpu() if len(together) else together
            if len(states):
                told += self._batch.advance(logits[: len(states)])
            if job is not None:
                for number, (place, _) in enumerate(wanted, len(states)):
                    request = job.readings[place].request
                    assert isinstance(request, Generation)
                    request.logits = logits[number : number + 1].clone()
                whole, failed = self._reader.take(job, read)
                for reading, error in failed:
                    self._fail(reading.request, error)
                for reading in whole:
                    if reading.request in self._requests:
                        self._read(reading)
        while self._starting and self._batch.free:
            told += self._batch.start(self._next_rows())
        self._tell(told)

    def _forward(self, job: Job | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states of the rows (rows * length, width) and of what is read (texts, length, width)."""
        tokens, sets, config = list[torch.Tensor](), list[RowSet](), self._model.config
        if self._batch.rows:
            ids, rows = self._batch.next_positions(self._model.device)
            tokens.append(ids.flatten())
            sets.append(rows)
        drawn = sum(len(ids) for ids in tokens)
        if job is not None:
            tokens.append(job.tokens().flatten())
            sets.append(job.rows)
        attention = StepAttention(
            self.cache.pool, config.heads, config.key_value_heads, config.head_dim, sets, self._policies.attention
        )
        positions = torch.cat([rows.positions.flatten() for rows in sets])
        hidden = self._model.hidden(torch.cat(tokens).to(positions.device), positions, attention)
        read = hidden[drawn:]
        return hidden[:drawn], read if job is None else read.view(*job.rows.positions.shape, -1)

    def _next_rows(self) -> list[tuple[Generation, Row]]:
        """Return rows for the free places, one of each request in turn."""
        new: list[tuple[Generation, Row]] = []
        while self._starting and len(new) < self._batch.free:
            request = self._starting.popleft()
            new.append((request, request.waiting.popleft()))
            if request.waiting:
                self._starting.append(request)
        return new

    def _tell(self, told: list[tuple[Generation, Chunk]]) -> None:
        by_request: dict[Generation, list[Chunk]] = {}
        for request, chunk in told:
            by_request.setdefault(request, []).append(chunk)
        for request, chunks in by_request.items():
            request.deliver(chunks)
            if not request.left:
                self._finish(request)

    # --- the lives of requests ---

    def _read(self, reading: Reading) -> None:
        """Go on with a request one of whose texts has been read to its end."""
        request = reading.request
        self._reader.drop(reading)
        if isinstance(request, Generation):
            request.path, request.pins = reading.pinned, request.left
            self.cache.tree.pin(request.path, request.left - 1)
            request.deliver([Chunk(row=0, prompt_tokens=len(request.tokens), cached_tokens=reading.cached)])
            self._starting.append(request)
        elif isinstance(request, Scoring) and reading.tokens is request.prompt:
            request.path, request.pins, request.cached = reading.pinned, 1, reading.cached
            self._reader.add(*request.text_readings())
        else:
            self.cache.tree.unpin(reading.pinned)
            if isinstance(request, Scoring) and not request.readings:
                self._finish(request, (request.logprobs, request.cached))
            elif isinstance(request, Embedding):
                mean = request.total / len(request.tokens)
                self._finish(request, (mean / mean.norm()).tolist())

    def _finish(self, request: Request, *results: Any) -> None:
        request.deliver(list(results))
        request.deliver(None)
        self._end(request)

    def _fail(self, request: Request, error: BaseException) -> None:
        if not isinstance(error, EduceError):
            failure = BackendError(f"The model {self._name!r} failed: {error}. Try fewer rows or a shorter prompt.")
            failure.__cause__ = error
            error = failure
        request.deliver(error)
        self._end(request, keep=False)

    def _end(self, request: Request, *, keep: bool = True) -> None:
        """Free all that a request holds; ``keep`` what its rows have computed so far."""
        if request not in self._requests:
            return
        self._requests.discard(request)
        for place in range(len(self._batch.rows) - 1, -1, -1):
            if self._batch.rows[place].request is request:
                self._batch.remove(place, keep=keep)
        for reading in list(request.readings):
            self.cache.tree.unpin(reading.pinned)
            self._reader.drop(reading)
        for _ in range(request.pins):
            self.cache.tree.unpin(request.path)
        request.pins = 0
        if isinstance(request, Generation) and request in self._starting:
            self._starting.remove(request)
        with self._lock:
            self._open -= 1
