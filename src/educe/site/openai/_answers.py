"""The objects of the API's answers: completions whole and in pieces, embeddings, models."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from educe.lm.completion import TopLogprob
from educe.site.openai._rows import LOWEST_LOGPROB, Piece, Token

__all__ = ["Answer", "ChatAnswer", "TextAnswer", "model_object"]

OWNER = "educe"


def _chat_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    return {
        "content": [
            {
                "token": token.text,
                "logprob": token.logprob,
                "bytes": list(token.text.encode()),
                "top_logprobs": [
                    {"token": _spelt(top), "logprob": max(top.logprob, LOWEST_LOGPROB), "bytes": list(top.data)}
                    for top in token.top
                ],
            }
            for token in tokens
        ],
        "refusal": None,
    }


def _text_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    known = any(token.top for token in tokens)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        # Null where no alternatives are known; an object would have to hold the most probable token.
        "top_logprobs": [_by_text(token) for token in tokens] if known else None,
        "text_offset": [token.offset for token in tokens],
    }


def _spelt(top: TopLogprob) -> str:
    return top.data.decode(errors="replace")


def _by_text(token: Token) -> dict[str, float]:
    """Alternatives by their text; of tokens that are spelt alike, as parts of characters are, the most probable."""
    found: dict[str, float] = {}
    for top in token.top:
        found.setdefault(_spelt(top), max(top.logprob, LOWEST_LOGPROB))
    return found


@dataclass
class Answer:
    """What all pieces of one answer have in common.

    Parameters
    ----------
    model : str
        As the client wrote it.
    fingerprint : str
        Of the model's weights.
    logprobs : bool
        Whether tokens are told.
    """

    model: str
    fingerprint: str
    logprobs: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    kind = prefix = piece_kind = ""

    def _frame(self, kind: str, choices: list[dict[str, Any]], extra: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint or None,
            "choices": choices,
            **extra,
        }

    def whole(self, choices: list[dict[str, Any]], usage: object, **extra: Any) -> dict[str, Any]:
        """The answer in one piece."""
        return self._frame(self.kind, choices, {"usage": usage, **extra})

    def piece(self, choices: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
        """One event of a stream."""
        return self._frame(self.piece_kind, choices, extra)

    def first(self, row: int) -> dict[str, Any] | None:
        """The choice that begins a row's stream, None where there is none."""
        raise NotImplementedError

    def delta(self, piece: Piece) -> dict[str, Any]:
        """The choice that a piece adds to a stream; it does not end the row."""
        raise NotImplementedError

    def last(self, piece: Piece) -> dict[str, Any]:
        """The choice that ends a row's stream."""
        raise NotImplementedError

    def choice(self, piece: Piece) -> dict[str, Any]:
        """The choice of a whole row."""
        raise NotImplementedError


class ChatAnswer(Answer):
    """An answer of /v1/chat/completions."""

    kind, prefix, piece_kind = "chat.completion", "chatcmpl", "chat.completion.chunk"

    def first(self, row: int) -> dict[str, Any] | None:
        """The choice that begins a row's stream, None where there is none."""
        return {
            "index": row,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }

    def delta(self, piece: Piece) -> dict[str, Any]:
        """The choice that a piece adds to a stream; it does not end the row."""
        told = _chat_logprobs(piece.tokens) if self.logprobs else None
        return {"index": piece.row, "delta": {"content": piece.text}, "logprobs": told, "finish_reason": None}

    def last(self, piece: Piece) -> dict[str, Any]:
        """The choice that ends a row's stream."""
        return {"index": piece.row, "delta": {}, "logprobs": None, **_ending(piece)}

    def choice(self, piece: Piece, text: str | None = None) -> dict[str, Any]:
        """The choice of a whole row."""
        return {
            "index": piece.row,
            "message": {"role": "assistant", "content": piece.text, "refusal": None},
            "logprobs": _chat_logprobs(piece.tokens) if self.logprobs else None,
            **_ending(piece),
        }


class TextAnswer(Answer):
    """An answer of /v1/completions."""

    kind, prefix, piece_kind = "text_completion", "cmpl", "text_completion"

    def first(self, row: int) -> dict[str, Any] | None:
        """The choice that begins a row's stream, None where there is none."""
        return None

    def delta(self, piece: Piece) -> dict[str, Any]:
        """The choice that a piece adds to a stream; it does not end the row."""
        return {**self.choice(piece), "finish_reason": None, "stop_reason": None}

    def last(self, piece: Piece) -> dict[str, Any]:
        """The choice that ends a row's stream."""
        return {"index": piece.row, "text": "", "logprobs": None, **_ending(piece)}

    def choice(self, piece: Piece) -> dict[str, Any]:
        """The choice of a whole row."""
        told = _text_logprobs(piece.tokens) if self.logprobs else None
        return {"index": piece.row, "text": piece.text, "logprobs": told, **_ending(piece)}


def _ending(piece: Piece) -> dict[str, Any]:
    # The stop text is told as vLLM tells it; clients that do not know the field pass over it.
    return {"finish_reason": piece.finish, "stop_reason": piece.stopped_at}


def model_object(name: str, created: int, methods: Sequence[str]) -> dict[str, Any]:
    """Describe a served model."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER, "educe": {"methods": list(methods)}}
