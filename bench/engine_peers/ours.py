"""educe's own engine, as a user gets it: `Engine` with the number format made for the workload."""

from __future__ import annotations

import asyncio

import torch
from engine_peers.workloads import Prompt, Sizes, Spent, ancestors, mixed, model_path, text_of

from educe.lm.completion import Sampling
from educe.lm.engine import Engine

PASSES_AT_ONCE = 32  # rows that share one pass over the weights


class Ours:
    """One engine in bfloat16 for many rows, one in int4 for a single row."""

    def __init__(self, threads: int, sizes: Sizes) -> None:
        torch.set_num_threads(threads)
        self.sizes = sizes
        self._engines: dict[str, Engine] = {}

    def _engine(self, dtype: str) -> Engine:
        if dtype not in self._engines:
            self._engines[dtype] = Engine(model_path(), dtype=dtype)
            torch.set_num_threads(torch.get_num_threads())
        return self._engines[dtype]

    @staticmethod
    async def _drawn(engine: Engine, prompt: Prompt, seeds: list[int], sampling: Sampling) -> tuple[int, list[str]]:
        count, texts = 0, [""] * len(seeds)
        async for chunk in engine.stream(prompt.text, seeds, sampling):
            count += chunk.sampled_tokens
            texts[chunk.row] += chunk.text
        return count, texts

    def many(self, repeat: int) -> Spent:
        """Many samples of one prompt."""
        sizes, prompt = self.sizes, text_of(repeat, self.sizes.many_prompt)
        seeds = [1000 * repeat + row for row in range(sizes.many_rows)]
        drawn, _ = asyncio.run(
            self._drawn(self._engine("bfloat16"), prompt, seeds, Sampling(max_tokens=sizes.many_tokens))
        )
        return Spent(len(prompt.tokens), drawn, sizes.many_tokens)

    def mixed(self, repeat: int) -> Spent:
        """All requests at once."""
        engine, requests = self._engine("bfloat16"), mixed(self.sizes, repeat)

        async def run() -> int:
            jobs = (self._drawn(engine, one.prompt, [one.seed], Sampling(max_tokens=one.tokens)) for one in requests)
            return sum(drawn for drawn, _ in await asyncio.gather(*jobs))

        read = sum({one.prompt.text: len(one.prompt.tokens) for one in requests}.values())
        return Spent(read, asyncio.run(run()), max(one.tokens for one in requests))

    def single(self, repeat: int) -> Spent:
        """One greedy row."""
        prompt = text_of(50 + repeat, 32)
        sampling = Sampling(max_tokens=self.sizes.single_tokens, temperature=0)
        drawn, _ = asyncio.run(self._drawn(self._engine("int4"), prompt, [0], sampling))
        return Spent(len(prompt.tokens), drawn, drawn)

    def scoring(self, repeat: int) -> Spent:
        """Log-probabilities of many texts after one prefix; read positions count as tokens."""
        sizes, prefix = self.sizes, text_of(300 + repeat, self.sizes.score_prefix)
        texts = [text_of(400 + repeat * 7 + number, sizes.score_tokens).text for number in range(sizes.score_texts)]
        rows = asyncio.run(self._engine("bfloat16").score(prefix.text, texts))
        scored = sum(len(row.tokens) for row in rows)
        return Spent(len(prefix.tokens), scored, sizes.score_texts * sizes.score_tokens // 1024 + 1)

    def particles(self, repeat: int) -> Spent:
        """Each step sends the full texts; the prefix tree finds them."""
        engine, sizes = self._engine("bfloat16"), self.sizes
        texts = [text_of(700 + repeat, sizes.many_prompt).text] * sizes.particles

        async def run() -> int:
            nonlocal texts
            total = 0
            for step in range(sizes.steps):
                sampling = Sampling(max_tokens=sizes.step_tokens)
                jobs = (
                    self._drawn(engine, Prompt(text, []), [step * 1000 + number], sampling)
                    for number, text in enumerate(texts)
                )
                found = await asyncio.gather(*jobs)
                total += sum(drawn for drawn, _ in found)
                texts = [texts[number] + found[number][1][0] for number in ancestors(sizes, repeat, step)]
            return total

        return Spent(sizes.many_prompt, asyncio.run(run()), sizes.steps * sizes.step_tokens)
