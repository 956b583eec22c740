"""`Decoder`: a Llama-family decoder as a plain PyTorch module, to be trained and read from, not to be served.

The same arithmetic as `educe.lm.engine` (RMSNorm, rotary positions, SwiGLU, tied output), over padded batches, with
gradients and with access to hidden states. It is saved as a folder that the engine and transformers load.
Source: Touvron et al. (2023), arXiv:2302.13971. Not covered: grouped queries, a key-value cache, bfloat16.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from educe.core.errors import DataError
from educe.core.seed import Seed

__all__ = ["Decoder", "DecoderConfig", "padded_batch"]

IGNORED = -100
# Rotated queries, rotated keys and values, (rows, heads, length, head_dim) each, to what each position takes up.
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a decoder.

    Parameters
    ----------
    vocabulary : int
        Number of tokens.
    layers, width, heads, feed_forward : int
        As in the engine's configuration; the width is a multiple of the heads.
    context : int
        Most positions.
    rope_base : float
        Base of the rotary positions.
    norm_epsilon : float
        Of RMSNorm.

    Examples
    --------
    >>> DecoderConfig(vocabulary=300, layers=2, width=64, heads=2, feed_forward=176).context
    512
    """

    vocabulary: int
    layers: int = 4
    width: int = 160
    heads: int = 5
    feed_forward: int = 432
    context: int = 512
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5


