"""`LanguageModel`: the one interface of every backend. Asynchronous core, sync face.

A backend writes `stream`; `sample` is the stream gathered. `score` and `embed` are written where they
can be served, and `capabilities` says so.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from educe.core.errors import CapabilityError, UsageError
from educe.core.ledger import Budget, Ledger
from educe.core.seed import Seed
from educe.core.sync import run_sync
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.constraint import Constraint
from educe.lm.prompt import Prompt

if TYPE_CHECKING:
    from educe.lm.session import Session

__all__ = ["LanguageModel", "Price"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Parameters
    ----------
    prompt, sampled : float
        For tokens sent and tokens drawn, >= 0.
    """

    prompt: float = 0.0
    sampled: float = 0.0


class LanguageModel(abc.ABC):
    """A language model that can be sampled, and perhaps scored and embedded with.

    Subclasses set `name` and `capabilities` and write `stream`.

    Attributes
    ----------
    name : str
        What `educe.load` was given.
    capabilities : frozenset of str
        Of ``"logprobs"`` (completions carry them), ``"score"``, ``"embed"``, ``"seed"`` (same seed, same row),
        ``"text"`` (continues plain text), ``"chat"``, ``"continuation"`` (goes on with the assistant's last message);
        and for `Sampling`: ``"repetition_penalty"``, ``"penalties"`` (presence and frequency), ``"logit_bias"``,
        ``"top_logprobs"``, and the kinds of constraint ``"json_schema"``, ``"regex"``, ``"grammar"``.
    path : Path or None
        The model's file or folder, where it has one.
    price : Price
        What tokens cost.
    """

    name: str = "unnamed"
    capabilities: frozenset[str] = frozenset({"text", "chat", "continuation"})
    path: Path | None = None
    price: Price = Price()
    sampling_capabilities: ClassVar[frozenset[str]] = frozenset(
        {"repetition_penalty", "penalties", "logit_bias", "top_logprobs", "json_schema", "regex", "grammar"}
    )
    all_capabilities: ClassVar[frozenset[str]] = sampling_capabilities | {
        "logprobs",
        "score",
        "embed",
        "seed",
        "text",
        "chat",
        "continuation",
    }

    @abc.abstractmethod
    def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Draw one row per seed and yield pieces of all rows as they come.

        Parameters
        ----------
        prompt : str or sequence of Message
            Shared by all rows; computed once where the backend can.
        seeds : sequence of int
            One per row, 63 bits. A row depends on its own seed alone, never on its neighbours.
        sampling : Sampling
            How to draw.

        Yields
        ------
        Chunk
            Rows interleave; each row ends with a chunk whose ``finish`` is set. Closing the iterator early frees
            the rows.
        """

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
        stop: Sequence[str] = (),
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        top_logprobs: int = 0,
        constraint: Constraint | None = None,
        seed: int | Seed = 0,
    ) -> list[Completion]:
        """Draw `n` completions of one prompt.

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
        seed : int or Seed
            Row ``i`` draws from the child ``("row", i)`` of this seed.

        Returns
        -------
        list of Completion
            In row order.

        Raises
        ------
        UsageError
            A parameter is out of range or the prompt is empty.
        CapabilityError
            The model cannot draw in this way.
        BackendError
            The model or server failed.
        """
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
        self.require(*sampling.needs)
        seeds = [Seed.of(seed).child("row", row).bits() for row in range(n)]
        rows: list[list[Chunk]] = [[] for _ in seeds]
        async for chunk in self.stream(prompt, seeds, sampling):
            rows[chunk.row].append(chunk)
        return [Completion.of_chunks(chunks) for chunks in rows]

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Return the log-probabilities of given continuations, each tokenised jointly with the prompt.

        Parameters
        ----------
        prompt : str or sequence of Message
            What comes before.
        continuations : sequence of str
            Texts to score, not empty.

        Returns
        -------
        list of Completion
            One per continuation, ``finish == "given"``. A token that straddles the border counts as the continuation's.

        Raises
        ------
        CapabilityError
            The backend cannot score.
        """
        raise CapabilityError(
            f"Model {self.name!r} cannot score given text. Use a model with log-probabilities, "
            "for instance smollm2-135m."
        )

    async def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return one vector per text.

        Parameters
        ----------
        texts : sequence of str
            Not empty.

        Returns
        -------
        Tensor
            (texts, dimensions) float32, unit length.

        Raises
        ------
        CapabilityError
            The backend has no embeddings.
        """
        raise CapabilityError(
            f"Model {self.name!r} has no embeddings. Use a model that has, for instance smollm2-135m."
        )

    @property
    def fingerprint(self) -> str:
        """What tells this model from all others in the store; local models add their weights and number format."""
        return self.name

    async def aclose(self) -> None:  # noqa: B027
        """Free what the model holds (connections, threads)."""

    def session(
        self,
        budget: Budget | None = None,
        seed: int | Seed = 0,
        *,
        trace: bool = False,
        on_chunk: Callable[[Chunk, Ledger], None] | None = None,
    ) -> Session:
        """Return the model as one run sees it: metered, seeded, limited, traced.

        Parameters
        ----------
        budget, seed, trace, on_chunk
            As for `Session`.

        Returns
        -------
        Session
        """
        from educe.lm.session import Session

        return Session(self, budget, seed, trace=trace, on_chunk=on_chunk)

    def require(self, *capabilities: str) -> None:
        """Refuse early when the model lacks what a method needs.

        Raises
        ------
        CapabilityError
            One is missing.
        """
        missing = [name for name in capabilities if name not in self.capabilities]
        if missing:
            raise CapabilityError(
                f"Model {self.name!r} lacks {', '.join(missing)}. Choose another model or another method."
            )

    def sample_sync(self, prompt: Prompt, **options: object) -> list[Completion]:
        """`sample` for ordinary code; also works inside a running loop."""
        return run_sync(self.sample(prompt, **options))  # type: ignore[arg-type]

    def score_sync(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """`score` for ordinary code; also works inside a running loop."""
        return run_sync(self.score(prompt, continuations))

    def embed_sync(self, texts: Sequence[str]) -> torch.Tensor:
        """`embed` for ordinary code; also works inside a running loop."""
        return run_sync(self.embed(texts))

    def close(self) -> None:
        """`aclose` for ordinary code."""
        run_sync(self.aclose())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
