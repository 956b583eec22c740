"""Models of the transformers library, behind the interface of `LanguageModel`.

For architectures that educe's own engine does not run. The prompt is computed once and its cache repeated
for the rows, which go on in lock-step; tokens are drawn by the engine's sampler, each row from its own seed.
A batch of another size may round differently, so a row can differ in a rare token between batch sizes.

Code that comes with a model is never run and pickled weights are never read. Not covered:
encoder-decoder models, weights over several devices.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import torch

from educe.core.errors import BackendError, CapabilityError, UsageError
from educe.lm._hf_loading import ends, load, local
from educe.lm._hf_text import ByteDecoder, Decoder, HFText
from educe.lm._local import DTYPES, LocalModel
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine.rows import Row
from educe.lm.engine.sampling import draw
from educe.lm.prompt import Prompt

__all__ = ["TransformersModel"]

LOGITS_AT_ONCE = 1 << 26  # of scoring: rows x positions x vocabulary


class _RowText:
    """What a `Row` wants of a tokenizer, for rows after one prompt."""

    def __init__(self, text: HFText, prompt: Sequence[int]) -> None:
        self.stop, self._text, self._prompt = text.stop, text, prompt

    def decoder(self) -> Decoder | ByteDecoder:
        return self._text.decoder(self._prompt)


class TransformersModel(LocalModel):
    """A causal language model run by transformers.

    Parameters
    ----------
    source : str
        ``ORG/NAME`` on the hub, a folder, or a GGUF file.
    dtype : str
        ``"float32"`` or ``"bfloat16"``.
    max_rows : int
        Most rows computed together, >= 1; more wait.

    Raises
    ------
    UsageError
        A parameter is out of range, there is no such file, or transformers is not installed.
    BackendError
        The hub does not give the model.
    DataError
        The model's files are not sound or not supported.

    Examples
    --------
    >>> TransformersModel("missing.gguf")
    Traceback (most recent call last):
    educe.core.errors.UsageError: There is no model 'missing.gguf'. Give ORG/NAME, a folder, or a GGUF file.
    """

    def __init__(self, source: str, *, dtype: str = "float32", max_rows: int = 64) -> None:
        super().__init__(f"hf:{source}", local(source), dtype, max_rows)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, tokenizer = load(source, self.path, DTYPES[dtype])
        self.model = model.to(self.device).eval()
        self.text = HFText(tokenizer, ends(model, tokenizer))
        self.context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
        parameters = inspect.signature(model.forward).parameters
        self._last_only = "logits_to_keep" in parameters
        # Releases of transformers before and after 5.24 call it by different names.
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"

    def _revision(self) -> str:
        return super()._revision() if self.path else str(getattr(self.model.config, "_commit_hash", None))

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Draw one row per seed; see `LanguageModel.stream`. The first chunk tells the prompt's tokens alone.

        Raises
        ------
        UsageError
            There is no seed, or the prompt is empty, malformed or longer than the context.
        CapabilityError
            Penalties, a bias, top log-probabilities or a constraint were asked for.
        BackendError
            The model failed, or was closed.
        """
        if not seeds:
            raise UsageError("No seed was given, so there is no row to draw. Give one seed per row.")
        self.require(*sampling.needs)
        tokens = self.text.encode_prompt(prompt)
        self._check_length(len(tokens), 1)
        text = _RowText(self.text, tokens)
        most = min(sampling.max_tokens, self.context - len(tokens))
        rows = [Row(number, seed, text, sampling.stop, most) for number, seed in enumerate(seeds)]
        stream = self._worker.stream(lambda cancelled: self._generate(tokens, rows, sampling, cancelled))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    @torch.inference_mode()
    def _generate(
        self, tokens: list[int], rows: list[Row], sampling: Sampling, cancelled: threading.Event
    ) -> Iterator[list[Chunk]]:
        """Yield the chunks of one step after the other."""
        if cancelled.is_set():
            return
        first, prefix = self._forward(torch.tensor([tokens]), None, last_only=True)
        yield [Chunk(row=0, prompt_tokens=len(tokens))]
        for start in range(0, len(rows), self.max_rows):
            active = rows[start : start + self.max_rows]
            cache = self._repeated(prefix, len(active), keep=start + self.max_rows < len(rows))
            logits = first.expand(len(active), -1, -1)
            while not cancelled.is_set():
                drawn = draw(logits[:, -1], [row.seed for row in active], [row.drawn for row in active], sampling)
                columns = zip(active, *(column.tolist() for column in drawn), strict=True)
                chunks = [row.add(token, logprob, law) for row, token, logprob, law in columns]
                yield [chunk for chunk in chunks if chunk is not None]
                going = [place for place, row in enumerate(active) if row.finish is None]
                if not going:
                    break
                if len(going) < len(active):
                    cache.reorder_cache(torch.tensor(going, device=self.device))
                    active = [active[place] for place in going]
                logits, cache = self._forward(drawn.tokens[going, None], cache, last_only=True)

    def _forward(self, tokens: torch.Tensor, cache: Any, *, last_only: bool = False) -> tuple[torch.Tensor, Any]:
        """Return float32 logits on the CPU and the cache after the tokens."""
        options: dict[str, Any] = {self._cache_name: cache}
        if last_only and self._last_only:
            options["logits_to_keep"] = 1
        out = self.model(input_ids=tokens.to(self.device), use_cache=True, **options)
        logits = out.logits[:, -1:] if last_only else out.logits
        return logits.float().cpu(), out.get(self._cache_name)

    def _repeated(self, prefix: Any, rows: int, *, keep: bool) -> Any:
        """Return the cache of a prompt for several rows; ``keep`` leaves the given one as it is."""
        try:
            cache = copy.deepcopy(prefix) if keep else prefix
            # The one operation that caches of every kind have, those of state-space layers too.
            cache.reorder_cache(torch.zeros(rows, dtype=torch.int64, device=self.device))
        except (AttributeError, NotImplementedError):
            raise BackendError(
                f"The cache of {self.name!r} cannot be shared by rows. Serve the model with vllm and use openai:."
            ) from None
        return cache

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Return log-probabilities of given continuations; see `LanguageModel.score`.

        A prompt of one token that melts into the continuation leaves nothing to condition on; then the text's first
        token is conditioned on the model's first or end token.

        Raises
        ------
        UsageError
            A continuation is empty, or it does not fit into the context.
        CapabilityError
            The tokenizer changes the text.
        BackendError
            The model failed, or was closed.
        """
        if not all(continuations):
            raise UsageError("A continuation is empty, so there is nothing to score. Give texts that are not empty.")
        alone = self.text.encode_prompt(prompt)
        self._check_length(len(alone), 0)
        joint = [self.text.encode_prompt(prompt, text) for text in continuations]
        places = []
        for tokens, text in zip(joint, continuations, strict=True):
            self._check_length(len(tokens), 0)
            shared = _shared(alone, tokens)
            places.append(self.text.offsets(tokens[:shared], tokens[shared:], text))
        counts = [len(offsets) for offsets in places]
        logprobs = await self._worker.run(lambda cancelled: self._score(joint, counts, cancelled))
        return [
            Completion(
                text,
                tuple(tokens[-len(offsets) :]),
                tuple(values),
                None,
                tuple(offsets),
                "given",
                len(alone) if number == 0 else 0,
            )
            for number, (text, tokens, values, offsets) in enumerate(
                zip(continuations, joint, logprobs, places, strict=True)
            )
        ]

    @torch.inference_mode()
    def _score(self, joint: list[list[int]], counts: list[int], cancelled: threading.Event) -> list[list[float]]:
        """Log-probabilities of the last ``counts`` tokens of each row, what all rows begin with computed once."""
        if not joint:
            return []
        own = min(len(tokens) - count for tokens, count in zip(joint, counts, strict=True))
        shared = min(own, *(_shared(joint[0], tokens) for tokens in joint))
        begin = joint[0][:shared] or [self._separator()]
        first, prefix = self._forward(torch.tensor([begin]), None, last_only=True)
        if not _extends(prefix):
            return [
                self._whole_logprobs(begin + tokens[shared:], cancelled)[-count:]
                for tokens, count in zip(joint, counts, strict=True)
            ]
        scored: dict[int, list[float]] = {}
        order = sorted(range(len(joint)), key=lambda number: len(joint[number]))
        for start in range(0, len(order), self.max_rows):
            batch = order[start : start + self.max_rows]
            cache = self._repeated(prefix, len(batch), keep=start + self.max_rows < len(order))
            rows = [joint[number][shared:] for number in batch]
            for number, values in zip(batch, self._own_logprobs(first, cache, rows, cancelled), strict=True):
                scored[number] = values[-counts[number] :]
        return [scored[number] for number in range(len(joint))]

    def _own_logprobs(
        self, first: torch.Tensor, cache: Any, rows: list[list[int]], cancelled: threading.Event
    ) -> list[list[float]]:
        """Log-probabilities of each row's tokens after a cache whose last logits are ``first``."""
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        at_once = max(1, LOGITS_AT_ONCE // (len(rows) * first.shape[-1]))
        before = first.expand(len(rows), -1, -1)
        values = []
        for start in range(0, longest, at_once):
            self._worker.check(cancelled)
            part = tokens[:, start : start + at_once]
            after, cache = self._forward(part, cache)
            logits = torch.cat([before, after[:, :-1]], 1)
            values.append(logits.gather(-1, part[:, :, None])[:, :, 0] - logits.logsumexp(-1))
            before = after[:, -1:]
        table = torch.cat(values, 1).tolist()
        return [line[: len(row)] for line, row in zip(table, rows, strict=True)]

    def _whole_logprobs(self, tokens: list[int], cancelled: threading.Event) -> list[float]:
        """Log-probabilities of all tokens but the first, in one pass without a cache."""
        self._worker.check(cancelled)
        logits, _ = self._forward(torch.tensor([tokens]), None)
        drawn = torch.tensor(tokens)[1:, None]
        values: list[float] = (logits[0, :-1].gather(-1, drawn)[:, 0] - logits[0, :-1].logsumexp(-1)).tolist()
        return values

    def _separator(self) -> int:
        tokenizer = self.text.tokenizer
        tokens = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        known = next((token for token in tokens if token is not None), None)
        if known is None:
            raise CapabilityError("The prompt is one token and melts into the text to score. Give a longer prompt.")
        return int(known)

    async def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the mean of each text's last hidden states, scaled to length 1; see `LanguageModel.embed`.

        Raises
        ------
        UsageError
            A text is empty or longer than the context.
        BackendError
            The model failed, or was closed.
        """
        encoded = [self.text.encode(text) for text in texts]
        for tokens in encoded:
            self._check_length(len(tokens), 0)

        @torch.inference_mode()
        def work(cancelled: threading.Event) -> torch.Tensor:
            vectors = []
            for tokens in encoded:
                self._worker.check(cancelled)
                out = self.model.base_model(input_ids=torch.tensor([tokens], device=self.device))
                vectors.append(out.last_hidden_state[0].float().mean(0))
            return torch.nn.functional.normalize(torch.stack(vectors), dim=-1).cpu().clone()

        if not encoded:
            return torch.empty(0, self.model.config.get_text_config().hidden_size)
        return await self._worker.run(work)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _extends(cache: Any) -> bool:
    """Whether several tokens at once may follow a cache: some recurrent states take one, and say nothing."""
    layers = getattr(cache, "layers", ())
    return bool(layers) and all(hasattr(layer, "keys") and not hasattr(layer, "conv_states") for layer in layers)
