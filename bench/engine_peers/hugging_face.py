"""transformers: the same GGUF file, its weights turned into bfloat16, which measures twice as fast as float32 here."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
import transformers
from engine_peers.workloads import Sizes, Spent, model_path, text_of


class Transformers:
    """One model; it batches one prompt's rows, and nothing that comes and goes."""

    mixed = None
    particles = None

    def __init__(self, threads: int, sizes: Sizes) -> None:
        torch.set_num_threads(threads)
        self.sizes = sizes
        path = Path(model_path())
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        transformers.utils.logging.disable_progress_bar()
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.bfloat16
        ).eval()

    @torch.inference_mode()
    def _rows(self, tokens: list[int], rows: int, count: int, *, greedy: bool) -> Spent:
        how = {} if greedy else {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
        ids = torch.tensor([tokens])
        self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=not greedy,
            num_return_sequences=rows,
            min_new_tokens=count,
            max_new_tokens=count,
            pad_token_id=0,
            **how,
        )
        return Spent(len(tokens), rows * count, 0)

    def many(self, repeat: int) -> Spent:
        """Many samples of one prompt."""
        tokens = text_of(repeat, self.sizes.many_prompt).tokens
        torch.manual_seed(repeat)
        return self._rows(tokens, self.sizes.many_rows, self.sizes.many_tokens, greedy=False)

    def single(self, repeat: int) -> Spent:
        """One greedy row."""
        return self._rows(text_of(50 + repeat, 32).tokens, 1, self.sizes.single_tokens, greedy=True)

    @torch.inference_mode()
    def scoring(self, repeat: int) -> Spent:
        """The prefix is read once; texts go on from its cache in batches of sixteen."""
        sizes, scored = self.sizes, 0
        prefix = text_of(300 + repeat, sizes.score_prefix).tokens
        texts = [text_of(400 + repeat * 7 + number, sizes.score_tokens).tokens for number in range(sizes.score_texts)]
        longest = max(map(len, texts))
        first = self._model(torch.tensor([prefix]), logits_to_keep=1)
        before = first.logits[:, -1:].float()
        for begin in range(0, len(texts), 16):
            some = texts[begin : begin + 16]
            ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in some])
            cache = copy.deepcopy(first.past_key_values)
            cache.batch_repeat_interleave(len(some))
            after = self._model(ids[:, :-1], past_key_values=cache).logits.float()
            logits = torch.cat([before.expand(len(some), -1, -1), after], 1)
            found = logits.log_softmax(-1).gather(-1, ids[..., None])
            assert bool(found.isfinite().all())
            scored += sum(map(len, some))
        return Spent(len(prefix), scored, 0)
