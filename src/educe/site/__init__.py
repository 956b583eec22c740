"""The page: daily papers that run, and an OpenAI-compatible server beside it."""

from educe.site.app import create_app
from educe.site.config import Limits, SiteConfig
from educe.site.database import Database
from educe.site.server import serve

__all__ = ["Database", "Limits", "SiteConfig", "create_app", "serve"]
