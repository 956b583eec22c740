"""`FakeLM`: a function dressed as a language model, for tests of strategies, ours and users'.

Its tokens are the UTF-8 bytes of the text, followed by one end token. It has no weights and no truncated
sampling: temperature and top-p are the function's own business.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import torch

from educe.core.seed import Seed
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.model import LanguageModel
from educe.lm.prompt import Prompt, check_prompt, prompt_text

__all__ = ["FakeLM"]

END_TOKEN = 256
Answer = str | tuple[str, float]


class FakeLM(LanguageModel):
    """A model that answers with a function of prompt and seed.

    Parameters
    ----------
    answer : callable or sequence of str
        ``answer(prompt, seed)`` returns the text, or text and log-probability of the whole row; it may be a coroutine
        function. A sequence of texts means one of them, picked by the seed with equal probability.
    name : str
        Shown in results.
    delay : float
        Seconds to wait before each chunk, for tests of time limits and cancellation.
    chunk_tokens : int
        Bytes per chunk, >= 1.

    Attributes
    ----------
    prompts : list of str
        Every prompt received, as text.
    open_rows : int
        Rows being drawn at this moment.

    Examples
    --------
    >>> lm = FakeLM(["The answer is 4.", "The answer is 5."])
    >>> {row.text for row in lm.sample_sync("2 + 2?", n=20)} == {"The answer is 4.", "The answer is 5."}
    True
    """

    capabilities = LanguageModel.all_capabilities - LanguageModel.sampling_capabilities

    def __init__(
        self,
        answer: Callable[[str, int], Answer | Awaitable[Answer]] | Sequence[str],
        *,
        name: str = "fake:",
        delay: float = 0.0,
        chunk_tokens: int = 8,
    ) -> None:
        self._answer = answer if callable(answer) else _pick(list(answer))
        self.name = name
        self.delay = delay
        self.chunk_tokens = chunk_tokens
        self.prompts: list[str] = []
        self.open_rows = 0

    async def _row(self, prompt: str, seed: int, sampling: Sampling) -> Completion:
        result = self._answer(prompt, seed)
        made = await result if inspect.isawaitable(result) else result
        text, logprob = made if isinstance(made, tuple) else (made, None)
        cuts = [(text.find(stop), stop) for stop in sampling.stop if stop in text]
        cut, stopped_at = min(cuts) if cuts else (len(text), None)
        whole = text[:cut]
        data = whole.encode()
        length = min(len(data) + 1, sampling.max_tokens)
        # A character cut by max_tokens is dropped whole, as in a byte-level tokenizer that holds back half of one.
        shown = data[: min(length, len(data))].decode(errors="ignore")
        offsets = _byte_offsets(shown)
        offsets = offsets + [len(shown)] * (length - len(offsets))
        each = -1.0 if logprob is None else logprob / (len(data) + 1)
        return Completion(
            text=shown,
            tokens=tuple((*data, END_TOKEN)[:length]),
            logprobs=(each,) * length,
            sampling_logprobs=(each,) * length,
            offsets=tuple(offsets),
            finish="stop" if length == len(data) + 1 else "length",
            stopped_at=stopped_at if length == len(data) + 1 else None,
        )

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Yield each row in pieces of `chunk_tokens` bytes, all rows in turn."""
        check_prompt(prompt)
        self.require(*sampling.needs)
        text = prompt_text(prompt)
        self.prompts.append(text)
        self.open_rows += len(seeds)
        try:
            rows = [await self._row(text, seed, sampling) for seed in seeds]
            first = len(text.encode())
            position = 0
            while any(position < len(row.tokens) for row in rows):
                if self.delay:
                    await asyncio.sleep(self.delay)
                for index, row in enumerate(rows):
                    if position < len(row.tokens):
                        yield _slice(index, row, position, position + self.chunk_tokens, first)
                        first = 0
                position += self.chunk_tokens
        finally:
            self.open_rows -= len(seeds)

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Give every byte the log-probability -1."""
        check_prompt(prompt)
        results: list[Completion] = []
        for text in continuations:
            data = text.encode()
            offsets = tuple(_byte_offsets(text))
            told = 0 if results else len(prompt_text(prompt).encode())
            results.append(Completion(text, tuple(data), (-1.0,) * len(data), None, offsets, "given", told))
        return results

    async def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit vectors of byte counts, (texts, 256) float32."""
        counts = torch.zeros(len(texts), 256)
        for index, text in enumerate(texts):
            for byte in text.encode():
                counts[index, byte] += 1
        return torch.nn.functional.normalize(counts, dim=1)


def _pick(texts: list[str]) -> Callable[[str, int], str]:
    def answer(prompt: str, seed: int) -> str:
        return texts[Seed(seed).child("pick").bits() % len(texts)]

    return answer


def _byte_offsets(text: str) -> list[int]:
    return [index for index, character in enumerate(text) for _ in character.encode()]


def _border(row: Completion, index: int) -> int:
    """Where the text of the tokens from `index` on begins; a character belongs to the token that begins it."""
    if index >= len(row.offsets):
        return len(row.text)
    inside = index > 0 and row.offsets[index] == row.offsets[index - 1]
    return min(row.offsets[index] + inside, len(row.text))


def _slice(index: int, row: Completion, start: int, end: int, prompt_tokens: int) -> Chunk:
    logprobs = (row.logprobs or ())[start:end]
    return Chunk(
        row=index,
        text=row.text[_border(row, start) : _border(row, end)],
        tokens=row.tokens[start:end],
        logprobs=logprobs,
        sampling_logprobs=logprobs,
        offsets=row.offsets[start:end],
        finish=row.finish if end >= len(row.tokens) else None,
        stopped_at=row.stopped_at if end >= len(row.tokens) else None,
        prompt_tokens=prompt_tokens,
        sampled_tokens=len(logprobs),
    )
