"""From a model's chunks to the pieces of text that clients see, each with the log-probabilities of its tokens.

With log-probabilities, a piece ends where a token ends, so that the tokens of a piece spell its text; the last token
told is held back until the next one says where it ends. A token that is part of a character has an empty text, and the
character stands with the token that completes it: models tell their tokens' places in the text, not their bytes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from educe.core import CapabilityError
from educe.lm import Chunk, LanguageModel
from educe.lm.completion import TopLogprob
from educe.site.openai._asked import Asked

__all__ = ["Piece", "Token", "Usage", "draw", "given_tokens"]

LOWEST_LOGPROB = -9999.0  # OpenAI's stand-in for minus infinity, which JSON cannot say


@dataclass(frozen=True, slots=True)
class Token:
    """A token's text, its log-probability (None where there is none), where it begins in the row, and the most probable
    tokens at its place, where they are asked for."""

    text: str
    logprob: float | None
    offset: int
    top: tuple[TopLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What came to one row: text, its tokens where they are told, and how the row ended."""

    row: int
    text: str = ""
    tokens: tuple[Token, ...] = ()
    finish: str | None = None
    stopped_at: str | None = None


@dataclass
class Usage:
    """Tokens and finished rows of a request, counted while it runs."""

    prompt: int = 0
    cached: int = 0
    sampled: int = 0
    rows: int = 0

    def add(self, chunk: Chunk) -> None:
        """Count a chunk."""
        self.prompt += chunk.prompt_tokens
        self.cached += chunk.cached_tokens
        self.sampled += chunk.sampled_tokens
        self.rows += chunk.finish is not None

    def to_json(self) -> dict[str, object]:
        """Return the usage as clients expect it."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.sampled,
            "total_tokens": self.prompt + self.sampled,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class _Row:
    """Text and tokens of a row that are not told yet."""

    def __init__(self, number: int, logprobs: bool) -> None:
        self.number, self.logprobs = number, logprobs
        self.finished = False
        self._text = ""
        self._start = 0  # of the text that is not told yet, in characters of the row
        self._tokens: list[tuple[int, float, tuple[TopLogprob, ...]]] = []

    def feed(self, chunk: Chunk) -> Piece:
        self.finished = self.finished or chunk.finish is not None
        self._text += chunk.text
        tokens: tuple[Token, ...] = ()
        end = self._start + len(self._text)
        if self.logprobs:
            if chunk.logprobs is None and chunk.text:
                raise CapabilityError("The model sent no log-probabilities. Leave 'logprobs' out.")
            tops = chunk.top_logprobs or ((),) * len(chunk.offsets)
            self._tokens += zip(chunk.offsets, chunk.logprobs or (), tops, strict=True)
            if not self.finished:
                end = min(self._tokens[-1][0], end) if self._tokens else self._start
            tokens = self._told(end)
        text, self._text = self._text[: end - self._start], self._text[end - self._start :]
        self._start = end
        return Piece(self.number, text, tokens, chunk.finish, chunk.stopped_at)

    def _told(self, end: int) -> tuple[Token, ...]:
        ready = self._tokens if self.finished else self._tokens[:-1]
        self._tokens = [] if self.finished else self._tokens[-1:]
        starts = [min(offset, end) for offset, _, _ in ready]
        borders = zip(starts, [*starts, end][1:], ready, strict=True)
        return tuple(
            Token(self._text[begin - self._start : stop - self._start], max(logprob, LOWEST_LOGPROB), begin, top)
            for begin, stop, (_, logprob, top) in borders
        )


async def draw(lm: LanguageModel, asked: Asked, usage: Usage) -> AsyncGenerator[Piece, None]:
    """Draw all rows of a request and yield their pieces as they come, also empty ones.

    Parameters
    ----------
    lm : LanguageModel
        The model.
    asked : Asked
        What to draw; row ``p * n + r`` is the r-th of prompt p.
    usage : Usage
        Counts along.
    """
    for place, prompt in enumerate(asked.prompts):
        first = place * asked.n
        rows = [_Row(first + row, asked.logprobs) for row in range(asked.n)]
        if asked.echo:
            assert isinstance(prompt, str)
            scored = await given_tokens(lm, prompt, usage, alone=asked.sampling is None) if asked.logprobs else ()
            for row in rows:
                yield Piece(row.number, prompt, scored, None if asked.sampling else "length")
        if asked.sampling is None:
            continue
        shift = len(prompt) if asked.echo else 0
        stream = lm.stream(prompt, asked.seeds(), asked.sampling)
        try:
            async for chunk in stream:
                usage.add(chunk)
                piece = rows[chunk.row].feed(chunk)
                yield _shifted(piece, shift) if shift else piece
        finally:
            # Closing frees the rows at once; a stream that is merely dropped frees them when it is collected.
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        for row in rows:
            if not row.finished:
                yield row.feed(Chunk(row=0, finish="length"))


def _shifted(piece: Piece, shift: int) -> Piece:
    tokens = tuple(replace(token, offset=token.offset + shift) for token in piece.tokens)
    return Piece(piece.row, piece.text, tokens, piece.finish, piece.stopped_at)


async def given_tokens(lm: LanguageModel, text: str, usage: Usage, *, alone: bool) -> tuple[Token, ...]:
    """Score a text by itself.

    Nothing stands before its first token, so that has no log-probability. Where the model's tokenizer is not at hand,
    the first character is taken for the first token; if it is only the beginning of one, the rest of that token carries
    the log-probability of the whole.

    Parameters
    ----------
    lm : LanguageModel
        It can score.
    text : str
        Not empty.
    usage : Usage
        Charged with the text's tokens if it is ``alone``, that is if no later draw pays for the same prompt.
    alone : bool
        See above.

    Raises
    ------
    CapabilityError
        The model turns out not to score.
    """
    first = _first_token(lm, text)
    tokens = [Token(text[:first], None, 0)]
    if len(text) > first:
        (rest,) = await lm.score(text[:first], [text[first:]])
        if rest.logprobs is None:
            raise CapabilityError("The model sent no log-probabilities of given text. Leave 'echo' or 'logprobs' out.")
        starts = [offset + first for offset in rest.offsets]
        for begin, end, logprob in zip(starts, [*starts, len(text)][1:], rest.logprobs, strict=True):
            tokens.append(Token(text[begin:end], max(logprob, LOWEST_LOGPROB), begin))
    if alone:
        usage.prompt += len(tokens)
    return tuple(tokens)


def _first_token(lm: LanguageModel, text: str) -> int:
    """Length of a text's first token, in characters; of the first few where they share a character."""
    tokenizer: Any = getattr(lm, "tokenizer", None)
    if not hasattr(tokenizer, "starts"):
        return 1
    data = text.encode()
    borders: list[int] = tokenizer.starts(text, tokenizer.encode(text))[1:]
    # A byte that continues a character is of the form 10xxxxxx.
    border = next(place for place in borders if place == len(data) or (place and data[place] & 0xC0 != 0x80))
    return len(data[:border].decode())
