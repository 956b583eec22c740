"""In what the architectures that the engine runs differ from Llama: names of tensors, activations, local layers.

Names and defaults are those of the configuration files of transformers.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ACTIVATIONS", "FURTHER_NAMES", "local_layers"]

ACTIVATIONS = ("silu", "gelu_pytorch_tanh")

# What other architectures have beside these, or by another name, in safetensors.
GEMMA_NAMES = {
    "attention_post_norm": "post_attention_layernorm",
    "feed_forward_norm": "pre_feedforward_layernorm",
    "feed_forward_post_norm": "post_feedforward_layernorm",
}
HEAD_NORMS = {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
BIASES = {f"{part}_bias": f"self_attn.{part[0]}_proj" for part in ("query", "key", "value")}
FURTHER_NAMES: dict[str, dict[str, str]] = {
    "llama": {},
    "mistral": {},
    "qwen2": BIASES,
    "qwen3": HEAD_NORMS,
    "gemma3_text": GEMMA_NAMES | HEAD_NORMS,
}


def local_layers(settings: dict[str, Any], layers: int) -> frozenset[int]:
    """Return the layers that see a window only."""
    if settings.get("sliding_window") is None or settings.get("use_sliding_window") is False:
        return frozenset()
    kinds = settings.get("layer_types")
    if isinstance(kinds, list):
        return frozenset(number for number, kind in enumerate(kinds) if kind == "sliding_attention")
    pattern = settings.get("sliding_window_pattern") or settings.get("_sliding_window_pattern")
    every = (
        pattern
        if type(pattern) is int and pattern > 0
        else 6
        if settings["model_type"] == "gemma3_text"
        else layers + 1
    )
    return frozenset(number for number in range(layers) if (number + 1) % every)
