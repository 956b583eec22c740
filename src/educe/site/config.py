"""What a site is set up with: where its data lies, who may read it, and the limits it keeps to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from educe.core import UsageError
from educe.core.settings import data_dir, database_url, default_model, server_key, site_url
from educe.site.imports import ATOM_URL
from educe.site.mail import MailConfig

__all__ = ["Limits", "SiteConfig", "is_loopback"]

SITE_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")  # The page stands at the root of its host.
LEAST_KEY = 16  # Characters; a shorter key can be guessed over a network.


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone.

    Parameters
    ----------
    host : str
        What the server is to listen on, or a name from a request.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Limits:
    """Caps that every request meets with a clear answer of its own.

    Parameters
    ----------
    body : int
        Most bytes of a request's body.
    queue : int
        Most runs, and most questions, that may wait.
    runs, answers : int
        Most runs and most questions that are worked on at the same time.
    run_seconds : float
        A run that takes longer is ended.
    samples, tokens : int
        Most samples and most tokens that a question may ask for.
    answer_seconds : float
        A question ends softly after this time.
    grace_seconds : float
        At shutdown, running work gets this long before it is stored as interrupted.

    Raises
    ------
    UsageError
        A limit is not above zero.

    Examples
    --------
    >>> Limits(queue=4).queue
    4
    """

    body: int = 1 << 20
    queue: int = 16
    runs: int = 1
    answers: int = 2
    run_seconds: float = 1800.0
    samples: int = 64
    tokens: int = 20_000
    answer_seconds: float = 300.0
    grace_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise UsageError(f"Limit {name}={value} allows nothing. Give a number above zero.")


@dataclass(frozen=True)
class SiteConfig:
    """How one site is set up.

    Parameters
    ----------
    database : str
        SQLAlchemy address of the database; a SQLite file in the data folder when left out, or ``EDUCE_DATABASE_URL``.
    folder : Path
        Folder for what does not belong in the database: the secret that signs sessions, locks, the meaning index.
    host : str
        What the server listens on. Anything but this machine demands a key.
    key : str or None
        Demanded on every route, as ``Authorization: Bearer KEY`` or by a session that was opened with it.
    models : tuple of str
        Names of the models that the page may use; the first is the default. ``fake:`` models may always be used.
    limits : Limits
        Caps.
    log_texts : bool
        Write addresses with their query and the texts of errors into the log.
    url : str or None
        Address of the page as its readers write it, for links in mails; ``EDUCE_SITE_URL`` when left out. Without one,
        mails can be sent only by a site that this machine alone reads.
    mail : MailConfig
        Mail server, sender, and how many mails may be asked for.
    arxiv_url : str
        Address of arXiv's query API, which submissions are looked up at.

    Raises
    ------
    UsageError
        The site would listen to other machines without a key, the key is short, or `url` is no address.

    Examples
    --------
    >>> SiteConfig().host
    '127.0.0.1'
    """

    database: str = field(default_factory=lambda: database_url() or f"sqlite:///{data_dir() / 'site.sqlite'}")
    folder: Path = field(default_factory=lambda: data_dir() / "site")
    host: str = "127.0.0.1"
    key: str | None = field(default_factory=server_key, repr=False)
    models: tuple[str, ...] = field(default_factory=lambda: (default_model(),))
    limits: Limits = field(default_factory=Limits)
    log_texts: bool = False
    url: str | None = field(default_factory=site_url)
    mail: MailConfig = field(default_factory=MailConfig)
    arxiv_url: str = ATOM_URL

    def __post_init__(self) -> None:
        if self.key is None and not is_loopback(self.host):
            raise UsageError(
                f"Listening on {self.host!r} lets other machines in, and there is no key. "
                "Set EDUCE_SERVER_KEY to a long random text, or listen on 127.0.0.1."
            )
        if self.key is not None and len(self.key) < LEAST_KEY:
            raise UsageError(
                f"The server key has {len(self.key)} characters. Give at least {LEAST_KEY}, for instance from "
                "`python -c 'import secrets; print(secrets.token_urlsafe())'`."
            )
        if self.url is not None and not SITE_ADDRESS.fullmatch(self.url):
            raise UsageError(
                f"The page's address {self.url!r} is none. Write EDUCE_SITE_URL like https://papers.example.org."
            )
