"""`Limits`: what one request and all requests together may ask of the server."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from educe.core import UsageError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the OpenAI-compatible API; what passes one of them is refused with a status of its own.

    Parameters
    ----------
    n : int
        Most rows of one prompt, and most samples of a method.
    tokens : int
        Most tokens of one row.
    default_tokens : int
        Tokens of a chat row whose request names no limit; never more than ``tokens``.
    request_tokens : int
        Most tokens that one request may draw: rows times tokens of a row. A method's budget never exceeds it.
    texts : int
        Most prompts of one text completion, and most texts of one embeddings request.
    characters : int
        Most characters of all texts of a request together; reading them into tokens holds up other requests.
    stops : int
        Most stop texts.
    bytes : int
        Most bytes of a request's body; what is longer is refused while it arrives.
    concurrency : int
        Requests that are worked on at the same time.
    queue : int
        Requests that may wait for their turn; 0 refuses whatever cannot begin at once.
    read_seconds : float
        Seconds that a body may take to arrive.
    write_seconds : float
        Seconds that a client may take to receive one piece of a stream.

    Raises
    ------
    UsageError
        A bound is not a positive number.

    Examples
    --------
    >>> Limits(n=8).default_tokens
    1024
    """

    n: int = 128
    tokens: int = 4096
    default_tokens: int = 1024
    request_tokens: int = 131_072
    texts: int = 256
    characters: int = 262_144
    stops: int = 16
    bytes: int = 4 << 20
    concurrency: int = 4
    queue: int = 64
    read_seconds: float = 30.0
    write_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name == "queue" else 1 if field.type == "int" else 0.001
            whole = field.type != "int" or isinstance(value, int)
            if isinstance(value, bool) or not whole or not math.isfinite(value) or value < lowest:
                raise UsageError(f"Limit {field.name}={value!r} is out of range. Give a number >= {lowest}.")
