"""One row's text as its tokens come: stop texts, held-back text, offsets.

A row ends at the stop text that is complete first; of those complete at the same character, at the one
that begins first. So the end does not depend on how the text falls into tokens. Text that may be the
beginning of a stop text is held back, and with it every token that begins inside it: its offset is
certain only when the text is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from educe.lm.completion import Chunk, TopLogprob

__all__ = ["Decoder", "Row", "Spelling"]


class Decoder(Protocol):
    """Turns the tokens of one row into text as they come."""

    def feed(self, token: int) -> str:
        """Return the text that became certain with this token."""
        ...

    def flush(self) -> str:
        """Return what is left when the row ends."""
        ...


class Spelling(Protocol):
    """What a row needs of a tokenizer."""

    @property
    def stop(self) -> Collection[int]:
        """Tokens that end a row."""
        ...

    def decoder(self) -> Decoder:
        """Return a decoder for a new row."""
        ...


class Row:
    """A row under way.

    Parameters
    ----------
    number : int
        Its place in the request.
    seed : int
        Its seed.
    tokenizer : Spelling
        Decodes its tokens and names those that end it.
    stop : sequence of str
        Stop texts.
    max_tokens : int
        Most tokens it may have.

    Attributes
    ----------
    drawn : int
        Tokens so far.
    finish : str or None
        How it ended.
    stopped_at : str or None
        The stop text that ended it.
    """

    def __init__(self, number: int, seed: int, tokenizer: Spelling, stop: Sequence[str], max_tokens: int) -> None:
        self.number, self.seed, self.max_tokens = number, seed, max_tokens
        self._stop, self._ends, self._decoder = tuple(stop), tokenizer.stop, tokenizer.decoder()
        self.drawn = 0
        self.finish: str | None = None
        self.stopped_at: str | None = None
        self._decoded = 0  # characters that the decoder has given out
        self._certain = 0  # characters that are told
        self._held = ""
        self._waiting: list[tuple[int, float, float, int, tuple[TopLogprob, ...]]] = []

    def add(
        self, token: int, logprob: float, sampling_logprob: float, top: tuple[TopLogprob, ...] = ()
    ) -> Chunk | None:
        """Take the next token and return what became certain, None where nothing did."""
        ended = token in self._ends
        begin = self._decoded
        text = self._decoder.feed(token) if not ended else ""
        self.drawn += 1
        if ended or self.drawn >= self.max_tokens:
            self.finish = "stop" if ended else "length"
            text += self._decoder.flush()
        self._decoded += len(text)
        self._waiting.append((token, logprob, sampling_logprob, self._decoded if ended else begin, top))
        return self._told(self._take(text))

    def _take(self, text: str) -> str:
        """Add text to what is held back and return what is certain."""
        unseen = len(self._held)
        held = self._held + text
        found = [
            (place + len(stop), place)
            for stop in self._stop
            if (place := held.find(stop, max(0, unseen - len(stop) + 1))) >= 0
        ]
        if found:
            self.finish = "stop"
            end, begin = min(found)
            self.stopped_at = held[begin:end]
            certain, self._held = held[:begin], ""
            return certain
        keep = 0
        if self.finish is None:
            for stop in self._stop:
                longest = min(len(stop) - 1, len(held))
                keep = max(keep, next((n for n in range(longest, 0, -1) if held.endswith(stop[:n])), 0))
        certain, self._held = held[: len(held) - keep], held[len(held) - keep :]
        return certain

    def _told(self, text: str) -> Chunk | None:
        self._certain += len(text)
        ready = 0
        while ready < len(self._waiting) and (self.finish or self._waiting[ready][3] <= self._certain):
            ready += 1
        told, self._waiting = self._waiting[:ready], self._waiting[ready:]
        if not told and not text and self.finish is None:
            return None
        return Chunk(
            row=self.number,
            text=text,
            tokens=tuple(entry[0] for entry in told),
            logprobs=tuple(entry[1] for entry in told),
            sampling_logprobs=tuple(entry[2] for entry in told),
            offsets=tuple(min(entry[3], self._certain) for entry in told),
            top_logprobs=tuple(entry[4] for entry in told if entry[4]),
            finish=self.finish,
            sampled_tokens=len(told),
            stopped_at=self.stopped_at,
        )
