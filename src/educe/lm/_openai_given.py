"""What an OpenAI-compatible server says about given text: log-probabilities out of an echo, and embeddings.

For an echo the server names each token of prompt and continuation with its text; those are laid along the text that was
sent, from its end backwards, because some servers put a start token before it that the text does not have.
"""

from __future__ import annotations

import codecs
from typing import Any

import torch

from educe.core.errors import BackendError, CapabilityError
from educe.lm._openai_row import objects, token_entries
from educe.lm.completion import Completion

__all__ = ["scored", "unit_vectors"]


def scored(answer: dict[str, Any], prompt: str, continuation: str, drawn: int) -> Completion:
    """Read the continuation's share of an echo.

    Parameters
    ----------
    answer : dict
        The server's completion of ``prompt + continuation`` with ``echo``.
    prompt, continuation : str
        What was sent.
    drawn : int
        How many tokens the server was asked to draw after it, 0 or 1.

    Returns
    -------
    Completion
        With ``finish == "given"``; a token that straddles the border is the continuation's, at offset 0.

    Raises
    ------
    CapabilityError
        There is no echo, or it cannot be laid along the text.

    Examples
    --------
    >>> shape = {"tokens": ["A", " b", " c"], "token_logprobs": [None, -1.0, -2.0]}
    >>> scored({"choices": [{"text": "A b c", "logprobs": shape}]}, "A b", " c", 0).logprobs
    (-2.0,)
    """
    whole = prompt + continuation
    choice = next(iter(objects(answer.get("choices"))), {})
    entries = token_entries(choice.get("logprobs"))
    text = choice.get("text")
    if not entries or not isinstance(text, str) or not text.startswith(whole):
        raise CapabilityError(
            "The server does not return the log-probabilities of given text (echo). "
            "Use a model that is scored here, for instance smollm2-135m."
        )
    usage = answer.get("usage")
    told = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if drawn:
        entries = entries[: told if isinstance(told, int) and 0 < told <= len(entries) else -1]
    places = _by_bytes([token for token, _ in entries], prompt, whole)
    if places is None:
        shape = choice["logprobs"]
        places = _by_offsets([token for token, _ in entries], shape.get("text_offset"), prompt, whole)
    if places is None:
        raise CapabilityError(
            f"The server's tokens do not spell the text {whole[:40]!r}. "
            "Use a model that is scored here, for instance smollm2-135m."
        )
    mine = [(place, value) for place, (_, value) in zip(places, entries, strict=True) if place is not None]
    values = tuple(value for _, value in mine if value is not None)
    if len(values) < len(mine):
        raise CapabilityError(
            f"The server gives no log-probability to the first token of {whole[:40]!r}. Give a longer prompt."
        )
    offsets = tuple(place for place, _ in mine)
    return Completion(continuation, (), values, None, offsets, "given", len(entries) - len(mine))


def _by_bytes(tokens: list[bytes], prompt: str, whole: str) -> list[int | None] | None:
    """Each token's place in the continuation, None for the prompt's; None at all where the bytes differ."""
    expected = whole.encode("utf-8", "surrogatepass")
    extra = sum(map(len, tokens)) - len(expected)
    if extra < 0 or not b"".join(tokens).endswith(expected):
        return None
    border = extra + len(prompt.encode("utf-8", "surrogatepass"))
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    places: list[int | None] = []
    start = characters = 0
    for token in tokens:
        end = start + len(token)
        places.append(characters if end > border else None)
        characters += len(decoder.decode(token[max(border - start, 0) :]))
        start = end
    return places


def _by_offsets(tokens: list[bytes], offsets: object, prompt: str, whole: str) -> list[int | None] | None:
    """The same from the server's own offsets, for tokens that do not spell their bytes; checked where they do."""
    if not isinstance(offsets, list) or not all(isinstance(offset, int) for offset in offsets):
        return None
    starts = offsets[: len(tokens)]
    if len(starts) < len(tokens) or starts != sorted(starts):
        return None
    border = len(prompt)
    places: list[int | None] = []
    for token, start, end in zip(tokens, starts, [*starts[1:], len(whole)], strict=True):
        inside = start >= border or end > border
        text = token.decode(errors="replace")
        if inside and "\ufffd" not in text and not whole.startswith(text, start):
            return None
        places.append(max(start - border, 0) if inside else None)
    return places


def unit_vectors(answer: dict[str, Any], count: int) -> torch.Tensor:
    """Read an embeddings answer.

    Returns
    -------
    Tensor
        (count, dimensions) float32, unit length, in the order of the texts that were sent.

    Raises
    ------
    BackendError
        It does not hold this many vectors of one length, finite and not zero.

    Examples
    --------
    >>> unit_vectors({"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]}, 2)
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    entries = sorted(objects(answer.get("data")), key=lambda entry: _place(entry.get("index")))
    try:
        vectors = torch.tensor([entry["embedding"] for entry in entries], dtype=torch.float64)
    except (KeyError, TypeError, ValueError, RuntimeError):
        vectors = torch.empty(0)
    lengths = torch.linalg.vector_norm(vectors, dim=-1)
    if vectors.ndim != 2 or len(vectors) != count or not bool((lengths.isfinite() & (lengths > 0)).all()):
        raise BackendError(f"The server did not send {count} vectors of one length. Check or update the server.")
    return torch.nn.functional.normalize(vectors, dim=-1).float()


def _place(index: object) -> int:
    return index if isinstance(index, int) else 0
