"""`Engine`: educe's own runtime for language models, behind the interface of `LanguageModel`.

Requests from any number of event loops are served side by side by one thread (`scheduler`): rows of all of them are
computed together and share what their texts have in common, also with texts that were computed before (`tree`). A
row's tokens and log-probabilities depend on the prompt, its seed and the sampling law alone; with float32 and bfloat16
they are the same bit for bit whatever the number of rows, the neighbours, the order and the cache, for a given machine
and thread count. With int8 and int4 few rows are multiplied by other kernels than many, which round differently.

Not run yet: accelerators. The code takes a ``device``, and nothing in it is bound to the processor but the packed
matrix products, which fall back to plain ones.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from educe.core.errors import UsageError
from educe.lm._local import LocalModel
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine.blocks import BlockPool
from educe.lm.engine.constrain import AVAILABLE, Grammars, Guide
from educe.lm.engine.linear import FORMATS
from educe.lm.engine.model import Llama
from educe.lm.engine.policies import LocalLayers, Policies
from educe.lm.engine.requests import Embedding, Generation, Request, Scoring
from educe.lm.engine.rows import Row
from educe.lm.engine.scheduler import Scheduler
from educe.lm.engine.tokenizer import Encoded
from educe.lm.engine.weights import load_weights
from educe.lm.prompt import Prompt

__all__ = ["Engine"]


class Engine(LocalModel):
    """A local model run by educe itself.

    Parameters
    ----------
    path : Path
        A GGUF file of the architecture llama, or a safetensors folder of llama, mistral, qwen2, qwen3 or gemma3_text.
    name : str, optional
        What to call it; the file's name when left out.
    dtype : str
        ``"float32"``; ``"bfloat16"``: all matrices, the embedding included; ``"int8"`` or ``"int4"``: the matrices of
        the layers, the others as with bfloat16. Sums, norms, attention and its cache are float32.
    max_rows : int
        Most rows computed together, >= 1; more wait.
    max_requests : int
        Most requests that have not ended, >= 1; one more is answered with a `BusyError`.
    cache_bytes : int
        Most bytes that the prefix tree may take. The rows under way have their own parts beside it.
    policies : Policies, optional
        Where cheaper inference plugs in; the plain defaults when left out.
    device : str
        Where to compute.

    Raises
    ------
    UsageError
        A parameter is out of range.
    DataError
        The model is not sound or not supported.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        dtype: str = "float32",
        max_rows: int = 64,
        max_requests: int = 4096,
        cache_bytes: int = 1 << 30,
        policies: Policies | None = None,
        device: str = "cpu",
    ) -> None:
        path = Path(path)
        super().__init__(name or path.name, path, dtype, max_rows, FORMATS)
        if max_requests < 1:
            raise UsageError(f"max_requests={max_requests} leaves no request to serve. Give a number >= 1.")
        policies = policies or Policies()
        layers = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        others = torch.float32 if dtype == "float32" else torch.bfloat16
        weights, self.tokenizer = load_weights(path, layers, others)
        config = weights.config
        if config.local:
            local = LocalLayers(policies.attention, config.local, config.window)
            policies = replace(policies, attention=local)
        self.context, self.vocabulary = config.context, len(weights.output)
        self.model = Llama(weights.to(device), policies.weights, policies.exit, dtype)
        pool = BlockPool(config.layers, config.key_value_heads, config.head_dim, cache_bytes, device)
        if not pool.capacity:
            raise UsageError(
                f"cache_bytes={cache_bytes} is less than one block of {self.name}. Give at least {pool.block_bytes}."
            )
        self.scheduler = Scheduler(
            self.model,
            pool,
            max_rows=max_rows,
            max_requests=max_requests,
            policies=policies,
            name=self.name,
            spelling=self.tokenizer.spelling,
        )
        self._grammars = Grammars(self.tokenizer)
        constraints = set() if AVAILABLE else {"json_schema", "regex", "grammar"}
        self.capabilities = self.all_capabilities - constraints
        # An engine that nobody holds any more must not leave its thread behind.
        weakref.finalize(self, self.scheduler.stop)

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Draw one row per seed; see `LanguageModel.stream`. The first chunk tells the prompt's tokens alone.

        Raises
        ------
        UsageError
            There is no seed, the prompt is empty, malformed or longer than the context, or the constraint is unsound.
        CapabilityError
            Constraints need a package that is not installed.
        BusyError
            The engine has too many requests.
        BackendError
            The model failed, or was closed.
        """
        if not seeds:
            raise UsageError("No seed was given, so there is no row to draw. Give one seed per row.")
        head, tail = self.tokenizer.encode_prompt(prompt)
        tokens = [*head, *self.tokenizer.encode(tail)]
        self._check_length(len(tokens), 1)
        most = min(sampling.max_tokens, self.context - len(tokens))
        rows = [Row(number, seed, self.tokenizer, sampling.stop, most) for number, seed in enumerate(seeds)]
        guides: Sequence[Guide] = ()
        if sampling.logit_bias and sampling.logit_bias[-1][0] >= self.vocabulary:
            raise UsageError(
                f"logit_bias names token {sampling.logit_bias[-1][0]}; {self.name} has {self.vocabulary} tokens. "
                "Name one of them."
            )
        if sampling.constraint is not None:
            guides = await asyncio.to_thread(self._grammars.guides, sampling.constraint, len(seeds))
        async with aclosing(self._served(Generation(tokens, rows, sampling, guides))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _served(self, request: Request) -> AsyncGenerator[Any, None]:
        self.scheduler.submit(request)
        try:
            async for result in request.results():
                yield result
        finally:
            self.scheduler.cancel(request)

    async def _result(self, request: Request) -> Any:
        """Return the one result of a request."""
        async with aclosing(self._served(request)) as results:
            return [result async for result in results].pop()

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Return log-probabilities of given continuations; see `LanguageModel.score`.

        A prompt of one token that melts into the continuation leaves nothing to condition on; then the text's first
        token is conditioned on the end-of-text token that stands between documents.

        Raises
        ------
        UsageError
            A continuation is empty, or it does not fit into the context.
        """
        head, tail = self.tokenizer.encode_prompt(prompt)
        alone = [*head, *self.tokenizer.encode(tail)]
        self._check_length(len(alone), 0)
        separator = min(self.tokenizer.stop, default=0)
        joint: list[list[int]] = []
        texts: list[list[int]] = []
        firsts: list[int] = []
        for text in continuations:
            if not text:
                raise UsageError(
                    "A continuation is empty, so there is nothing to score. Give texts that are not empty."
                )
            tokens = [*head, *self.tokenizer.encode(tail + text)]
            self._check_length(len(tokens), 0)
            shared = next((i for i, (a, b) in enumerate(zip(alone, tokens, strict=False)) if a != b), len(alone))
            shared = min(shared, len(alone), len(tokens) - 1)
            joint.append(tokens)
            texts.append(tokens if shared else [separator, *tokens])
            firsts.append(max(shared, 1))
        if not texts:
            return []
        found, cached = await self._result(Scoring(alone, texts, firsts))
        rows: list[Completion] = []
        for text, tokens, logprobs in zip(continuations, joint, found, strict=True):
            rows.append(self._given(Encoded(head, tail), text, tokens, logprobs))
        return [replace(rows[0], prompt_tokens=len(alone), cached_tokens=cached), *rows[1:]]

    def _given(self, prompt: Encoded, text: str, joint: list[int], logprobs: list[float]) -> Completion:
        """Cut the tokens of a joint text down to those that reach into the continuation."""
        starts = self.tokenizer.starts(prompt.tail + text, joint[len(prompt.head) :])
        border, data = len(prompt.tail.encode()), text.encode()
        first = next((i for i in range(len(starts) - 1) if starts[i + 1] > border), len(starts) - 1)
        # A token inside a character counts from that character's beginning, as in generated rows.
        offsets = [len(data[: max(0, start - border)].decode(errors="ignore")) for start in starts[first:-1]]
        count = len(offsets)
        tokens, values = joint[len(joint) - count :], logprobs[len(logprobs) - count :]
        return Completion(text, tuple(tokens), tuple(values), None, tuple(offsets), "given")

    async def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the mean of each text's last hidden states, scaled to length 1; see `LanguageModel.embed`.

        Raises
        ------
        UsageError
            A text is empty or longer than the context.
        """
        encoded = [self.tokenizer.encode(text) for text in texts]
        for tokens in encoded:
            self._check_length(len(tokens), 0)
        vectors = torch.empty(len(encoded), self.model.config.width)
        for number, tokens in enumerate(encoded):
            vectors[number] = torch.tensor(await self._result(Embedding(tokens)))
        return vectors

    async def aclose(self) -> None:
        """End what runs within one step and free the thread; may be called twice."""
        self.scheduler.stop()
        await super().aclose()
        await asyncio.to_thread(self.scheduler.join)
