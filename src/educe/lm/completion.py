"""What a model returns: `Chunk` as it comes, `Completion` when a row is done, `Sampling` for how it was drawn.

Every backend speaks in chunks; a completion is the chunks of one row put together, nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from educe.core.errors import CapabilityError, UsageError
from educe.lm.constraint import Constraint

__all__ = ["Chunk", "Completion", "Sampling", "TopLogprob"]

MOST_TOP = 20


class TopLogprob(NamedTuple):
    """One of the most probable tokens at some place of a row.

    Parameters
    ----------
    token : int or None
        Its id; None where a server does not tell.
    data : bytes
        What it stands for: UTF-8, perhaps a part of a character. Control tokens give their spelling.
    logprob : float
        Under the unmodified model.
    """

    token: int | None
    data: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """How rows are drawn.

    Parameters
    ----------
    max_tokens : int
        Most tokens a row may have, >= 1.
    temperature : float
        Divides the logits, >= 0; 0 takes the most probable token.
    top_p : float
        Keep the smallest set of most probable tokens with at least this mass, in (0, 1]; 1 keeps all.
    top_k : int
        Keep this many most probable tokens, >= 0; 0 keeps all.
    min_p : float
        Drop tokens less probable than this share of the most probable one, in [0, 1]; 0 keeps all.
    stop : tuple of str
        A row ends where one of these texts begins; the text itself is left out of the completion.
    repetition_penalty : float
        Logits of tokens that stand in the prompt or the row are divided by this where positive and multiplied where
        negative, > 0; 1 leaves them.
    presence_penalty, frequency_penalty : float
        Taken from the logit of every token that the row has drawn, once, and once for each time, in [-2, 2].
    logit_bias : tuple of (int, float), or mapping
        What is added to the logits of some tokens, in [-100, 100]; -100 forbids and, against other tokens, 100 demands.
    top_logprobs : int
        How many of the most probable tokens to tell at each place, in [0, 20].
    constraint : Constraint or None
        The form that the text must have.

    Raises
    ------
    UsageError
        A value is out of range.

    Notes
    -----
    Order: repetition penalty, presence and frequency penalty, bias, constraint, temperature, top-k, top-p, min-p, as in
    the common engines. None of them changes ``logprobs`` and ``top_logprobs``, which are those of the unmodified model.

    Examples
    --------
    >>> Sampling(max_tokens=8, temperature=0.7).top_p
    1.0
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int = 0
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        bias = dict(self.logit_bias)
        object.__setattr__(self, "logit_bias", tuple(sorted(bias.items())))
        if isinstance(self.stop, str):  # type: ignore[unreachable]  # a text is a sequence of texts to Python
            object.__setattr__(self, "stop", (self.stop,))  # type: ignore[unreachable]
        checks = (
            ("max_tokens", self.max_tokens >= 1, "a whole number >= 1"),
            ("temperature", math.isfinite(self.temperature) and self.temperature >= 0, "a number >= 0"),
            ("top_p", 0 < self.top_p <= 1, "a number in (0, 1]"),
            ("top_k", self.top_k >= 0, "a whole number >= 0"),
            ("min_p", 0 <= self.min_p <= 1, "a number in [0, 1]"),
            ("stop", all(self.stop), "texts that are not empty"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "a number > 0"),
            ("presence_penalty", -2 <= self.presence_penalty <= 2, "a number in [-2, 2]"),
            ("frequency_penalty", -2 <= self.frequency_penalty <= 2, "a number in [-2, 2]"),
            (
                "logit_bias",
                all(type(token) is int and token >= 0 and -100 <= value <= 100 for token, value in bias.items()),
                "token ids and numbers in [-100, 100]",
            ),
            ("top_logprobs", 0 <= self.top_logprobs <= MOST_TOP, f"a whole number in [0, {MOST_TOP}]"),
        )
        for name, fine, wanted in checks:
            if not fine:
                raise UsageError(f"Sampling {name}={getattr(self, name)!r} is out of range. Give {wanted}.")

    @property
    def needs(self) -> tuple[str, ...]:
        """Capabilities that a model must have to draw in this way."""
        wanted = {
            "repetition_penalty": self.repetition_penalty != 1,
            "penalties": self.presence_penalty != 0 or self.frequency_penalty != 0,
            "logit_bias": bool(self.logit_bias),
            "top_logprobs": self.top_logprobs > 0,
        }
        names = tuple(name for name, asked in wanted.items() if asked)
        return names if self.constraint is None else (*names, self.constraint.kind)

    @property
    def adjusts(self) -> bool:
        """Whether logits are changed before the temperature, by what the row has said or may say."""
        return bool(set(self.needs) - {"top_logprobs"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one row, as the backend produces it.

    Parameters
    ----------
    row : int
        Which of the requested rows, from 0.
    text : str
        Text that became certain with this chunk; may be empty (half a character, a possible stop text held back).
    tokens : tuple of int
        Token ids that this chunk adds, the end token included; empty where the server does not tell.
    logprobs : tuple of float or None
        Their log-probabilities under the unmodified model (temperature 1, nothing truncated); None where not served.
    sampling_logprobs : tuple of float or None
        Their log-probabilities under the law they were drawn from; None where not known.
    offsets : tuple of int
        Where each token's text begins, in characters from the start of the *row's* text.
    finish : str or None
        ``"stop"`` (end token or stop text), ``"length"``, or None while the row goes on.
    prompt_tokens, cached_tokens : int
        Tokens of the prompt, told once per request on its first chunk, 0 on all others.
    sampled_tokens : int
        Tokens that this chunk adds to the bill; equal to ``len(tokens)`` wherever tokens are told.
    stopped_at : str or None
        The stop text that ended the row, told with ``finish``; None where the model ended it, empty where a server
        does not tell which of the two it was.
    draft_tokens : int
        Tokens that were proposed for this row by cheaper means, whether they were right or not.
    top_logprobs : tuple of tuple of TopLogprob
        For each token the most probable ones at its place, best first; empty where not asked for.
    """

    row: int
    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] | None = ()
    sampling_logprobs: tuple[float, ...] | None = ()
    offsets: tuple[int, ...] = ()
    finish: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    sampled_tokens: int = 0
    stopped_at: str | None = None
    draft_tokens: int = 0
    top_logprobs: tuple[tuple[TopLogprob, ...], ...] = ()


def _joined(parts: Iterable[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    values: list[float] = []
    for part in parts:
        if part is None:
            return None
        values.extend(part)
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Completion:
    """One row of text with its tokens and log-probabilities.

    Parameters
    ----------
    text : str
        The text, without the stop text.
    tokens : tuple of int
        Token ids, the end token included where the model drew it.
    logprobs : tuple of float or None
        Per token, at temperature 1 and untruncated; None where the backend does not serve them.
    sampling_logprobs : tuple of float or None
        Per token, under the law it was drawn from; None for given text and where not known.
    offsets : tuple of int
        Start of each token in ``text``, in characters; the end token starts at ``len(text)``.
    finish : str
        ``"stop"``, ``"length"``, ``"budget"`` (cut by the session), or ``"given"`` (scored text).
    prompt_tokens, cached_tokens : int
        For scored text, tokens of the prompt that was computed for it, and how many of these a cache had: told once
        where several share one, 0 on the others. Sampled rows tell theirs in chunks.
    stopped_at : str or None
        The stop text that ended the row; None where the model ended it, empty where a server does not tell.
    top_logprobs : tuple of tuple of TopLogprob
        For each token the most probable ones at its place, best first; empty where not asked for.

    Examples
    --------
    >>> done = Completion("4 legs", (1, 2), (-0.5, -0.25), None, (0, 1), "given")
    >>> done.logprob, done.logprob_of(0, 1)
    (-0.75, -0.5)
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] | None = None
    sampling_logprobs: tuple[float, ...] | None = None
    offsets: tuple[int, ...] = ()
    finish: str = "stop"
    # Who pays for the prompt is no part of what the row says.
    prompt_tokens: int = field(default=0, compare=False)
    cached_tokens: int = field(default=0, compare=False)
    stopped_at: str | None = None
    top_logprobs: tuple[tuple[TopLogprob, ...], ...] = ()

    @classmethod
    def of_chunks(cls, chunks: Iterable[Chunk], finish: str | None = None) -> Completion:
        """Put the chunks of one row together.

        Parameters
        ----------
        chunks : iterable of Chunk
            All of one row, in order.
        finish : str or None
            Used where no chunk says how the row ended.
        """
        parts = list(chunks)
        ends = [part.finish for part in parts if part.finish is not None]
        return cls(
            text="".join(part.text for part in parts),
            tokens=tuple(token for part in parts for token in part.tokens),
            logprobs=_joined(part.logprobs for part in parts),
            sampling_logprobs=_joined(part.sampling_logprobs for part in parts),
            offsets=tuple(offset for part in parts for offset in part.offsets),
            finish=ends[-1] if ends else (finish or "stop"),
            stopped_at=next((part.stopped_at for part in reversed(parts) if part.finish is not None), None),
            top_logprobs=tuple(top for part in parts for top in part.top_logprobs),
        )

    @property
    def logprob(self) -> float:
        """Log-probability of the whole row at temperature 1.

        Raises
        ------
        CapabilityError
            The backend served no log-probabilities.
        """
        if self.logprobs is None:
            raise CapabilityError(
                "This completion has no log-probabilities: its server did not send them. "
                "Use a model that serves them, for instance smollm2-135m."
            )
        return math.fsum(self.logprobs)

    def logprob_of(self, start: int, end: int | None = None) -> float:
        """Log-probability of a character span at temperature 1, given everything before it.

        Parameters
        ----------
        start, end : int
            The span ``text[start:end]``. Tokens that begin inside it count; so the spans of a partition add up to
            `logprob`. With ``end`` None the end token counts too.

        Returns
        -------
        float

        Raises
        ------
        UsageError
            The span is not inside the text.
        CapabilityError
            The backend served no log-probabilities.
        """
        last = len(self.text) if end is None else end
        if not 0 <= start <= last <= len(self.text):
            raise UsageError(f"Span [{start}, {end}) is not inside a text of {len(self.text)} characters. Give a part.")
        if self.logprobs is None:
            return self.logprob
        stop = math.inf if end is None else end
        pairs = zip(self.offsets, self.logprobs, strict=True)
        return math.fsum(value for offset, value in pairs if start <= offset < stop)

    def to_json(self) -> dict[str, Any]:
        """Return the completion as a JSON object."""
        return {
            "text": self.text,
            "tokens": list(self.tokens),
            "logprobs": None if self.logprobs is None else list(self.logprobs),
            "finish": self.finish,
        }
