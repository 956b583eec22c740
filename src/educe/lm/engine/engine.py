"""`Engine`: educe's own runtime for language models, behind the interface of `LanguageModel`.

One request at a time runs in one worker thread, in the order of arrival. The prompt is computed once; the
rows go on from it in lock-step, at most ``max_rows`` at a time, a waiting row taking the place of one that
has ended. After each step the chunks are handed to the event loop as one list. A row's tokens and
log-probabilities depend on the prompt, its seed and the sampling law alone: in float32 they are the same
bit for bit whatever the number of rows, for a given machine and thread count.

Not covered yet: several requests in one batch, keeping prompts from one request to the next, a bounded
queue, accelerators.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import torch

from educe.core.errors import UsageError
from educe.lm._local import DTYPES, LocalModel
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine.model import Llama, RowAttention, SharedPrefix, padded
from educe.lm.engine.rows import Row
from educe.lm.engine.sampling import draw
from educe.lm.engine.tokenizer import Encoded
from educe.lm.engine.weights import load_weights
from educe.lm.prompt import Prompt

__all__ = ["Engine"]

POSITIONS_AT_ONCE = 4096  # of a scoring batch: bounds its attention scores to some hundred megabytes
LOGITS_AT_ONCE = 128


class Engine(LocalModel):
    """A local model run by educe itself.

    Parameters
    ----------
    path : Path
        A GGUF file or a safetensors folder of a Llama-family model.
    name : str, optional
        What to call it; the file's name when left out.
    dtype : str
        ``"float32"`` or ``"bfloat16"``: the matrices of the layers. All else is float32.
    max_rows : int
        Most rows computed together, >= 1; more wait.

    Raises
    ------
    UsageError
        A parameter is out of range.
    DataError
        The model is not sound or not supported.
    """

    def __init__(
        self, path: Path | str, *, name: str | None = None, dtype: str = "float32", max_rows: int = 64
    ) -> None:
        path = Path(path)
        super().__init__(name or path.name, path, dtype, max_rows)
        weights, self.tokenizer = load_weights(path, DTYPES[dtype])
        self.model = Llama(weights)
        self.context = weights.config.context

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Draw one row per seed; see `LanguageModel.stream`. The first chunk tells the prompt's tokens alone.

        Raises
        ------
        UsageError
            There is no seed, or the prompt is empty, malformed or longer than the context.
        BackendError
            The model failed, or was closed.
        """
        if not seeds:
            raise UsageError("No seed was given, so there is no row to draw. Give one seed per row.")
        head, tail = self.tokenizer.encode_prompt(prompt)
        tokens = [*head, *self.tokenizer.encode(tail)]
        self._check_length(len(tokens), 1)
        rows = [
            Row(number, seed, self.tokenizer, sampling.stop, min(sampling.max_tokens, self.context - len(tokens)))
            for number, seed in enumerate(seeds)
        ]
        stream = self._worker.stream(lambda cancelled: self._generate(tokens, rows, sampling, cancelled))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    def _generate(
        self, tokens: list[int], rows: list[Row], sampling: Sampling, cancelled: threading.Event
    ) -> Iterator[list[Chunk]]:
        """Yield the chunks of one step after the other."""
        if cancelled.is_set():
            return
        with torch.inference_mode():
            prefix, hidden = self.model.read(tokens)
            yield [Chunk(row=0, prompt_tokens=len(tokens))]
            first_logits = self.model.logits(hidden[-1:])
            waiting, active = deque(rows), list[Row]()
            batch = RowAttention(self.model.config, prefix, padded(min(len(rows), self.max_rows)))
            latest = torch.zeros(len(batch.lengths), dtype=torch.int64)
            while (waiting or active) and not cancelled.is_set():
                chunks: list[Chunk] = []
                if active:
                    chunks += self._step(batch, active, latest, sampling)
                self._drop_ended(batch, active, latest)
                while waiting and len(active) < self.max_rows:
                    new = [waiting.popleft() for _ in range(min(len(waiting), self.max_rows - len(active)))]
                    begin = len(active)
                    active += new
                    chunks += self._draw(first_logits.expand(len(new), -1), new, latest[begin:], sampling)
                    self._drop_ended(batch, active, latest)
                if padded(len(active)) < len(batch.lengths):
                    batch.shrink(padded(len(active)))
                    latest = latest[: len(batch.lengths)]
                yield chunks

    def _step(self, batch: RowAttention, active: list[Row], latest: torch.Tensor, sampling: Sampling) -> list[Chunk]:
        hidden = self.model.hidden(latest[:, None], batch.prepare(1), batch)
        batch.lengths[: len(active)] += 1
        return self._draw(self.model.logits(hidden[:, 0])[: len(active)], active, latest, sampling)

    @staticmethod
    def _draw(logits: torch.Tensor, rows: list[Row], latest: torch.Tensor, sampling: Sampling) -> list[Chunk]:
        """Give each row its next token and write it to ``latest``."""
        drawn = draw(logits, [row.seed for row in rows], [row.drawn for row in rows], sampling)
        latest[: len(rows)] = drawn.tokens
        columns = zip(rows, *(column.tolist() for column in drawn), strict=True)
        chunks = [row.add(token, logprob, sampling_logprob) for row, token, logprob, sampling_logprob in columns]
        return [chunk for chunk in chunks if chunk is not None]

    @staticmethod
    def _drop_ended(batch: RowAttention, active: list[Row], latest: torch.Tensor) -> None:
        """Fill the place of each row that has ended with the last row; a freed place has length 0."""
        for place in range(len(active) - 1, -1, -1):
            if active[place].finish is not None:
                last = len(active) - 1
                if place != last:
                    batch.move(last, place)
                    active[place], latest[place] = active[last], latest[last]
                active.pop()
                batch.lengths[last] = 0

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
        joint = []
        for text in continuations:
            if not text:
                raise UsageError(
                    "A continuation is empty, so there is nothing to score. Give texts that are not empty."
                )
            joint.append([*head, *self.tokenizer.encode(tail + text)])
            self._check_length(len(joint[-1]), 0)
        return await self._worker.run(
            lambda cancelled: self._score(Encoded(head, tail), joint, continuations, cancelled)
        )

    def _score(
        self, prompt: Encoded, joint: list[list[int]], texts: Sequence[str], cancelled: threading.Event
    ) -> list[Completion]:
        alone = [*prompt.head, *self.tokenizer.encode(prompt.tail)]
        separator = min(self.tokenizer.stop, default=0)
        done: dict[int, list[float]] = {}
        groups: dict[int, list[int]] = {}
        for number, tokens in enumerate(joint):
            shared = next((i for i, (a, b) in enumerate(zip(alone, tokens, strict=False)) if a != b), len(alone))
            groups.setdefault(min(shared, len(alone), len(tokens) - 1), []).append(number)
        with torch.inference_mode():
            whole, hidden = self.model.read(alone)
            for shared, numbers in groups.items():
                if shared:
                    prefix, before = whole.first(shared), hidden[shared - 1]
                else:
                    prefix, lone = self.model.read([separator])
                    before = lone[0]
                for batch in self._batches(numbers, [len(tokens) - shared for tokens in joint]):
                    self._worker.check(cancelled)
                    own = [joint[number][shared:] for number in batch]
                    done.update(zip(batch, self._own_logprobs(prefix, before, own), strict=True))
        given = [self._given(prompt, text, joint[number], done[number]) for number, text in enumerate(texts)]
        return [replace(row, prompt_tokens=len(alone) if number == 0 else 0) for number, row in enumerate(given)]

    def _batches(self, numbers: list[int], lengths: list[int]) -> Iterator[list[int]]:
        """Cut into batches of similar lengths that stay within the row and position limits."""
        batch: list[int] = []
        for number in sorted(numbers, key=lambda number: lengths[number]):
            if batch and (
                len(batch) == self.max_rows or (len(batch) + 1) * padded(lengths[number]) > POSITIONS_AT_ONCE
            ):
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _own_logprobs(self, prefix: SharedPrefix, before: torch.Tensor, own: list[list[int]]) -> list[list[float]]:
        """Log-probabilities of each row's own tokens after a shared prefix whose last hidden state is ``before``."""
        length = padded(max(map(len, own)))
        tokens = torch.tensor([row + [0] * (length - len(row)) for row in own])
        attention = RowAttention(self.model.config, prefix, len(own))
        hidden = self.model.hidden(tokens, attention.prepare(length), attention)
        states = torch.cat([before.expand(len(own), 1, -1), hidden[:, :-1]], 1)
        wanted = torch.tensor([(r, i) for r, row in enumerate(own) for i in range(len(row))])
        values: list[float] = []
        for places in torch.split(wanted, LOGITS_AT_ONCE):
            row, place = places.unbind(1)
            logprobs = self.model.logits(states[row, place]).log_softmax(-1)
            values += logprobs.gather(-1, tokens[row, place][:, None])[:, 0].tolist()
        rest = iter(values)
        return [[next(rest) for _ in row] for row in own]

    def _given(self, prompt: Encoded, text: str, joint: list[int], logprobs: list[float]) -> Completion:
        """Cut the tokens of a joint text down to those that reach into the continuation."""
        starts = self.tokenizer.starts(prompt.tail + text, joint[len(prompt.head) :])
        border, data = len(prompt.tail.encode()), text.encode()
        first = next((i for i in range(len(starts) - 1) if starts[i + 1] > border), len(starts) - 1)
        # A token inside a character counts from that character's beginning, as in generated rows.
        offsets = [len(data[: max(0, start - border)].decode(errors="ignore")) for start in starts[first:-1]]
        count = len(offsets)
        tokens = joint[len(joint) - count :]
        return Completion(text, tuple(tokens), tuple(logprobs[len(logprobs) - count :]), None, tuple(offsets), "given")

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

        def work(cancelled: threading.Event) -> torch.Tensor:
            vectors = torch.empty(len(encoded), self.model.config.width)
            with torch.inference_mode():
                for number, tokens in enumerate(encoded):
                    self._worker.check(cancelled)
                    mean = self.model.read(tokens)[1].mean(0)
                    vectors[number] = mean / mean.norm()
            return vectors

        return await self._worker.run(work)