def padded_batch(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Put rows of tokens into one (rows, longest) tensor; places after a row's end hold token 0.

    Parameters
    ----------
    rows : sequence of sequences of int
        Tokens; the causal order keeps what is behind a row's end from touching it.

    Examples
    --------
    >>> padded_batch([[5, 6], [7]]).tolist()
    [[5, 6], [7, 0]]
    """
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True)


class _Layer(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, inner = config.width, config.feed_forward
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(width, config.norm_epsilon)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_output = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(width, config.norm_epsilon)
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(
        self, states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, attend: Attend = _causal
    ) -> torch.Tensor:
        rows, length, width = states.shape
        parts = self.query_key_value(self.attention_norm(states)).view(rows, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        query, key = (part * cosine + _half_turned(part) * sine for part in (query, key))
        mixed = attend(query, key, value)
        states = states + self.attention_output(mixed.transpose(1, 2).reshape(rows, length, width))
        gate, up = self.gate_up(self.feed_forward_norm(states)).chunk(2, -1)
        changed: torch.Tensor = states + self.down(functional.silu(gate) * up)
        return changed


def _half_turned(states: torch.Tensor) -> torch.Tensor:
    first, second = states.chunk(2, -1)
    return torch.cat([-second, first], -1)


class Decoder(nn.Module):
    """The decoder, freshly drawn.

    Parameters
    ----------
    config : DecoderConfig
        Its sizes.
    seed : int or Seed
        Of the first weights.

    Examples
    --------
    >>> decoder = Decoder(DecoderConfig(vocabulary=32, layers=1, width=8, heads=2, feed_forward=16))
    >>> decoder(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 32])
    """

    cosine: torch.Tensor
    sine: torch.Tensor

    def __init__(self, config: DecoderConfig, seed: int | Seed = 0) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.norm_epsilon)
        half = torch.arange(0, config.width // config.heads, 2).float() / (config.width // config.heads)
        angles = torch.outer(torch.arange(config.context).float(), 1.0 / config.rope_base**half)
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        generator = Seed.of(seed).child("decoder").torch()
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith(("attention_output.weight", "down.weight")):
                    # Each branch begins as nothing, so that the first gradients see the tokens themselves.
                    weight.zero_()
                elif weight.dim() == 2:
                    scale = 0.1 if name.startswith("embedding") else 0.5 * weight.shape[1] ** -0.5
                    weight.normal_(0, scale, generator=generator)

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states, normed: (rows, length) tokens to (rows, length, width)."""
        states = self.embedding(tokens)
        cosine, sine = (table[: tokens.shape[1]] for table in (self.cosine, self.sine))
        for layer in self.layers:
            states = layer(states, cosine, sine)
        normed: torch.Tensor = self.norm(states)
        return normed

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits: (rows, length) tokens to (rows, length, vocabulary)."""
        return self.logits(self.hidden(tokens))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits of hidden states."""
        return functional.linear(hidden, self.embedding.weight)

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the summed cross-entropy of targets, (rows, length); places with target -100 do not count."""
        wanted = targets != IGNORED
        return functional.cross_entropy(self.logits(self.hidden(tokens)[wanted]), targets[wanted], reduction="sum")

    def save(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Write ``config.json`` and ``model.safetensors``.

        Parameters
        ----------
        folder : Path
            Must exist.
        settings : mapping
            Further entries of the configuration, such as the end token.
        """
        config = self.config
        described = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": config.vocabulary,
            "hidden_size": config.width,
            "intermediate_size": config.feed_forward,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.heads,
            "head_dim": config.width // config.heads,
            "hidden_act": "silu",
            "max_position_embeddings": config.context,
            "rms_norm_eps": config.norm_epsilon,
            "rope_theta": config.rope_base,
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
        }
        (folder / "config.json").write_text(json.dumps(described | dict(settings), indent=2) + "\n")
        tensors: dict[str, torch.Tensor] = {
            "model.embed_tokens.weight": self.embedding.weight,
            "model.norm.weight": self.norm.weight,
        }
        for number, layer in enumerate(self.layers):
            tensors |= {f"model.layers.{number}.{name}.weight": part for name, part in _parts(layer).items()}
        safetensors.torch.save_file(
            {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )

    @classmethod
    def load(cls, folder: Path) -> Decoder:
        """Read a folder that `save` wrote.

        Raises
        ------
        DataError
            A file is missing or unsound, or the model has features that this class lacks.
        """
        try:
            settings = json.loads((folder / "config.json").read_text())
            tensors = safetensors.torch.load_file(folder / "model.safetensors")
            if settings["num_key_value_heads"] != settings["num_attention_heads"] or "lm_head.weight" in tensors:
                raise DataError(f"{folder.name} has grouped queries or an output matrix of its own. Use the engine.")
            config = DecoderConfig(
                vocabulary=settings["vocab_size"],
                layers=settings["num_hidden_layers"],
                width=settings["hidden_size"],
                heads=settings["num_attention_heads"],
                feed_forward=settings["intermediate_size"],
                context=settings["max_position_embeddings"],
                rope_base=float(settings["rope_theta"]),
                norm_epsilon=settings["rms_norm_eps"],
            )
            decoder = cls(config)
            with torch.no_grad():
                decoder.embedding.weight.copy_(tensors["model.embed_tokens.weight"])
                decoder.norm.weight.copy_(tensors["model.norm.weight"])
                for number, layer in enumerate(decoder.layers):
                    for name, part in _parts(layer).items():
                        part.copy_(tensors[f"model.layers.{number}.{name}.weight"])
        except (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
            raise DataError(f"{folder} holds no decoder that can be read: {error}. Check the folder.") from error
        return decoder

    def describe(self) -> dict[str, Any]:
        """Return the sizes and the number of parameters."""
        return asdict(self.config) | {"parameters": sum(weight.numel() for weight in self.parameters())}


def _parts(layer: Any) -> dict[str, torch.Tensor]:
    """The parts of a layer as views, under the names that transformers gives them."""
    query, key, value = layer.query_key_value.weight.chunk(3)
    gate, up = layer.gate_up.weight.chunk(2)
    return {
        "input_layernorm": layer.attention_norm.weight,
        "self_attn.q_proj": query,
        "self_attn.k_proj": key,
        "self_attn.v_proj": value,
        "self_attn.o_proj": layer.attention_output.weight,
        "post_attention_layernorm": layer.feed_forward_norm.weight,
        "mlp.gate_proj": gate,
        "mlp.up_proj": up,
        "mlp.down_proj": layer.down.weight,
    }
