"""llama.cpp, in the build that the package xllamacpp brings.

Batches of rows and scores go through its C interface (decoding in one batch, the prompt's cache given to all rows, one
sampler for each row), which is the fastest way it has; the mixed service and the particles go through its server,
which is how it batches requests that come and go.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import xllamacpp
from engine_peers.workloads import Prompt, Sizes, Spent, ancestors, mixed, model_path, text_of

CONTEXT, BATCH, SEQUENCES = 16384, 2048, 33
INTS = {"context": 0, "batch": 1, "most_sequences": 3, "outputs_each": 6, "threads": 7, "threads_batch": 8}
UNIFIED = 141  # byte of the flag that lets sequences share one cache


class _Parameters(ctypes.Structure):
    """Larger than any version's structure: the library copies what it knows."""

    _fields_ = (("data", ctypes.c_uint8 * 1024),)


class _Batch(ctypes.Structure):
    _fields_ = (
        ("tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embedding", ctypes.c_void_p),
        ("position", ctypes.POINTER(ctypes.c_int32)),
        ("sequences", ctypes.POINTER(ctypes.c_int32)),
        ("sequence", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


class _Library:
    """The C interface: one context with room for many sequences."""

    def __init__(self, threads: int) -> None:
        folder = os.path.dirname(xllamacpp.__file__)
        name = next(name for name in os.listdir(folder) if name.endswith(".so"))
        self.c = c = ctypes.CDLL(os.path.join(folder, name))
        self._quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        c.llama_log_set(self._quiet, None)
        for function in (c.llama_model_default_params, c.llama_context_default_params):
            function.restype = _Parameters
        for function in (c.llama_model_load_from_file, c.llama_init_from_model, c.llama_get_memory):
            function.restype = ctypes.c_void_p
        c.llama_sampler_init_dist.restype = c.llama_sampler_init_greedy.restype = ctypes.c_void_p
        c.llama_get_logits.restype = ctypes.POINTER(ctypes.c_float)
        c.llama_batch_init.restype = _Batch
        c.llama_backend_init()
        self._model = ctypes.c_void_p(
            c.llama_model_load_from_file(model_path().encode(), c.llama_model_default_params())
        )
        parameters = c.llama_context_default_params()
        ints = ctypes.cast(ctypes.byref(parameters), ctypes.POINTER(ctypes.c_int32))
        if [ints[place] for place in (0, 1, 2, 3)] != [512, 2048, 512, 1] or ints[7] != ints[8]:
            raise SystemExit("This build of llama.cpp orders its parameters in another way.")
        wanted = {
            "context": CONTEXT,
            "batch": BATCH,
            "most_sequences": SEQUENCES,
            "outputs_each": 0,
            "threads": threads,
            "threads_batch": threads,
        }
        for key, value in wanted.items():
            ints[INTS[key]] = value
        parameters.data[UNIFIED] = 1
        self.context = ctypes.c_void_p(c.llama_init_from_model(self._model, parameters))
        self.memory = ctypes.c_void_p(c.llama_get_memory(self.context))
        self._batch = c.llama_batch_init(BATCH, 0, 1)

    def decode(self, items: Sequence[tuple[int, int, int, bool]]) -> None:
        """Compute (token, position, sequence, whether logits are wanted)."""
        batch = self._batch
        batch.tokens = len(items)
        for place, (token, position, sequence, wanted) in enumerate(items):
            batch.token[place], batch.position[place], batch.sequences[place] = token, position, 1
            batch.sequence[place][0] = sequence
            batch.logits[place] = wanted
        if self.c.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")

    def clear(self) -> None:
        """Forget all sequences."""
        self.c.llama_memory_clear(self.memory, ctypes.c_bool(True))

    def read(self, tokens: Sequence[int]) -> None:
        """Read a prompt as sequence 0."""
        self.decode([(token, place, 0, place == len(tokens) - 1) for place, token in enumerate(tokens)])

    def share(self, rows: int) -> None:
        """Give sequence 0 to sequences 1 to ``rows`` - 1."""
        for row in range(1, rows):
            self.c.llama_memory_seq_cp(self.memory, 0, row, -1, -1)

    def draw(self, sampler: ctypes.c_void_p, place: int) -> int:
        """Draw from the logits of one place of the batch."""
        return int(self.c.llama_sampler_sample(sampler, self.context, place))

    def rows(self, prompt: Prompt, rows: int, count: int, *, greedy: bool, seed: int) -> int:
        """Draw ``count`` tokens for each row of one prompt."""
        c = self.c
        self.clear()
        self.read(prompt.tokens)
        samplers = [
            ctypes.c_void_p(c.llama_sampler_init_greedy() if greedy else c.llama_sampler_init_dist(seed + row))
            for row in range(rows)
        ]
        tokens = [self.draw(sampler, len(prompt.tokens) - 1) for sampler in samplers]
        self.share(rows)
        for step in range(count - 1):
            position = len(prompt.tokens) + step
            self.decode([(token, position, row, True) for row, token in enumerate(tokens)])
            tokens = [self.draw(sampler, row) for row, sampler in enumerate(samplers)]
        for sampler in samplers:
            c.llama_sampler_free(sampler)
        return rows * count


class LlamaCpp:
    """The library, and the server where it is asked for."""

    def __init__(self, threads: int, sizes: Sizes) -> None:
        torch.set_num_threads(threads)
        self.sizes, self._threads = sizes, threads
        self._library: _Library | None = None
        self._server: Any = None

    @property
    def library(self) -> _Library:
        """The C interface, made when it is first used."""
        self._library = self._library or _Library(self._threads)
        return self._library

    def many(self, repeat: int) -> Spent:
        """Many samples of one prompt."""
        sizes, prompt = self.sizes, text_of(repeat, self.sizes.many_prompt)
        drawn = self.library.rows(prompt, sizes.many_rows, sizes.many_tokens, greedy=False, seed=repeat)
        return Spent(len(prompt.tokens), drawn, 0)

    def single(self, repeat: int) -> Spent:
        """One greedy row."""
        prompt = text_of(50 + repeat, 32)
        drawn = self.library.rows(prompt, 1, self.sizes.single_tokens, greedy=True, seed=0)
        return Spent(len(prompt.tokens), drawn, 0)

    def scoring(self, repeat: int) -> Spent:
        """Texts in batches after the prefix, which is read once; logits turned into log-probabilities by torch."""
        sizes, library = self.sizes, self.library
        prefix = text_of(300 + repeat, sizes.score_prefix).tokens
        texts = [text_of(400 + repeat * 7 + number, sizes.score_tokens).tokens for number in range(sizes.score_texts)]
        library.clear()
        library.read(prefix[:-1])
        at_once, scored = min(SEQUENCES - 1, BATCH // (sizes.score_tokens + 8)), 0
        for begin in range(0, len(texts), at_once):
            some = texts[begin : begin + at_once]
            items: list[tuple[int, int, int, bool]] = []
            targets: list[int] = []
            for row, text in enumerate(some, 1):
                library.c.llama_memory_seq_cp(library.memory, 0, row, -1, -1)
                items += [(token, len(prefix) - 1 + at, row, True) for at, token in enumerate([prefix[-1], *text[:-1]])]
                targets += text
            library.decode(items)
            values = np.ctypeslib.as_array(library.c.llama_get_logits(library.context), (len(items), 49152))
            logits = torch.from_numpy(values)
            wanted = torch.tensor(targets)[:, None]
            found = [
                part.gather(-1, ids)[:, 0] - part.logsumexp(-1)
                for part, ids in zip(logits.split(128), wanted.split(128), strict=True)
            ]
            scored += len(torch.cat(found))
            for row in range(1, len(some) + 1):
                library.c.llama_memory_seq_rm(library.memory, row, -1, -1)
        return Spent(len(prefix), scored, 0)

    def _served(self, prompts: Sequence[str], counts: Sequence[int], seeds: Sequence[int]) -> list[dict[str, Any]]:
        """Send requests to the server, all at once."""
        if self._server is None:
            how = xllamacpp.CommonParams()
            how.model.path, how.n_ctx, how.n_parallel = model_path(), CONTEXT, 32
            how.n_threads_http, how.verbosity, how.cont_batching, how.kv_unified = 2, -1, True, True
            how.cpuparams.n_threads = how.cpuparams_batch.n_threads = self._threads
            self._server = xllamacpp.Server(how)

        def ask(prompt: str, count: int, seed: int) -> dict[str, Any]:
            body = {
                "prompt": prompt,
                "max_tokens": count,
                "temperature": 1.0,
                "top_k": 0,
                "top_p": 1.0,
                "min_p": 0.0,
                "seed": seed,
                "ignore_eos": True,
                "cache_prompt": True,
            }
            answer: dict[str, Any] = self._server.handle_completions(body)
            return answer

        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(ask, prompts, counts, seeds))

    def mixed(self, repeat: int) -> Spent:
        """All requests at once."""
        requests = mixed(self.sizes, repeat)
        answers = self._served(
            [one.prompt.text for one in requests],
            [one.tokens for one in requests],
            [one.seed for one in requests],
        )
        return Spent(0, sum(answer["usage"]["completion_tokens"] for answer in answers), 0)

    def particles(self, repeat: int) -> Spent:
        """Each step sends the full texts."""
        sizes = self.sizes
        texts, total = [text_of(700 + repeat, sizes.many_prompt).text] * sizes.particles, 0
        for step in range(sizes.steps):
            answers = self._served(texts, [sizes.step_tokens] * len(texts), list(range(len(texts))))
            total += sum(answer["usage"]["completion_tokens"] for answer in answers)
            texts = [texts[number] + answers[number]["choices"][0]["text"] for number in ancestors(sizes, repeat, step)]
        return Spent(0, total, 0)
