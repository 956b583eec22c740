"""Weights of Llama-family models, from a GGUF file or a folder of safetensors.

Both sources end in the same `Weights`: query, key and value stacked into one matrix, gate and up
projection into another, as float32 or bfloat16.

Query and key rows of each head are kept as GGUF stores them: the two of a pair that rotates together side by side.
In safetensors they lie half a head apart and are moved here, biases and norms of the heads with them. Gemma's norms,
stored as what they differ from one by, are completed. A tensor or setting that this version does not know is refused: a
model that loads is computed as its authors meant. Not covered: rope scaling, experts, soft caps of attention scores,
other families, and GGUF files of other architectures than llama.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import torch

from educe.core.errors import DataError
from educe.lm.engine.architectures import ACTIVATIONS, FURTHER_NAMES, local_layers
from educe.lm.engine.gguf import GGUFFile
from educe.lm.engine.tokenizer import Tokenizer, read_json

__all__ = ["LayerWeights", "ModelConfig", "Weights", "load_weights"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The sizes of a decoder; ``width`` is the model dimension, ``feed_forward`` the inner one.

    ``local`` are the layers that see ``window`` positions, with rotary base ``local_rope_base``; ``query_scale`` None
    is the usual one, ``logit_cap`` 0 none.
    """

    layers: int
    width: int
    heads: int
    key_value_heads: int
    head_dim: int
    feed_forward: int
    context: int
    norm_epsilon: float
    rope_base: float
    activation: str = "silu"
    embedding_scale: float = 1.0
    query_scale: float | None = None
    logit_cap: float = 0.0
    local: frozenset[int] = frozenset()
    window: int = 0
    local_rope_base: float = 0.0

    def check(self, where: str) -> None:
        """Refuse sizes that no decoder has.

        Raises
        ------
        DataError
            One is out of range or does not divide another.
        """
        whole = (
            self.layers,
            self.width,
            self.heads,
            self.key_value_heads,
            self.head_dim,
            self.feed_forward,
            self.context,
        )
        fine = all(1 <= size <= 1 << 24 for size in whole) and self.layers <= 1 << 10
        fine = fine and self.heads % self.key_value_heads == 0 and self.head_dim % 2 == 0
        fine = fine and all(1 < base < math.inf for base in (self.rope_base, self.local_rope_base or self.rope_base))
        fine = fine and (self.window >= 1 or not self.local) and 0 <= self.logit_cap < math.inf
        if not fine or not 0 < self.norm_epsilon < 1 or not 0 < (self.query_scale or 1) < math.inf:
            raise DataError(f"{where} describes an impossible model: {self}. Fetch the model again.")


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer: matrices as (out, in), norms as (width,), those of heads as (head_dim,); None where there is none."""

    attention_norm: torch.Tensor
    query_key_value: torch.Tensor
    attention_output: torch.Tensor
    feed_forward_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor
    query_key_value_bias: torch.Tensor | None = None
    query_norm: torch.Tensor | None = None
    key_norm: torch.Tensor | None = None
    attention_post_norm: torch.Tensor | None = None
    feed_forward_post_norm: torch.Tensor | None = None

    def to(self, device: str) -> LayerWeights:
        """Return the layer on a device."""
        parts: dict[str, torch.Tensor | None] = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: part.to(device) for name, part in parts.items() if part is not None})


@dataclass(frozen=True, slots=True)
class Weights:
    """A whole decoder; ``output`` is ``embedding`` itself where the two are tied."""

    config: ModelConfig
    embedding: torch.Tensor
    layers: tuple[LayerWeights, ...]
    norm: torch.Tensor
    output: torch.Tensor

    def to(self, device: str) -> Weights:
        """Return the weights on a device."""
        if device == "cpu":
            return self
        layers = tuple(layer.to(device) for layer in self.layers)
        embedding = self.embedding.to(device)
        output = embedding if self.output is self.embedding else self.output.to(device)
        return Weights(self.config, embedding, layers, self.norm.to(device), output)


# Name of each part: in GGUF below "blk.{layer}.", in safetensors below "model.layers.{layer}.".
LAYER_NAMES = {
    "attention_norm": ("attn_norm", "input_layernorm"),
    "query": ("attn_q", "self_attn.q_proj"),
    "key": ("attn_k", "self_attn.k_proj"),
    "value": ("attn_v", "self_attn.v_proj"),
    "attention_output": ("attn_output", "self_attn.o_proj"),
    "feed_forward_norm": ("ffn_norm", "post_attention_layernorm"),
    "gate": ("ffn_gate", "mlp.gate_proj"),
    "up": ("ffn_up", "mlp.up_proj"),
    "down": ("ffn_down", "mlp.down_proj"),
}
ROTATED = ("query", "key", "query_bias", "key_bias", "query_norm", "key_norm")
MODEL_NAMES = {
    "embedding": ("token_embd", "model.embed_tokens"),
    "norm": ("output_norm", "model.norm"),
    "output": ("output", "lm_head"),
}


def load_weights(path: Path, dtype: torch.dtype, others: torch.dtype = torch.float32) -> tuple[Weights, Tokenizer]:
    """Load a model and its tokenizer.

    Parameters
    ----------
    path : Path
        A GGUF file, or a folder with ``config.json``, ``tokenizer.json`` and ``*.safetensors``.
    dtype : torch.dtype
        float32 or bfloat16, for the matrices of the layers.
    others : torch.dtype
        The same for the embedding and the output matrix. Norms are float32.

    Returns
    -------
    tuple of Weights and Tokenizer

    Raises
    ------
    DataError
        The model is not sound or of a kind that this version does not support.
    """
    return _from_folder(path, dtype, others) if path.is_dir() else _from_gguf(path, dtype, others)


def _unsupported(where: str, what: str) -> DataError:
    return DataError(
        f"{where} has {what}, which this version of the engine does not support (it runs the architectures "
        f"{', '.join(FURTHER_NAMES)} without experts or rope scaling). Load the model with hf: instead."
    )


def _from_gguf(path: Path, dtype: torch.dtype, others: torch.dtype) -> tuple[Weights, Tokenizer]:
    with GGUFFile(path) as file:
        architecture = file.get("general.architecture", str)
        if architecture != "llama":
            raise _unsupported(path.name, f"the architecture {architecture!r}")
        if file.metadata.get("llama.rope.scaling.type", "none") != "none" or "llama.expert_count" in file.metadata:
            raise _unsupported(path.name, "rope scaling or experts")
        heads, width = file.get("llama.attention.head_count", int), file.get("llama.embedding_length", int)
        head_dim = file.metadata.get("llama.attention.key_length", width // max(heads, 1))
        if file.metadata.get("llama.rope.dimension_count", head_dim) != head_dim:
            raise _unsupported(path.name, "heads that rotate in part")
        config = ModelConfig(
            layers=file.get("llama.block_count", int),
            width=width,
            heads=heads,
            key_value_heads=file.get("llama.attention.head_count_kv", int),
            head_dim=head_dim,
            feed_forward=file.get("llama.feed_forward_length", int),
            context=file.get("llama.context_length", int),
            norm_epsilon=file.get("llama.attention.layer_norm_rms_epsilon", float),
            rope_base=file.get("llama.rope.freq_base", float) if "llama.rope.freq_base" in file.metadata else 10000.0,
        )
        tokenizer = Tokenizer.from_gguf(file)

        def name_of(part: str, layer: int | None) -> str:
            return f"{MODEL_NAMES[part][0]}.weight" if layer is None else f"blk.{layer}.{LAYER_NAMES[part][0]}.weight"

        def fetch(part: str, layer: int | None) -> torch.Tensor:
            return file.tensor(name_of(part, layer))

        return _assemble(
            path.name, config, len(tokenizer.pieces), file.tensors, name_of=name_of, fetch=fetch, dtypes=(dtype, others)
        ), tokenizer


def _from_folder(folder: Path, dtype: torch.dtype, others: torch.dtype) -> tuple[Weights, Tokenizer]:
    settings = read_json(folder / "config.json")
    kind = settings.get("model_type")
    if kind not in FURTHER_NAMES:
        raise _unsupported(folder.name, f"the architecture {kind!r}")
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    ropes = [part for part in (rope.values() if isinstance(rope, dict) else ()) if isinstance(part, dict)] or [rope]
    for one in ropes:
        if not isinstance(one, dict) or one.get("rope_type", one.get("type", "default")) != "default":
            raise _unsupported(folder.name, "rope scaling")
    gemma = kind == "gemma3_text"
    activation = settings.get("hidden_activation" if gemma else "hidden_act", "gelu_pytorch_tanh" if gemma else "silu")
    if (settings.get("attention_bias") and kind != "qwen2") or settings.get("mlp_bias"):
        raise _unsupported(folder.name, "biases")
    if activation not in ACTIVATIONS:
        raise _unsupported(folder.name, f"the activation {activation!r} (neither silu nor gelu_pytorch_tanh)")
    if settings.get("attn_logit_softcapping") or settings.get("use_bidirectional_attention"):
        raise _unsupported(folder.name, "a cap on attention scores, or sight of what follows")

    def number(key: str, default: Any = None) -> Any:
        value = settings.get(key)
        value = default if value is None else value
        if type(value) not in (int, float):
            raise DataError(f"{folder.name}/config.json says {key} = {value!r}, no number. Fetch the folder again.")
        return value

    def base(which: str, key: str, default: float) -> float:
        own = rope.get(which)
        return float((own if isinstance(own, dict) else rope).get("rope_theta") or number(key, default))

    heads, width = number("num_attention_heads"), number("hidden_size")
    layers = int(number("num_hidden_layers"))
    local = local_layers(settings, layers)
    config = ModelConfig(
        layers=layers,
        width=int(width),
        heads=int(heads),
        key_value_heads=int(number("num_key_value_heads", heads)),
        head_dim=int(number("head_dim", width // max(heads, 1))),
        feed_forward=int(number("intermediate_size")),
        context=int(number("max_position_embeddings")),
        norm_epsilon=float(number("rms_norm_eps")),
        rope_base=base("full_attention", "rope_theta", 1e6 if gemma else 1e4),
        activation=activation,
        embedding_scale=float(width) ** 0.5 if gemma else 1.0,
        query_scale=float(number("query_pre_attn_scalar", 256)) ** -0.5 if gemma else None,
        logit_cap=float(number("final_logit_softcapping", 0.0)),
        local=local,
        window=int(number("sliding_window")) if local else 0,
        local_rope_base=base("sliding_attention", "rope_local_base_freq", 1e4) if gemma else 0.0,
    )
    names = {part: pair[1] for part, pair in LAYER_NAMES.items()} | FURTHER_NAMES[kind]
    ends = settings.get("eos_token_id")
    tokenizer = Tokenizer.from_folder(
        folder, tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,)
    )
    homes: dict[str, Any] = {}
    try:
        for shard in sorted(folder.glob("*.safetensors")):
            opened: Any = safetensors.safe_open(shard, framework="pt")
            homes |= dict.fromkeys(opened.keys(), opened)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(
            f"A safetensors file in {folder.name} is not sound: {error}. Fetch the folder again."
        ) from error

    def name_of(part: str, layer: int | None) -> str:
        if layer is None:
            return f"{MODEL_NAMES[part][1]}.weight"
        return f"model.layers.{layer}.{names[part]}.{'bias' if part.endswith('_bias') else 'weight'}"

    def fetch(part: str, layer: int | None) -> torch.Tensor:
        name = name_of(part, layer)
        if name not in homes:
            raise DataError(f"{folder.name} has no tensor {name!r}. Fetch the folder again.")
        tensor: torch.Tensor = homes[name].get_tensor(name)
        if not tensor.is_floating_point():
            raise _unsupported(folder.name, f"the quantised tensor {name!r}")
        tensor = tensor.float()
        if part in ROTATED and tensor.shape[0] % config.head_dim == 0:
            halves = tensor.reshape(-1, 2, config.head_dim // 2, math.prod(tensor.shape[1:]))
            tensor = halves.transpose(1, 2).reshape(tensor.shape)
        if gemma and part.endswith("norm"):
            tensor = tensor + 1
        return tensor

    weights = _assemble(
        folder.name,
        config,
        len(tokenizer.pieces),
        homes,
        name_of=name_of,
        fetch=fetch,
        dtypes=(dtype, others),
        further=tuple(FURTHER_NAMES[kind]),
    )
    return weights, tokenizer


def _assemble(
    where: str,
    config: ModelConfig,
    tokens: int,
    present: Iterable[str],
    *,
    name_of: Callable[[str, int | None], str],
    fetch: Callable[[str, int | None], torch.Tensor],
    dtypes: tuple[torch.dtype, torch.dtype],
    further: tuple[str, ...] = (),
) -> Weights:
    config.check(where)
    dtype, others = dtypes
    names = set(present)
    tied = name_of("output", None) not in names
    known = {name_of(part, None) for part in MODEL_NAMES}
    known |= {name_of(part, layer) for layer in range(config.layers) for part in (*LAYER_NAMES, *further)}
    # Older converters store the rotation's frequencies, which follow from the base.
    strange = sorted(name for name in names - known if not name.endswith("rotary_emb.inv_freq"))
    if strange:
        raise _unsupported(where, f"the tensor {strange[0]!r}")

    def part(name: str, layer: int | None, *shape: int | None) -> torch.Tensor:
        tensor = fetch(name, layer)
        full = name_of(name, layer)
        if tensor.dim() != len(shape) or any(
            need not in (None, has) for need, has in zip(shape, tensor.shape, strict=True)
        ):
            raise DataError(f"{where}: {full!r} has shape {tuple(tensor.shape)}, not {shape}. Fetch the model again.")
        if not math.isfinite(float(tensor.sum())):
            raise DataError(f"{where}: {full!r} holds numbers that are not finite. Fetch the model again.")
        return tensor

    width, inner = config.width, config.feed_forward
    queries, keys = config.heads * config.head_dim, config.key_value_heads * config.head_dim

    def optional(name: str, layer: int, size: int) -> torch.Tensor | None:
        return part(name, layer, size) if name in further else None

    def biases(layer: int) -> torch.Tensor | None:
        sizes = {"query_bias": queries, "key_bias": keys, "value_bias": keys}
        found = [part(name, layer, size) for name, size in sizes.items() if name in further]
        return torch.cat(found) if found else None

    embedding = part("embedding", None, None, width).to(others)
    vocabulary = embedding.shape[0]
    if vocabulary < tokens:
        raise DataError(f"{where} has {vocabulary} embeddings for {tokens} tokens. Fetch it again.")
    layers = tuple(
        LayerWeights(
            part("attention_norm", layer, width),
            torch.cat(
                [
                    part("query", layer, queries, width),
                    part("key", layer, keys, width),
                    part("value", layer, keys, width),
                ]
            ).to(dtype),
            part("attention_output", layer, width, queries).to(dtype),
            part("feed_forward_norm", layer, width),
            torch.cat([part("gate", layer, inner, width), part("up", layer, inner, width)]).to(dtype),
            part("down", layer, width, inner).to(dtype),
            biases(layer),
            optional("query_norm", layer, config.head_dim),
            optional("key_norm", layer, config.head_dim),
            optional("attention_post_norm", layer, width),
            optional("feed_forward_post_norm", layer, width),
        )
        for layer in range(config.layers)
    )
    output = embedding if tied else part("output", None, vocabulary, width).to(others)
    return Weights(config, embedding, layers, part("norm", None, width), output)
