"""OpenVINO GenAI: its continuous batching pipeline, which reads the GGUF file itself, with prefix caching on.

It has no interface for log-probabilities of given text, so it has no scoring.
"""

from __future__ import annotations

import openvino_genai as genai
from engine_peers.workloads import Sizes, Spent, ancestors, mixed, model_path, text_of


class OpenVINO:
    """One pipeline."""

    scoring = None

    def __init__(self, threads: int, sizes: Sizes) -> None:
        self.sizes = sizes
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size, scheduler.enable_prefix_caching = 1, True
        scheduler.max_num_seqs, scheduler.max_num_batched_tokens = 64, 1024
        self._pipeline = genai.ContinuousBatchingPipeline(
            model_path(), scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads}
        )

    @staticmethod
    def _how(tokens: int, seed: int, *, rows: int = 1, greedy: bool = False) -> genai.GenerationConfig:
        how = genai.GenerationConfig()
        how.max_new_tokens, how.ignore_eos, how.apply_chat_template = tokens, True, False
        how.do_sample, how.num_return_sequences, how.rng_seed = not greedy, rows, seed
        if not greedy:
            how.temperature, how.top_p = 1.0, 1.0
        return how

    def many(self, repeat: int) -> Spent:
        """Many samples of one prompt."""
        sizes, prompt = self.sizes, text_of(repeat, self.sizes.many_prompt)
        self._pipeline.generate([prompt.text], [self._how(sizes.many_tokens, repeat, rows=sizes.many_rows)])
        return Spent(len(prompt.tokens), sizes.many_rows * sizes.many_tokens, sizes.many_tokens)

    def mixed(self, repeat: int) -> Spent:
        """All requests at once."""
        requests = mixed(self.sizes, repeat)
        self._pipeline.generate(
            [one.prompt.text for one in requests], [self._how(one.tokens, one.seed) for one in requests]
        )
        return Spent(0, sum(one.tokens for one in requests), 0)

    def single(self, repeat: int) -> Spent:
        """One greedy row."""
        prompt = text_of(50 + repeat, 32)
        self._pipeline.generate([prompt.text], [self._how(self.sizes.single_tokens, 0, greedy=True)])
        return Spent(len(prompt.tokens), self.sizes.single_tokens, 0)

    def particles(self, repeat: int) -> Spent:
        """Each step sends the full texts."""
        sizes = self.sizes
        texts = [text_of(700 + repeat, sizes.many_prompt).text] * sizes.particles
        for step in range(sizes.steps):
            hows = [self._how(sizes.step_tokens, step * 1000 + number) for number in range(sizes.particles)]
            found = self._pipeline.generate(texts, hows)
            texts = [texts[number] + found[number].m_generation_ids[0] for number in ancestors(sizes, repeat, step)]
        return Spent(0, sizes.particles * sizes.steps * sizes.step_tokens, 0)
