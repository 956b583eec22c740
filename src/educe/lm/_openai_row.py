"""From the answers of an OpenAI-compatible server to the chunks of one row.

Chat and text completions, streamed or whole, and both shapes of log-probabilities in use (lists beside each
other, or one object per token). Token ids are not served, so chunks carry none; offsets are counted from
the texts or bytes of the tokens that the server names.
"""

from __future__ import annotations

import codecs
import math
import re
from typing import Any

from educe.lm._openai_answers import TRANSIENT, RequestError, error_words
from educe.lm.completion import Chunk, Sampling, TopLogprob

__all__ = ["RowReader", "objects", "token_entries", "top_entries"]

LENGTH = frozenset({"length", "max_tokens"})
STOPPED_AT = ("stop_reason", "matched_stop", "stopping_word")  # vLLM, SGLang, llama.cpp
BROKEN = frozenset({"content_filter", "abort", "error", "cancelled"})
_BYTE = re.compile(r"\\x([0-9a-fA-F]{2})")


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array; nothing else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _token_bytes(token: object, given: object) -> bytes:
    if isinstance(given, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in given):
        return bytes(given)
    text = token if isinstance(token, str) else ""
    if text.startswith("bytes:"):
        # Text completions name a part of a character by its bytes: "bytes:\xf0\x9f".
        return bytes(int(digits, 16) for digits in _BYTE.findall(text))
    return text.encode("utf-8", "surrogatepass")


def token_entries(logprobs: object) -> list[tuple[bytes, float | None]]:
    """Read a ``logprobs`` object of either shape.

    Returns
    -------
    list of (bytes, float or None)
        Each token's text and log-probability; None where the server gives no number.
    """
    shape = _object(logprobs)
    if isinstance(shape.get("content"), list):
        raw = [(entry.get("token"), entry.get("bytes"), entry.get("logprob")) for entry in objects(shape["content"])]
    else:
        tokens, values = shape.get("tokens"), shape.get("token_logprobs")
        if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
            return []
        raw = [(token, None, value) for token, value in zip(tokens, values, strict=True)]
    return [
        (_token_bytes(token, given), float(value) if isinstance(value, int | float) and math.isfinite(value) else None)
        for token, given, value in raw
    ]


def top_entries(logprobs: object) -> list[tuple[TopLogprob, ...]]:
    """Read the most probable tokens of each place from a ``logprobs`` object of either shape."""
    shape = _object(logprobs)
    if isinstance(shape.get("content"), list):
        places = [
            [(entry.get("token"), entry.get("bytes"), entry.get("logprob")) for entry in objects(place["top_logprobs"])]
            for place in objects(shape["content"])
            if place.get("top_logprobs")
        ]
    else:
        given = shape.get("top_logprobs")
        places = [
            [(token, None, value) for token, value in place.items()]
            for place in (objects(given) if isinstance(given, list) else [])
        ]
    return [
        tuple(
            sorted(
                (
                    TopLogprob(None, _token_bytes(token, data), float(value))
                    for token, data, value in place
                    if isinstance(value, int | float) and math.isfinite(value)
                ),
                key=lambda entry: -entry.logprob,
            )
        )
        for place in places
    ]


def _text(value: object) -> str:
    if isinstance(value, list):
        return "".join(part["text"] for part in objects(value) if isinstance(part.get("text"), str))
    return value if isinstance(value, str) else ""


