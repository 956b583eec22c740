"""`Session`: the model as one run sees it. It meters, seeds, traces, and stops softly at the budget.

A strategy gets a session instead of a model, so it cannot forget any of this. When a limit is hit,
calls return what there is (perhaps nothing) and `stopped` names the limit; nothing is raised.

Rows are seeded by prompt and running number, not by order of calls: eight samples and then eight more
of one prompt are the same sixteen rows as one call for sixteen, whatever else the run asks in between.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from educe.core.canonical import content_hash
from educe.core.errors import UsageError
from educe.core.ledger import Budget, Ledger
from educe.core.seed import Seed
from educe.core.sync import run_sync
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.constraint import Constraint
from educe.lm.model import LanguageModel
from educe.lm.prompt import Prompt, check_prompt

__all__ = ["Event", "Session"]


@dataclass(frozen=True, slots=True)
class Event:
    """One traced request.

    Parameters
    ----------
    kind : str
        ``"sample"``, ``"score"`` or ``"embed"``.
    prompt : str, sequence of Message, or None
        What was sent.
    completions : tuple of Completion
        What came back.
    sampling : Sampling or None
        How rows were drawn.
    continues : int
        How many of its rows went on with rows that were counted already.
    """

    kind: str
    prompt: Prompt | None
    completions: tuple[Completion, ...] = ()
    sampling: Sampling | None = None
    continues: int = 0


class Session:
    """A metered, seeded, traced view of a model.

    Parameters
    ----------
    lm : LanguageModel
        The model.
    budget : Budget
        Limits; none when left out. The clock starts with the first request.
    seed : int or Seed
        Root of all draws.
    trace : bool
        Keep every request in `events`.
    on_chunk : callable, optional
        Called with each `Chunk` and the running `Ledger`, for progress displays. The chunk's row is its place in
        its own request.

    Attributes
    ----------
    ledger : Ledger
        What has been spent so far.
    stopped : str or None
        The limit that denied or cut a request, ``"interrupt"`` after `stop`, None while all is well.
    events : list of Event
        The trace, empty unless asked for.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> session = Session(FakeLM(lambda prompt, seed: "4"), Budget(samples=2))
    >>> [row.text for row in session.sample_sync("2 + 2 =", n=3)], session.stopped
    (['4', '4'], 'samples')
    """

    def __init__(
        self,
        lm: LanguageModel,
        budget: Budget | None = None,
        seed: int | Seed = 0,
        *,
        trace: bool = False,
        on_chunk: Callable[[Chunk, Ledger], None] | None = None,
    ) -> None:
        self.lm = lm
        self.budget = budget or Budget()
        self.seed = Seed.of(seed)
        self.events: list[Event] = []
        self.stopped: str | None = None
        self._trace = trace
        self._on_chunk = on_chunk
        self._spent = Ledger()
        self._started: float | None = None
        self._rows: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def ledger(self) -> Ledger:
        """What has been spent so far, wall time since the first request included."""
        seconds = 0.0 if self._started is None else time.monotonic() - self._started
        return replace(self._spent, seconds=seconds, stopped_by=self.stopped)

    def stop(self, reason: str = "interrupt") -> None:
        """End the run softly, from any thread: running requests are cut, later ones return nothing.

        Parameters
        ----------
        reason : str
            Goes into ``ledger.stopped_by``; the first reason stays, unless it was the limit on samples, which
            rows under way may outlast.
        """
        self._name_limit(reason)
        if self._loop is not None and self._running:
            self._loop.call_soon_threadsafe(self._cut)

    def _name_limit(self, reason: str) -> None:
        if self.stopped in (None, "samples"):
            self.stopped = reason

    def _cut(self) -> None:
        this = asyncio.current_task()
        for task in self._running:
            if task is not this:
                task.cancel()

    def spend(self, cost: Ledger) -> None:
        """Charge the session for work that is no request to this model (tools, rewards, drafts).

        Parameters
        ----------
        cost : Ledger
            What to add; its seconds are left out, since the session's own clock counts them.
        """
        self._spent = self._spent + replace(cost, seconds=0.0, stopped_by=None)
        self._check()

    def _check(self, continues: bool = False) -> bool:
        """Whether a request may start; names the limit that forbids it."""
        if self._started is None:
            self._started = time.monotonic()
        if continues and self.stopped in (None, "samples"):
            found = self.budget.exceeded(replace(self.ledger, samples=0))
            if found is not None:
                self._name_limit(found)
            return found is None
        if self.stopped is None:
            self.stopped = self.budget.exceeded(self.ledger)
        return self.stopped is None

    async def sample(
        self,
        prompt: Prompt,
        *,
        n: int = 1,
        max_tokens: int = 256,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        stop: Sequence[str] | str = (),
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        top_logprobs: int = 0,
        constraint: Constraint | None = None,
        key: Sequence[str | int] = (),
        continues: int = 0,
    ) -> list[Completion]:
        """Draw up to `n` completions.

        Parameters
        ----------
        prompt : str or sequence of Message
            Text to continue, or a chat to answer.
        n : int
            Number of completions, >= 1.
        max_tokens, temperature, top_p, top_k, min_p, stop
            See `Sampling`.
        repetition_penalty, presence_penalty, frequency_penalty, logit_bias, top_logprobs, constraint
            See `Sampling`.
        key : sequence of str or int
            Further labels for the seeds, for methods that draw the same prompt for several purposes.
        continues : int
            So many of the rows go on with rows that are counted already: they cost calls and tokens but are no
            further samples, and a limit on samples does not stop them.

        Returns
        -------
        list of Completion
            In row order. At the budget there are fewer than `n`, and rows that were cut have ``finish == "budget"``.

        Raises
        ------
        UsageError
            A parameter is out of range or the prompt is empty.
        CapabilityError
            The model cannot draw in this way.
        BackendError
            The model or server failed.
        """
        check_prompt(prompt)
        if n < 1:
            raise UsageError(f"n={n} asks for no completion. Give n >= 1.")
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        sampling = Sampling(
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            stops,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            tuple((logit_bias or {}).items()),
            top_logprobs,
            constraint,
        )
        self.lm.require(*sampling.needs)
        if not self._check(continues > 0):
            return []
        label = content_hash(prompt if isinstance(prompt, str) else [dict(message) for message in prompt])
        stream = "/".join([label, *map(repr, key)])
        first = self._rows[stream]
        wanted = n
        room = continues + self.budget.left("samples", self._spent)
        if n > room:
            n = int(room)
        self._rows[stream] += n
        base = self.seed.child("sample", label, *key)
        seeds = [base.child("row", first + row).bits() for row in range(n)]
        self._spent = self._spent + Ledger(calls=1, samples=max(0, n - continues))
        rows: list[list[Chunk]] = [[] for _ in seeds]
        await self._collect(prompt, seeds, sampling, rows)
        completions = [Completion.of_chunks(chunks, finish="budget") for chunks in rows if chunks]
        # Rows that never began were not received.
        self._spent = self._spent + Ledger(samples=max(0, len(completions) - continues) - max(0, n - continues))
        if n < wanted:
            self.stopped = self.stopped or "samples"
        self._record(Event("sample", prompt, tuple(completions), sampling, continues))
        return completions

    async def _collect(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling, rows: list[list[Chunk]]) -> None:
        """Fill `rows` from the model's stream until it ends, the budget cuts it, or `stop` is called."""

        async def read() -> None:
            stream = self.lm.stream(prompt, seeds, sampling)
            try:
                async for chunk in stream:
                    rows[chunk.row].append(chunk)
                    self._charge(chunk)
                    if self._over_tokens():
                        return
            finally:
                close = getattr(stream, "aclose", None)
                if close is not None:
                    await close()

        await self.watched(read())

    async def watched(self, request: Coroutine[Any, Any, None]) -> None:
        """Wait for work, but no longer than the budget's seconds or a call of `stop`; then it is cancelled.

        Parameters
        ----------
        request : coroutine
            Keeps its results itself, so that what it had when it was cut is not lost.
        """
        self._loop = asyncio.get_running_loop()
        reader = asyncio.create_task(request)
        self._running.add(reader)
        left = self.budget.left("seconds", self.ledger)
        try:
            _, late = await asyncio.wait({reader}, timeout=None if left == math.inf else left)
            if late:
                self._name_limit("seconds")
                reader.cancel()
                await asyncio.wait({reader})
        except asyncio.CancelledError:
            # The run itself is cancelled, not only this request: free the rows, then pass it on.
            reader.cancel()
            await asyncio.wait({reader})
            raise
        finally:
            self._running.discard(reader)
        if not reader.cancelled():
            reader.result()
        elif self.stopped is None:
            raise asyncio.CancelledError

    def _charge(self, chunk: Chunk) -> None:
        price = self.lm.price
        usd = (chunk.prompt_tokens * price.prompt + chunk.sampled_tokens * price.sampled) / 1e6
        self._spent = self._spent + Ledger(
            prompt_tokens=chunk.prompt_tokens,
            cached_tokens=chunk.cached_tokens,
            sampled_tokens=chunk.sampled_tokens,
            draft_tokens=chunk.draft_tokens,
            usd=usd,
        )
        if self._on_chunk is not None:
            self._on_chunk(chunk, self.ledger)

    def _over_tokens(self) -> bool:
        """Whether a running request has used up a limit that grows while it runs."""
        for name in ("tokens", "usd"):
            if self.budget.left(name, self._spent) <= 0:
                self._name_limit(name)
                # Requests that run beside this one would go on spending until their own next chunk.
                self._cut()
                return True
        return False

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Log-probabilities of given continuations; see `LanguageModel.score`.

        Parameters
        ----------
        prompt : str or sequence of Message
            What comes before.
        continuations : sequence of str
            Texts to score.

        Returns
        -------
        list of Completion
            One per continuation, or none when the budget forbids the request.
        """
        check_prompt(prompt)
        if not continuations or not all(continuations):
            raise UsageError("There is nothing to score: a continuation is empty. Give texts.")
        if not self._check():
            return []
        results: list[Completion] = []

        async def run() -> None:
            results.extend(await self.lm.score(prompt, continuations))

        await self.watched(run())
        scored = sum(item.prompt_tokens + len(item.logprobs or ()) for item in results)
        usd = scored * self.lm.price.prompt / 1e6
        cached = sum(item.cached_tokens for item in results)
        self._spent = self._spent + Ledger(calls=1, prompt_tokens=scored, cached_tokens=cached, usd=usd)
        self._record(Event("score", prompt, tuple(results)))
        return results

    async def embed(self, texts: Sequence[str]) -> torch.Tensor | None:
        """Vectors of texts; see `LanguageModel.embed`. None when the budget forbids the request."""
        if not self._check():
            return None
        results: list[torch.Tensor] = []

        async def run() -> None:
            results.append(await self.lm.embed(texts))

        await self.watched(run())
        self._spent = self._spent + Ledger(calls=1)
        self._record(Event("embed", None))
        return results[0] if results else None

    def _record(self, event: Event) -> None:
        if self._trace:
            self.events.append(event)

    def sample_sync(self, prompt: Prompt, **options: Any) -> list[Completion]:
        """`sample` for ordinary code; also works inside a running loop."""
        return run_sync(self.sample(prompt, **options))

    def score_sync(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """`score` for ordinary code; also works inside a running loop."""
        return run_sync(self.score(prompt, continuations))

    def embed_sync(self, texts: Sequence[str]) -> torch.Tensor | None:
        """`embed` for ordinary code; also works inside a running loop."""
        return run_sync(self.embed(texts))
