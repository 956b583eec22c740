"""educe's own engine: a PyTorch decoder for Llama-family models in GGUF or safetensors."""

from educe.lm.engine.engine import Engine
from educe.lm.engine.policies import Policies
from educe.lm.engine.requests import BusyError

__all__ = ["BusyError", "Engine", "Policies"]
