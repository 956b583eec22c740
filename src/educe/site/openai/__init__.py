"""The OpenAI-compatible API: any model of the library, with any method, for any client that speaks that API."""

from educe.site.openai.limits import Limits
from educe.site.openai.pool import ModelPool
from educe.site.openai.router import create_openai_router

__all__ = ["Limits", "ModelPool", "create_openai_router"]
