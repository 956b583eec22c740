"""Any server that speaks the OpenAI API, as a language model: vLLM, llama.cpp, SGLang, hosted ones.

Rows are separate streaming requests, a bounded number at a time. What a server does not know
is found out by asking: a field that leaves the law of the rows as it is (log-probabilities, seed, a truncation
that truncates nothing) is dropped when the server refuses it by name, any other is an error.

What cannot be known from outside, and is therefore not promised: whether log-probabilities at a temperature
other than 1 are those of the unmodified model (vLLM and llama.cpp send these by default); whether the server adds
truncations or penalties of its own (start vLLM with ``--generation-config vllm``); whether the
same seed gives the same row.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import torch

from educe.core.errors import BackendError, CapabilityError, EduceError, UsageError, nearest
from educe.lm._openai_address import api_key as find_key
from educe.lm._openai_address import checked_address
from educe.lm._openai_answers import RequestError, answers
from educe.lm._openai_dialect import Dialect
from educe.lm._openai_given import scored, unit_vectors
from educe.lm._openai_http import Transport
from educe.lm._openai_row import RowReader, objects
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.model import LanguageModel, Price
from educe.lm.prompt import Prompt, check_prompt

__all__ = ["OpenAIModel", "parse_openai"]

T = TypeVar("T")

EMBED_BATCH = 64  # texts of one request


def parse_openai(spec: str) -> tuple[str, str]:
    """Split ``openai:http://host:port/v1#MODEL``.

    Parameters
    ----------
    spec : str
        What `educe.load` was given.

    Returns
    -------
    base_url : str
        Without a slash at its end.
    model : str
        Empty where the spec names none; `OpenAIModel` then asks the server.

    Raises
    ------
    UsageError
        It is not of this form.

    Examples
    --------
    >>> parse_openai("openai:http://127.0.0.1:8000/v1#Qwen/Qwen3-8B")
    ('http://127.0.0.1:8000/v1', 'Qwen/Qwen3-8B')
    """
    kind, _, rest = spec.partition(":")
    if kind != "openai":
        raise UsageError(f"Model {spec!r} does not begin with 'openai:'. Give openai:http://host:port/v1#MODEL.")
    address, _, model = rest.partition("#")
    return checked_address(address), model.strip()


async def _all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class OpenAIModel(LanguageModel):
    """A model behind an OpenAI-compatible server.

    Token ids are not served, so completions have none. Tokens drawn are the server's own count where it tells;
    until then, and where it does not, log-probability entries or else pieces of text are counted, which is
    a lower estimate. Thoughts that a server keeps apart from its answer are counted but are no part of the text.

    Parameters
    ----------
    base_url : str
        Address of the API; it usually ends in ``/v1``.
    model : str
        Name of the model there; empty takes the only one that the server has.
    api_key : str, optional
        Else ``EDUCE_API_KEY``, else ``OPENAI_API_KEY`` (this one not over plain http to another machine).
    concurrency : int
        Most requests at the same time, >= 1.
    timeout : float
        Seconds without a byte after which a request fails, > 0.
    retries : int
        How often a busy or failing server is asked again, >= 0.
    price : Price
        What tokens cost.

    Attributes
    ----------
    capabilities : frozenset of str
        What the API documents. A server may have less: the call that finds out raises `CapabilityError` (or gives
        rows whose log-probabilities are None), and the capability is gone from the set. Never ``"seed"``.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Notes
    -----
    Connections belong to an event loop; await `aclose` before the loop ends.

    Examples
    --------
    >>> OpenAIModel("http://127.0.0.1:8000/v1", "tiny").fingerprint
    'openai:http://127.0.0.1:8000/v1#tiny'
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        price: Price = LanguageModel.price,
    ) -> None:
        for name, value, fine, wanted in (
            ("concurrency", concurrency, concurrency >= 1, ">= 1"),
            ("timeout", timeout, 0 < timeout < float("inf"), "a number of seconds > 0"),
            ("retries", retries, retries >= 0, ">= 0"),
        ):
            if not fine:
                raise UsageError(f"OpenAIModel {name}={value!r} is out of range. Give {wanted}.")
        self.base_url = checked_address(base_url)
        self.model = model
        self.price = price
        drawn = {"penalties", "logit_bias", "top_logprobs", "json_schema"}
        self.capabilities = frozenset({"text", "chat", "continuation", "logprobs", "score", "embed"} | drawn)
        self.transport = Transport(self.base_url, find_key(api_key, self.base_url), concurrency, timeout, retries)
        self.name = self.fingerprint
        self._dialect = Dialect()
        self._echo_draws = 0

    @property
    def fingerprint(self) -> str:
        """Address and model: what distinguishes this model from others, without its key."""
        return f"openai:{self.base_url}#{self.model}"

    async def resolve(self) -> str:
        """Return the model's name; where none was given, ask the server for its only one.

        Raises
        ------
        UsageError
            It has none or several.
        BackendError
            It does not answer.
        """
        if not self.model:
            names = await self._names()
            if len(names) != 1:
                listed = ", ".join(names[:20]) or "none"
                raise UsageError(
                    f"The server at {self.base_url} has {len(names)} models ({listed}). "
                    f"Name one: openai:{self.base_url}#MODEL."
                )
            self.model = names[0]
            self.name = self.fingerprint
        return self.model

    async def _names(self) -> list[str]:
        answer = await self.transport.ask("GET", "/models")
        return [entry["id"] for entry in objects(answer.get("data")) if isinstance(entry.get("id"), str)]

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Draw one row per seed, each by a request of its own; see `LanguageModel.stream`.

        Every row's last chunk tells that request's prompt tokens. A chat that ends with the assistant's beginning is
        marked for continuation as vLLM and SGLang want it; a server that refuses that cannot continue.

        Raises
        ------
        UsageError
            The prompt is empty, or the server has several models and none was named.
        CapabilityError
            The API has no word for something that was asked for (a repetition penalty, a regular expression, a
            grammar), or the server refuses something that changes how rows are drawn.
        BackendError
            The server failed.
        """
        check_prompt(prompt)
        self.require(*sampling.needs)
        await self.resolve()
        # Without a bound: rows that waited for the reader would hold the slots that the reader's own requests need.
        queue: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()

        async def draw(row: int, seed: int) -> None:
            try:
                await self._row(row, prompt, seed, sampling, queue.put_nowait)
            except Exception as error:
                queue.put_nowait(error)
            else:
                queue.put_nowait(None)

        tasks = [asyncio.create_task(draw(row, seed)) for row, seed in enumerate(seeds)]
        running = len(tasks)
        try:
            while running:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _row(self, row: int, prompt: Prompt, seed: int, sampling: Sampling, put: Callable[[Chunk], None]) -> None:
        body: dict[str, Any] = {}

        async def attempt() -> None:
            nonlocal body
            path, body = self._dialect.request(self.model, prompt, seed, sampling)
            reader, ended = RowReader(row, sampling), False
            try:
                async with self.transport.open("POST", path, body) as pieces, aclosing(answers(pieces)) as parts:
                    async for answer in parts:
                        chunk = reader.take(answer)
                        if chunk is not None:
                            put(chunk)
                        if answer is None:
                            put(reader.last())
                            ended = True
                if not ended:
                    put(reader.last())
            except RequestError as failure:
                # Text that was given out cannot be taken back.
                failure.transient = failure.transient and not reader.started
                if not reader.complete:
                    raise
                if not ended:
                    put(reader.last())
            if reader.logprobs_missing:
                self.capabilities -= {"logprobs"}

        while True:
            try:
                async with self.transport.slot():
                    return await self.transport.retry(seed, attempt)
            except RequestError as failure:
                try:
                    learnt = self._dialect.learn(failure, body)
                except CapabilityError:
                    if body.get("continue_final_message"):
                        self.capabilities -= {"continuation"}
                    raise
                if not learnt:
                    raise await self._explained(failure) from None

    async def _explained(self, failure: RequestError) -> EduceError:
        if failure.status != 404:
            return failure
        try:
            names = await asyncio.wait_for(self._names(), 5.0)
        except (BackendError, TimeoutError):
            return failure
        if not names or self.model in names:
            return failure
        return BackendError(
            f"The server at {self.base_url} has no model {self.model!r}: {nearest(self.model, names)} "
            "Give one of its names."
        )

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Score given text through an echoed text completion; see `LanguageModel.score`.

        Raises
        ------
        UsageError
            The prompt or a continuation is empty.
        CapabilityError
            The prompt is a chat, or the server does not echo log-probabilities.
        BackendError
            The server failed.
        """
        check_prompt(prompt)
        if not isinstance(prompt, str):
            raise CapabilityError(
                f"Model {self.name!r} cannot score an answer to a chat: its server alone knows the chat's text. "
                "Give the prompt as text, or use a model that is scored here."
            )
        if not all(continuations):
            raise UsageError("A continuation to score is empty. Give texts of at least one character.")
        await self.resolve()
        return await _all(self._scored(prompt, text, index) for index, text in enumerate(continuations))

    async def _scored(self, prompt: str, continuation: str, index: int) -> Completion:
        while True:
            draws = self._echo_draws
            body = {
                "model": self.model,
                "prompt": prompt + continuation,
                "max_tokens": draws,
                "temperature": 0,
                "logprobs": 1,
                "echo": True,
            }
            try:
                answer = await self.transport.ask("POST", "/completions", body, seed=index)
                return scored(answer, prompt, continuation, draws)
            except RequestError as failure:
                if failure.status in {400, 422} and draws == 0:
                    # Some servers must draw a token to say anything.
                    self._echo_draws = 1
                    continue
                raise await self._lacking(failure, "score", "echo|logprobs?|prompt_logprobs") from None
            except CapabilityError:
                self.capabilities -= {"score"}
                raise

    async def _lacking(self, failure: RequestError, capability: str, words: str) -> EduceError:
        no_route = failure.status in {404, 405} and "model" not in failure.words.lower()
        named = failure.status in {400, 403, 422} and re.search(rf"(?i)\b({words})\b|not support", failure.words)
        if not (no_route or named or failure.status == 501):
            return await self._explained(failure)
        self.capabilities -= {capability}
        told = f" ({failure.words[:200]})" if failure.words else ""
        return CapabilityError(
            f"The server at {self.base_url} cannot {capability}{told}. Use another server, or a model that runs here."
        )

    async def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts; see `LanguageModel.embed`.

        Raises
        ------
        UsageError
            A text is empty.
        CapabilityError
            The server has no embeddings.
        BackendError
            The server failed, or sent no vectors.
        """
        if not texts or not all(texts):
            raise UsageError("There is no text to embed, or one is empty. Give texts of at least one character.")
        await self.resolve()
        batches = [list(texts[start : start + EMBED_BATCH]) for start in range(0, len(texts), EMBED_BATCH)]
        return torch.cat(await _all(self._embedded(batch) for batch in batches))

    async def _embedded(self, texts: list[str]) -> torch.Tensor:
        try:
            answer = await self.transport.ask("POST", "/embeddings", {"model": self.model, "input": texts})
        except RequestError as failure:
            raise await self._lacking(failure, "embed", "embed|embeddings?") from None
        return unit_vectors(answer, len(texts))

    async def aclose(self) -> None:
        """Close the connections of this event loop and of all others that still run."""
        await self.transport.aclose()
