"""Draw continuations of many different prompts at once from a `Decoder`, for labels and for measuring.

Prompts are padded on the left of a key-value cache, and all rows take each step together; rows that have ended are
dropped from time to time. Much faster than a server for thousands of short rows, and nothing else: no stop texts, no
truncation of the law. A row draws from its own seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.lm.decoder import Attend, Decoder

__all__ = ["sample_batch"]


@torch.inference_mode()
def sample_batch(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    max_tokens: int,
    temperature: float = 1.0,
    seed: int | Seed = 0,
    rows_at_once: int = 256,
) -> list[list[int]]:
    """Continue each prompt until the end token.

    Parameters
    ----------
    decoder : Decoder
        The model.
    prompts : sequence of sequences of int
        Tokens of each prompt, not empty.
    end : int
        The end token; it is kept as the last token of rows that drew it.
    max_tokens : int
        Most tokens of a row.
    temperature : float
        Divides the logits, >= 0; 0 takes the most probable token.
    seed : int or Seed
        Root of all draws.
    rows_at_once : int
        Rows computed together; prompts of similar length go together.

    Returns
    -------
    list of list of int
        The tokens drawn, in the order of the prompts.

    Raises
    ------
    UsageError
        A prompt and its answer may exceed the context.

    Examples
    --------
    >>> from educe.lm.decoder import DecoderConfig
    >>> model = Decoder(DecoderConfig(vocabulary=8, layers=1, width=8, heads=2, feed_forward=16))
    >>> [len(row) for row in sample_batch(model, [[1], [2, 3]], end=99, max_tokens=5)]
    [5, 5]
    """
    room = max(map(len, prompts), default=0) + max_tokens
    if room > decoder.config.context:
        raise UsageError(
            f"Prompts and answers of {room} tokens exceed the context of {decoder.config.context}. Shorten them."
        )
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    drawn: list[list[int]] = [[] for _ in prompts]
    for begin in range(0, len(order), rows_at_once):
        chosen = order[begin : begin + rows_at_once]
        generator = Seed.of(seed).child("rows", begin).torch()
        for number, tokens in zip(
            chosen,
            _continue(decoder, [prompts[number] for number in chosen], end, max_tokens, temperature, generator),
            strict=True,
        ):
            drawn[number] = tokens
    return drawn


def _continue(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    end: int,
    max_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> list[list[int]]:
    longest, config = max(map(len, prompts)), decoder.config
    room = longest + max_tokens
    pads = torch.tensor([longest - len(prompt) for prompt in prompts])
    tokens = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    shape = (len(prompts), config.heads, room, config.width // config.heads)
    keys = [torch.zeros(shape) for _ in decoder.layers]
    values = [torch.zeros(shape) for _ in decoder.layers]
    alive = list(range(len(prompts)))
    drawn: list[list[int]] = [[] for _ in prompts]
    place = 0
    while True:
        length = tokens.shape[1]
        here = torch.arange(place, place + length)
        positions = (here[None] - pads[:, None]).clamp_min(0)
        columns = torch.arange(place + length)
        seen = (columns[None, None] <= here[None, :, None]) & (columns[None, None] >= pads[:, None, None])
        # A padded place sees itself alone: its numbers are never used, but must be numbers.
        seen |= columns[None, None] == here[None, :, None]
        states = decoder.embedding(tokens)
        cosine, sine = decoder.cosine[positions][:, None], decoder.sine[positions][:, None]
        for number, layer in enumerate(decoder.layers):
            states = layer(states, cosine, sine, _cached(keys[number], values[number], place, seen[:, None]))
        logits = decoder.logits(decoder.norm(states[:, -1]))
        place += length
        if temperature == 0:
            latest = logits.argmax(-1)
        else:
            uniform = torch.rand(logits.shape, generator=generator).clamp_min(1e-20)
            latest = (logits / temperature - (-uniform.log()).log()).argmax(-1)
        for row, token in zip(alive, latest.tolist(), strict=True):
            drawn[row].append(token)
        keep = (latest != end).nonzero()[:, 0]
        if not len(keep) or place == room - 1:
            return drawn
        if len(keep) < len(alive):
            alive = [alive[i] for i in keep.tolist()]
            latest, pads = latest[keep], pads[keep]
            keys, values = [part[keep] for part in keys], [part[keep] for part in values]
        tokens = latest[:, None]


def _cached(keys: torch.Tensor, values: torch.Tensor, place: int, seen: torch.Tensor) -> Attend:
    """Attention that writes its keys and values into a cache from a place on, and reads all before."""

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        past = place + key.shape[2]
        keys[:, :, place:past], values[:, :, place:past] = key, value
        return functional.scaled_dot_product_attention(query, keys[:, :, :past], values[:, :, :past], attn_mask=seen)

    return attend
