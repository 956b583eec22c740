"""`Site`: everything that the routes of one process share, and how a route gets at it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request

from educe.site.config import SiteConfig
from educe.site.database import Database
from educe.site.listing import list_topics
from educe.site.logs import RequestLog
from educe.site.metrics import Metrics
from educe.site.openai import ModelPool
from educe.site.search import Search
from educe.site.sessions import SessionSigner, site_secret

if TYPE_CHECKING:
    from educe.site.runner import Runner

__all__ = ["Site", "site_of", "topic_slug"]

MOST_ROWS = 20_000  # About 2 KB each.


def topic_slug(topic: str) -> str:
    """Return a topic's name in addresses.

    Parameters
    ----------
    topic : str
        The topic.

    Examples
    --------
    >>> topic_slug("test-time compute")
    'test-time-compute'
    """
    return topic.replace(" ", "-")


@dataclass
class Site:
    """What one server process holds.

    Parameters
    ----------
    config : SiteConfig
        How the site is set up.
    pool : ModelPool
        Language models, shared by the page and the API.

    Attributes
    ----------
    database : Database
        Opened from the configuration.
    secret : str
        Signs cookies and mail links.
    signer : SessionSigner
        Session cookies.
    metrics : Metrics
        Counts.
    log : RequestLog
        The log.
    search : Search
        The two indexes.
    rows : dict
        Rendered rows of papers by row number, as readers see them who are not signed in; see `kept_rows`.
    stopping : asyncio.Event
        Set when the server is to end, so that live connections close.
    runner : Runner
        Works on runs and questions.
    """

    config: SiteConfig
    pool: ModelPool
    database: Database = field(init=False)
    secret: str = field(init=False, repr=False)
    signer: SessionSigner = field(init=False, repr=False)
    metrics: Metrics = field(init=False, default_factory=Metrics)
    log: RequestLog = field(init=False)
    search: Search = field(init=False)
    stopping: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    runner: Runner = field(init=False, repr=False)
    rows: dict[int, str] = field(init=False, default_factory=dict)
    _rows_content: int = field(init=False, default=-1)
    _topics: tuple[int, list[tuple[str, int]]] = field(init=False, default=(-1, []))

    def __post_init__(self) -> None:
        self.database = Database(self.config.database)
        self.secret = site_secret(self.config.folder)
        self.signer = SessionSigner(self.secret)
        self.log = RequestLog(self.config.log_texts)
        self.search = Search(self.database, self.config.folder)

    def kept_rows(self) -> dict[int, str]:
        """Return the rendered rows that still hold, for reading and for adding to."""
        content = self.database.content()
        if self._rows_content != content or len(self.rows) > MOST_ROWS:
            self.rows, self._rows_content = {}, content
        return self.rows

    def topics(self) -> list[tuple[str, int]]:
        """Return all topics with their number of papers, largest first; counted once for each visible change."""
        content = self.database.content()
        if self._topics[0] != content:
            with self.database.read() as session:
                self._topics = (content, list_topics(session))
        return self._topics[1]

    def topic_of(self, slug: str) -> str | None:
        """Return the topic that an address names, None where there is none.

        Parameters
        ----------
        slug : str
            From `topic_slug`.
        """
        return next((topic for topic, _ in self.topics() if topic_slug(topic) == slug), None)


def site_of(request: Request) -> Site:
    """Return the site that a request belongs to; routes depend on it.

    Parameters
    ----------
    request : Request
        Any request.
    """
    site: Site = request.app.state.site
    return site
