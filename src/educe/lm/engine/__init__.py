"""educe's own engine: a PyTorch decoder for Llama-family models in GGUF or safetensors."""

from educe.lm.engine.engine import Engine

__all__ = ["Engine"]