class RowReader:
    """Read the answers of one request for one row.

    Parameters
    ----------
    row : int
        Which row its chunks belong to.
    sampling : Sampling
        How it was drawn.

    Attributes
    ----------
    started : bool
        Whether a chunk was given out, so that the request must not be made again.
    logprobs_missing : bool
        Whether some text came without a log-probability.
    """

    def __init__(self, row: int, sampling: Sampling) -> None:
        self.row, self.sampling, self.started = row, sampling, False
        self.logprobs_missing = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoded = 0
        self._half = ""
        self._entries = self._sampled = self._characters = 0
        self._finish: str | None = None
        self._stopped_at: str | None = None
        self._usage: dict[str, Any] = {}
        self._answered = self._done = False

    def take(self, answer: dict[str, Any] | None) -> Chunk | None:
        """Read one answer; None stands for the word that the stream is complete.

        Raises
        ------
        RequestError
            The server reports an error, or cut the row.
        """
        if answer is None:
            self._done = True
            return None
        if answer.get("error"):
            raise self._reported(answer)
        self._usage = _object(answer.get("usage")) or self._usage
        choices = [choice for choice in objects(answer.get("choices")) if _count(choice.get("index")) == 0]
        if not choices:
            return None
        choice, self._answered = choices[0], True
        said = _object(choice.get("delta")) or _object(choice.get("message"))
        self._take_finish(choice)
        thought = bool(said.get("reasoning_content") or said.get("reasoning"))
        text = self._whole(_text(said.get("content")) or _text(choice.get("text")))
        entries = token_entries(choice.get("logprobs"))
        top = top_entries(choice.get("logprobs")) if self.sampling.top_logprobs else []
        if not (text or entries or thought):
            return None
        self.started = True
        self._characters += len(text)
        self._entries += len(entries)
        # Thoughts are drawn and counted but are no part of the text, so places in the text have no meaning beside them.
        if thought or not self._entries or any(value is None for _, value in entries):
            self.logprobs_missing = True
        drawn = len(entries) or 1
        self._sampled += drawn
        values = tuple(value for _, value in entries if value is not None)
        logprobs = None if self.logprobs_missing else values
        return Chunk(
            row=self.row,
            text=text,
            logprobs=logprobs,
            sampling_logprobs=self._drawn_from(logprobs),
            offsets=self._offsets(entries),
            sampled_tokens=drawn,
            top_logprobs=tuple(place[: self.sampling.top_logprobs] for place in top),
        )

    @property
    def complete(self) -> bool:
        """Whether the row has said how it ended, so that what breaks later takes nothing away."""
        return self._answered and (self._done or self._finish is not None)

    def last(self) -> Chunk:
        """The chunk that ends the row.

        Raises
        ------
        RequestError
            The stream broke off before the row's end.
        """
        if not self._answered:
            raise RequestError(
                "The server's answer has no choices", "Is this the address of the API? It should end in /v1"
            )
        if self._finish is None and not self._done:
            raise RequestError(
                f"The server ended a row after {self._characters} characters without saying that it is complete",
                "Run it again, or look at the server's log",
                transient=True,
            )
        drawn = _count(self._usage.get("completion_tokens"))
        finish = self._finish or ("length" if drawn >= self.sampling.max_tokens else "stop")
        cached = _object(self._usage.get("prompt_tokens_details")).get("cached_tokens")
        logprobs = None if self.logprobs_missing or not self._entries else ()
        return Chunk(
            row=self.row,
            text="\ufffd" if self._half else "",
            logprobs=logprobs,
            sampling_logprobs=self._drawn_from(logprobs),
            finish=finish,
            stopped_at=self._stopped_at if finish == "stop" else None,
            prompt_tokens=_count(self._usage.get("prompt_tokens")),
            cached_tokens=_count(cached),
            sampled_tokens=max(drawn - self._sampled, 0),
        )

    def _drawn_from(self, logprobs: tuple[float, ...] | None) -> tuple[float, ...] | None:
        """Log-probabilities under the law of the draw, known where it is the model's own or leaves no choice."""
        how = self.sampling
        if logprobs is not None and how.temperature == 0:
            return (0.0,) * len(logprobs)
        unmodified = (how.temperature, how.top_p, how.top_k, how.min_p) == (1, 1, 0, 0) and not how.adjusts
        return logprobs if unmodified else None

    def _offsets(self, entries: list[tuple[bytes, float | None]]) -> tuple[int, ...]:
        offsets = []
        for token, _ in entries:
            offsets.append(self._decoded)
            self._decoded += len(self._decoder.decode(token))
        return tuple(offsets)

    def _whole(self, text: str) -> str:
        """Put together the halves of a character that a server wrote as two escapes in two events."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if any("\ud800" <= character <= "\udfff" for character in text):
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def _take_finish(self, choice: dict[str, Any]) -> None:
        reason = choice.get("finish_reason")
        if not isinstance(reason, str):
            return
        if reason in BROKEN:
            raise RequestError(f"The server cut a row: {reason}", "Change the prompt, or look at the server's log")
        self._finish = "length" if reason in LENGTH else "stop"
        if self._finish == "stop" and self.sampling.stop:
            told = [choice[name] for name in STOPPED_AT if name in choice]
            # A number is the token by which the model ended the row.
            self._stopped_at = next((text for text in told if isinstance(text, str) and text), None) if told else ""

    def _reported(self, answer: dict[str, Any]) -> RequestError:
        words = error_words(answer)
        code = _object(answer["error"]).get("code")
        status = code if isinstance(code, int) else None
        return RequestError(
            f"The server reports an error: {words or 'no words'}",
            "Look at the server's log",
            status=status,
            words=words,
            transient=status in TRANSIENT,
        )
