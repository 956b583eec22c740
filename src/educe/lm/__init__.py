"""Language models: one interface, several backends, and the session that meters them."""

from educe.lm.completion import Chunk, Completion, Sampling, TopLogprob
from educe.lm.constraint import Constraint
from educe.lm.decoder import Decoder, DecoderConfig
from educe.lm.fake import FakeLM
from educe.lm.flops import ModelSize, flops, flops_matched, model_size
from educe.lm.loading import load
from educe.lm.model import LanguageModel, Price
from educe.lm.prompt import Message, Prompt, check_prompt, prompt_text, render_chat
from educe.lm.session import Event, Session
from educe.lm.tabular import TabularLM

__all__ = [
    "Chunk",
    "Completion",
    "Constraint",
    "Decoder",
    "DecoderConfig",
    "Event",
    "FakeLM",
    "LanguageModel",
    "Message",
    "ModelSize",
    "Price",
    "Prompt",
    "Sampling",
    "Session",
    "TabularLM",
    "TopLogprob",
    "check_prompt",
    "flops",
    "flops_matched",
    "load",
    "model_size",
    "prompt_text",
    "render_chat",
]
