"""A Llama-family decoder: RMSNorm, rotary positions, grouped queries, SwiGLU.

Source: Touvron et al. (2023), arXiv:2302.13971; grouped queries Ainslie et al. (2023), arXiv:2305.13245;
joining attention over two parts by their log-sum-exp as in Dao et al. (2022), arXiv:2205.14135, and with a
shared prefix as in Juravsky et al. (2024), arXiv:2402.05099.

`Llama` runs the layers and asks an attention object what each position attends to. `PromptAttention`
reads a prompt and keeps its keys and values; `RowAttention` lets many rows go on from one prompt that is
stored and multiplied once for all of them.

A row's numbers do not depend on its neighbours, bit for bit in float32. That rests on three habits: matrix
products have a multiple of four rows (below that the library switches kernels), a row's own part is cut
into blocks of fixed length whose results are added in order, and all else works row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from educe.lm.engine.linear import Linear, packed, padded_rows
from educe.lm.engine.weights import ModelConfig, Weights

__all__ = ["Attention", "Llama", "PromptAttention", "RowAttention", "SharedPrefix", "padded"]

BLOCK = 64
ROWS = 4


def padded(rows: int) -> int:
    """Round a number of rows up to what keeps results independent of it."""
    return -(-rows // ROWS) * ROWS


class Attention(Protocol):
    """What a layer asks: rotated queries (rows, length, heads, head_dim), keys and values with key-value heads."""

    def __call__(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:  # (rows, length, heads * head_dim)
        ...


class Llama:
    """The decoder.

    Parameters
    ----------
    weights : Weights
        Its parameters.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights, self.config = weights, weights.config
        self._layers = [
            _Layer(
                packed(layer.query_key_value), packed(layer.attention_output), packed(layer.gate_up), packed(layer.down)
            )
            for layer in weights.layers
        ]
        self._output = packed(weights.output)
        half = torch.arange(0, self.config.head_dim, 2, dtype=torch.int64).float() / self.config.head_dim
        self._frequencies = 1.0 / (self.config.rope_base**half)

    def hidden(self, tokens: torch.Tensor, positions: torch.Tensor, attention: Attention) -> torch.Tensor:
        """Run all layers and the last norm.

        Parameters
        ----------
        tokens, positions : Tensor
            (rows, length) int64.
        attention : Attention
            What is attended to, and where keys and values are kept.

        Returns
        -------
        Tensor
            (rows, length, width) float32.
        """
        config = self.config
        rows, length = tokens.shape
        angles = (positions[..., None].float() * self._frequencies).repeat(1, 1, 2)[:, :, None]
        cosine, sine = angles.cos(), angles.sin()
        sizes = [config.heads, config.key_value_heads, config.key_value_heads]
        state = functional.embedding(tokens, self.weights.embedding)
        state = self._filled(state.flatten(0, 1))
        for number, (layer, matrices) in enumerate(zip(self.weights.layers, self._layers, strict=True)):
            stacked = matrices.query_key_value(self._norm(state, layer.attention_norm))[: rows * length]
            queries, keys, values = torch.split(stacked.view(rows, length, -1, config.head_dim), sizes, 2)
            attended = attention(number, _rotated(queries, cosine, sine), _rotated(keys, cosine, sine), values)
            state = matrices.attention_output(self._filled(attended.flatten(0, 1)), state)
            gate, up = matrices.gate_up(self._norm(state, layer.feed_forward_norm)).chunk(2, -1)
            state = matrices.down(functional.silu(gate).mul_(up), state)
        return self._norm(state, self.weights.norm)[: rows * length].view(rows, length, -1)

    @staticmethod
    def _filled(state: torch.Tensor) -> torch.Tensor:
        """Add rows of zeros up to a number that results do not depend on."""
        missing = padded_rows(len(state)) - len(state)
        return functional.pad(state, (0, 0, 0, missing)) if missing else state.contiguous()

    def _norm(self, state: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(state, (self.config.width,), weight, self.config.norm_epsilon)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Turn hidden states (n, width) into logits (n, vocabulary), both float32."""
        return self._output(self._filled(hidden))[: len(hidden)]

    def read(self, tokens: Sequence[int]) -> tuple[SharedPrefix, torch.Tensor]:
        """Read a prompt.

        Parameters
        ----------
        tokens : sequence of int
            The prompt, not empty.

        Returns
        -------
        tuple of SharedPrefix and Tensor
            Its keys and values, and the hidden states (length, width) float32.
        """
        attention = PromptAttention()
        ids = torch.tensor([list(tokens)])
        hidden = self.hidden(ids, torch.arange(len(tokens))[None], attention)
        return SharedPrefix(attention.keys, attention.values), hidden[0]


class _Layer(NamedTuple):
    query_key_value: Linear
    attention_output: Linear
    gate_up: Linear
    down: Linear


def _rotated(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, -1)
    return heads * cosine + torch.cat((-second, first), -1) * sine


class SharedPrefix:
    """Keys (key-value heads, head_dim, length) and values (key-value heads, length, head_dim) of a prompt, by layer."""

    def __init__(self, keys: list[torch.Tensor], values: list[torch.Tensor]) -> None:
        self.keys, self.values = keys, values
        self.length = values[0].shape[1] if values else 0

    def first(self, length: int) -> SharedPrefix:
        """Return the first positions alone."""
        if length == self.length:
            return self
        return SharedPrefix(
            [keys[:, :, :length].contiguous() for keys in self.keys],
            [values[:, :length].contiguous() for values in self.values],
        )


class PromptAttention:
    """Causal attention within one prompt (rows = 1); keeps its keys and values."""

    def __init__(self) -> None:
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def __call__(self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        self.keys.append(keys[0].permute(1, 2, 0).contiguous())
        self.values.append(values[0].transpose(0, 1).contiguous())
        attended = functional.scaled_dot_product_attention(
            queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), is_causal=True, enable_gqa=True
        )
        return attended.transpose(1, 2).flatten(2)


class RowAttention:
    """Attention of many rows to one shared prefix and, causally, to each row's own positions.

    Parameters
    ----------
    config : ModelConfig
        Sizes.
    prefix : SharedPrefix
        What all rows share; may be of length 0.
    rows : int
        Number of rows, a multiple of 4.

    Attributes
    ----------
    lengths : Tensor
        (rows,) int64; own positions that each row has kept. The caller adds to it after each call of the model.
    """

    def __init__(self, config: ModelConfig, prefix: SharedPrefix, rows: int) -> None:
        self.config, self.prefix = config, prefix
        self.lengths = torch.zeros(rows, dtype=torch.int64)
        # (rows, key-value heads, blocks, BLOCK, head_dim): each block is one product of fixed shape.
        shape = (rows, config.key_value_heads, 0, BLOCK, config.head_dim)
        self.keys = [torch.zeros(shape) for _ in range(config.layers)]
        self.values = [torch.zeros(shape) for _ in range(config.layers)]

    def prepare(self, length: int) -> torch.Tensor:
        """Make room for ``length`` more positions of each row and return their positions (rows, length) in the text."""
        self._own = self.lengths[:, None] + torch.arange(length)
        blocks = int(self._own.max()) // BLOCK + 1
        missing = blocks - self.keys[0].shape[2]
        if missing > 0:
            for cache in (self.keys, self.values):
                cache[:] = [functional.pad(old, (0, 0, 0, 0, 0, missing)) for old in cache]
        seen = torch.arange(self.keys[0].shape[2] * BLOCK) <= self._own[..., None]
        hidden = torch.zeros(seen.shape).masked_fill_(~seen, -math.inf)
        self._bias = hidden.view(len(seen), 1, length, 1, -1, BLOCK).permute(0, 1, 4, 2, 3, 5)
        return self._own + self.prefix.length

    def move(self, source: int, target: int) -> None:
        """Copy a row into another row's place."""
        self.lengths[target] = self.lengths[source]
        for cache in (*self.keys, *self.values):
            cache[target] = cache[source]

    def shrink(self, rows: int) -> None:
        """Keep the first rows alone."""
        self.lengths = self.lengths[:rows]
        self.keys = [cache[:rows] for cache in self.keys]
        self.values = [cache[:rows] for cache in self.values]

    def __call__(self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        rows, length, heads, head_dim = queries.shape
        groups = self.config.key_value_heads
        place = (torch.arange(rows)[:, None], slice(None), self._own // BLOCK, self._own % BLOCK)
        self.keys[layer][place], self.values[layer][place] = keys, values
        own_keys, own_values = self.keys[layer], self.values[layer]
        blocks = own_keys.shape[2]
        scaled = (queries * head_dim**-0.5).view(rows, length, groups, heads // groups, head_dim)

        mine = scaled.transpose(1, 2).reshape(rows, groups, 1, -1, head_dim)
        scores = mine.expand(-1, -1, blocks, -1, -1) @ own_keys.transpose(-1, -2)
        scores = (scores.view(rows, groups, blocks, length, -1, BLOCK) + self._bias).flatten(3, 4)
        largest = scores.amax((2, 4))
        if self.prefix.length:
            shared = scaled.permute(2, 0, 1, 3, 4).reshape(groups, -1, head_dim)
            shared_scores = shared @ self.prefix.keys[layer]
            shared_largest = shared_scores.amax(-1).view(groups, rows, -1).transpose(0, 1)
            largest = torch.maximum(largest, shared_largest)

        # With one maximum for both parts the merge of the two softmaxes is a plain sum of both.
        weights = (scores - largest[:, :, None, :, None]).exp()
        block_sums, block_means = weights.sum(-1), weights @ own_values
        total, mean = block_sums[:, :, 0], block_means[:, :, 0]
        for block in range(1, blocks):
            total, mean = total + block_sums[:, :, block], mean + block_means[:, :, block]
        if self.prefix.length:
            common = largest.transpose(0, 1).reshape(groups, -1, 1)
            shared_weights = (shared_scores - common).exp()
            shared_mean = (shared_weights @ self.prefix.values[layer]).view(groups, rows, -1, head_dim)
            total = total + shared_weights.sum(-1).view(groups, rows, -1).transpose(0, 1)
            mean = mean + shared_mean.transpose(0, 1)
        joined: torch.Tensor = (mean / total[..., None]).view(rows, groups, length, -1, head_dim)
        return joined.transpose(1, 2).reshape(rows, length, -1)
