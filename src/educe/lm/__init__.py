"""Language models: one interface, several backends, and the session that meters them."""

from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.fake import FakeLM
from educe.lm.loading import load
from educe.lm.model import LanguageModel, Price
from educe.lm.prompt import Message, Prompt, check_prompt, prompt_text, render_chat
from educe.lm.session import Event, Session
from educe.lm.tabular import TabularLM

__all__ = [
    "Chunk",
    "Completion",
    "Event",
    "FakeLM",
    "LanguageModel",
    "Message",
    "Price",
    "Prompt",
    "Sampling",
    "Session",
    "TabularLM",
    "check_prompt",
    "load",
    "prompt_text",
    "render_chat",
]
