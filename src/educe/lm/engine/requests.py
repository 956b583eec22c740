"""What clients ask of the engine, and the texts that have to be read for it.

A request is made in its client's event loop and served by the engine's thread (`scheduler`), which hands it lists of
results until it hands it None.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from educe.core.errors import BackendError
from educe.lm.completion import Sampling
from educe.lm.engine.constrain import Guide
from educe.lm.engine.rows import Row
from educe.lm.engine.tree import Node

__all__ = ["BusyError", "Embedding", "Generation", "Reading", "Request", "Scoring"]

READ_AT_ONCE = 256  # a text of up to so many positions can be read in one step, and need not go into the tree


class BusyError(BackendError):
    """The engine has as many requests as it takes; ask again when some have ended."""


class Request:
    """What a client waits for.

    Attributes
    ----------
    cancelled : bool
        Whether nobody wants it any more.
    readings : list of Reading
        What is still to be read for it.
    path, pins : list of Node, int
        Blocks of the tree that it needs, and how many times it has pinned them.
    """

    def __init__(self) -> None:
        self._loop, self._queue = asyncio.get_running_loop(), asyncio.Queue[Any]()
        self.cancelled = False
        self.readings: list[Reading] = []
        self.path: list[Node] = []
        self.pins = 0

    def first_reading(self) -> Reading:
        """Return what has to be read at the beginning."""
        raise NotImplementedError

    def deliver(self, item: object) -> None:
        """Hand something to the client, from the engine's thread: a list, an exception, or None at the end."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the client's loop is closed
            self.cancelled = True

    async def results(self) -> AsyncIterator[Any]:
        """Yield what is delivered."""
        while (items := await self._queue.get()) is not None:
            if isinstance(items, BaseException):
                raise items
            for item in items:
                yield item


@dataclass(eq=False)
class Reading:
    """A text to be read.

    Parameters
    ----------
    request : Request
        What for.
    tokens : sequence of int
        The text from its beginning.
    needed : int
        First position whose hidden state is wanted; what comes before may be taken from the tree.
    keep : bool
        Whether the text goes into the tree.
    number : int
        Its place in the request.

    Attributes
    ----------
    path, partial : list of Node, Node or None
        Where in the tree the text lies that has been read, pinned: whole blocks, and one in part.
    done, cached : int
        Positions that have been read, and how many of these the tree had at the beginning.
    begun : bool
        Whether any of this is set.
    """

    request: Request
    tokens: Sequence[int]
    needed: int
    keep: bool = True
    number: int = 0
    path: list[Node] = field(default_factory=list)
    partial: Node | None = None
    done: int = 0
    cached: int = 0
    begun: bool = False

    @property
    def pinned(self) -> list[Node]:
        """All blocks in use."""
        return self.path if self.partial is None else [*self.path, self.partial]


class Generation(Request):
    """Rows to be drawn after a prompt.

    Parameters
    ----------
    tokens : list of int
        The prompt.
    rows : list of Row
        Not begun.
    sampling : Sampling
        How to draw.
    guides : sequence of Guide
        What each row may say, by its number; empty without a constraint.

    Attributes
    ----------
    waiting, left : deque of Row, int
        Rows without a place yet, and how many have not ended.
    logits : Tensor
        (1, vocabulary) after the prompt: every row's first token is drawn from them.
    """

    def __init__(self, tokens: list[int], rows: list[Row], sampling: Sampling, guides: Sequence[Guide] = ()) -> None:
        super().__init__()
        self.tokens, self.sampling, self.guides = tokens, sampling, guides
        self.waiting, self.left = deque(rows), len(rows)
        self.logits = torch.empty(0)

    def first_reading(self) -> Reading:
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

    Attributes
    ----------
    logprobs : list of list of float
        What has been found, per text.
    cached : int
        Tokens of the prompt that the tree had.
    """

    def __init__(self, prompt: list[int], texts: list[list[int]], firsts: list[int]) -> None:
        super().__init__()
        self.prompt, self.texts, self.firsts = prompt, texts, firsts
        self.logprobs: list[list[float]] = [[] for _ in texts]
        self.cached = 0

    def first_reading(self) -> Reading:
        """Read the prompt; nothing of it is wanted but that the tree has it."""
        return Reading(self, self.prompt, len(self.prompt))

    def text_readings(self) -> list[Reading]:
        """Read the texts, in the order of their lengths; each from the last token of what is given."""
        order = sorted(range(len(self.texts)), key=lambda number: len(self.texts[number]))
        return [
            Reading(
                self,
                self.texts[number],
                self.firsts[number] - 1,
                keep=len(self.texts[number]) - self.firsts[number] >= READ_AT_ONCE,
                number=number,
            )
            for number in order
        ]


class Embedding(Request):
    """A text whose mean hidden state is wanted.

    Parameters
    ----------
    tokens : list of int
        The text.

    Attributes
    ----------
    total : Tensor
        Sum of the hidden states of what has been read.
    """

    def __init__(self, tokens: list[int]) -> None:
        super().__init__()
        self.tokens, self.total = tokens, torch.zeros(())

    def first_reading(self) -> Reading:
        """Read the text from its beginning."""
        return Reading(self, self.tokens, 0, keep=len(self.tokens) > READ_AT_ONCE)
