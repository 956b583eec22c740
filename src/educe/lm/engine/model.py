"""A Llama-family decoder: RMSNorm, rotary positions, grouped queries, SwiGLU.

Source: Touvron et al. (2023), arXiv:2302.13971; grouped queries Ainslie et al. (2023), arXiv:2305.13245. Further parts
of Mistral (windows), Qwen 2 (biases), Qwen 3 (norms of queries and keys, arXiv:2505.09388) and Gemma 3 (all of these
but biases, norms after each part, local and global layers, arXiv:2503.19786) are used where a model has them.

`Llama` runs the layers over the positions of one step, a flat list whatever rows they belong to, and asks an
attention object what each position attends to. A position's numbers do not depend on its neighbours, bit for bit:
everything here works position by position, and the matrix products keep to the sizes for which `linear` promises it.

The pairs that rotary embedding turns lie side by side, so that a turn is a complex product; queries and keys both
keep to that order, so their products are those of the published layout.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from educe.lm.engine.linear import FEW_ROWS, Linear, packed, padded_rows
from educe.lm.engine.policies import AllLayers, AsStored, ExitPolicy, WeightTransform
from educe.lm.engine.weights import LayerWeights, Weights

__all__ = ["Attention", "Llama"]

NONE = torch.empty(0)


class Attention(Protocol):
    """What a layer asks; see `StepAttention`."""

    def __call__(self, layer: int, queries: torch.Tensor, keys_values: torch.Tensor, out: torch.Tensor) -> None:
        """Keep new keys and values, and write what the queries attend to into ``out``."""
        ...

    def keep(self, layer: int, keys_values: torch.Tensor) -> None:
        """Keep new keys and values without attending."""
        ...


class _Layer(NamedTuple):
    attention_norm: torch.Tensor
    query_key_value: Linear
    attention_output: Linear
    feed_forward_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    weights: LayerWeights  # what is not a matrix


class Llama:
    """The decoder.

    Parameters
    ----------
    weights : Weights
        Its parameters.
    transform : WeightTransform, optional
        What becomes of the matrices before they are packed.
    exits : ExitPolicy, optional
        When positions leave early.
    kind : str
        ``"int8"`` or ``"int4"`` to round the matrices of the layers to whole numbers; float32 or bfloat16 else, as they
        come.
    """

    def __init__(
        self,
        weights: Weights,
        transform: WeightTransform | None = None,
        exits: ExitPolicy | None = None,
        kind: str = "",
    ) -> None:
        transform = transform or AsStored()
        self.config, self.exits = weights.config, exits or AllLayers()
        self._embedding, self._norm_weight = weights.embedding, weights.norm
        self._layers = [
            _Layer(
                layer.attention_norm,
                packed(transform(f"layers.{number}.query_key_value", layer.query_key_value), kind),
                packed(transform(f"layers.{number}.attention_output", layer.attention_output), kind),
                layer.feed_forward_norm,
                packed(transform(f"layers.{number}.gate_up", layer.gate_up), kind),
                packed(transform(f"layers.{number}.down", layer.down), kind),
                # The matrices are packed: hold nothing but the rest.
                replace(layer, query_key_value=NONE, attention_output=NONE, gate_up=NONE, down=NONE),
            )
            for number, layer in enumerate(weights.layers)
        ]
        self._few = FEW_ROWS.get(kind, 0)
        self._output = packed(transform("output", weights.output))
        config = self.config
        self._scale = config.head_dim**-0.5 if config.query_scale is None else config.query_scale
        self._turns = {False: self._turn_table(config.rope_base)}
        if config.local:
            self._turns[True] = self._turn_table(config.local_rope_base or config.rope_base)

    def _turn_table(self, base: float) -> torch.Tensor:
        """Rotations (context, head_dim / 2), complex."""
        half = torch.arange(0, self.config.head_dim, 2, dtype=torch.int64).float() / self.config.head_dim
        angles = torch.arange(self.config.context)[:, None].float() * (1.0 / (base**half))
        # A table, since the library computes the last few of a row of cosines by another routine than the rest.
        return torch.polar(torch.ones_like(angles), angles).to(self._embedding.device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._embedding.device

    def hidden(self, tokens: torch.Tensor, positions: torch.Tensor, attention: Attention) -> torch.Tensor:
        """Run all layers and the last norm.

        Parameters
        ----------
        tokens, positions : Tensor
            (n,) int64.
        attention : Attention
            What is attended to, and where keys and values are kept.

        Returns
        -------
        Tensor
            (n, width) float32.
        """
        config, count = self.config, len(tokens)
        heads, both = config.heads, config.heads + config.key_value_heads
        # Positions that only fill a row up may lie beyond the context.
        places = positions.clamp(max=config.context - 1)
        turns_of = {local: table[places][:, None].repeat(1, both, 1) for local, table in self._turns.items()}
        for turns in turns_of.values():
            turns[:, :heads] *= self._scale  # which scales the queries
        state = functional.embedding(tokens, self._embedding).float()
        if config.embedding_scale != 1:
            state *= config.embedding_scale
        filled = self._padded(count)
        if filled > count:
            state = functional.pad(state, (0, 0, 0, filled - count))
        attended = state.new_zeros(filled, heads * config.head_dim)
        gone: torch.Tensor | None = None
        for number, layer in enumerate(self._layers):
            stacked = layer.query_key_value(self._norm(state, layer.attention_norm))[:count]
            stacked = self._heads(stacked, layer.weights)
            torch.view_as_complex(stacked[:, :both].view(count, both, -1, 2)).mul_(turns_of[number in config.local])
            keys_values = stacked[:, heads:].view(count, 2, -1, config.head_dim)
            if gone is not None and bool(gone.all()):
                attention.keep(number, keys_values)
                continue
            attention(number, stacked[:, :heads], keys_values, attended[:count])
            before = state
            state = self._joined(layer.attention_output, attended, state, layer.weights.attention_post_norm)
            gate_up = layer.gate_up(self._norm(state, layer.feed_forward_norm))
            gate, up = gate_up.chunk(2, -1)
            gated = functional.silu(gate) if config.activation == "silu" else functional.gelu(gate, approximate="tanh")
            state = self._joined(layer.down, gated.mul_(up), state, layer.weights.feed_forward_post_norm)
            if gone is not None:
                state[:count] = torch.where(gone[:, None], before[:count], state[:count])
            leaving = self.exits.leaves(number, state[:count])
            if leaving is not None:
                gone = leaving if gone is None else gone | leaving
        return self._norm(state, self._norm_weight)[:count]

    def _heads(self, stacked: torch.Tensor, weights: LayerWeights) -> torch.Tensor:
        """Add biases to queries, keys and values, divide them into heads and norm those of queries and keys."""
        config, epsilon = self.config, self.config.norm_epsilon
        if weights.query_key_value_bias is not None:
            stacked = stacked + weights.query_key_value_bias
        stacked = stacked.view(len(stacked), -1, config.head_dim)
        for norm, first, count in (
            (weights.query_norm, 0, config.heads),
            (weights.key_norm, config.heads, config.key_value_heads),
        ):
            if norm is not None:
                part = stacked[:, first : first + count]
                part.copy_(functional.rms_norm(part, (config.head_dim,), norm, epsilon))
        return stacked

    def _joined(
        self, product: Linear, rows: torch.Tensor, state: torch.Tensor, norm: torch.Tensor | None
    ) -> torch.Tensor:
        """Add a product, normed where the model has it so, to the state."""
        return product(rows, state) if norm is None else state + self._norm(product(rows), norm)

    def _padded(self, rows: int) -> int:
        """Whole numbers promise nothing across numbers of rows, and one row alone is what they are for."""
        return rows if rows <= self._few else padded_rows(rows)

    def _norm(self, state: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(state, (self.config.width,), weight, self.config.norm_epsilon)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Turn hidden states (n, width) into logits (n, vocabulary), both float32."""
        missing = self._padded(len(hidden)) - len(hidden)
        filled = functional.pad(hidden, (0, 0, 0, missing)) if missing else hidden.contiguous()
        logits = self._output(filled)[: len(hidden)]
        cap = self.config.logit_cap
        return logits if not cap else logits.div_(cap).tanh_().mul_(cap)
