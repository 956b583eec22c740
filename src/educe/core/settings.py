"""The settings that educe reads from the environment, and what they mean when they are not set.

They are read when asked for, not at import. A variable that is empty or blank counts as not set; a
leading ``~`` is the home folder. There is no settings file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from educe.core.errors import UsageError

__all__ = [
    "SETTINGS",
    "Setting",
    "api_key",
    "cache_dir",
    "data_dir",
    "database_url",
    "default_model",
    "mail_sender",
    "server_key",
    "site_url",
    "smtp_url",
    "threads",
]

MOST_THREADS = 1024  # OpenMP runtimes abort the process, without a message one can catch, on absurd counts.


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable.

    Parameters
    ----------
    name : str
        The variable.
    default : str
        What holds when it is not set, in words where it depends on the machine.
    meaning : str
        What it sets, one sentence.

    Examples
    --------
    >>> [setting.name for setting in SETTINGS][:3]
    ['EDUCE_LM', 'EDUCE_DATA_DIR', 'EDUCE_CACHE_DIR']
    """

    name: str
    default: str
    meaning: str


SETTINGS = (
    Setting("EDUCE_LM", "smollm2-135m", "Language model that is used when none is named."),
    Setting("EDUCE_DATA_DIR", "the user's data folder, on Linux ~/.local/share/educe", "Folder of the results' store."),
    Setting(
        "EDUCE_CACHE_DIR",
        "the user's cache folder, on Linux ~/.cache/educe",
        "Folder of model files that were fetched; it may be deleted at any time.",
    ),
    Setting("EDUCE_API_KEY", "none", "Key that requests to an OpenAI-compatible server carry."),
    Setting(
        "EDUCE_THREADS",
        "as many as the process may use cores",
        "Threads of a local model, and workers of a local cluster.",
    ),
    Setting(
        "EDUCE_DATABASE_URL",
        "a SQLite file in the data folder",
        "Database of the page: sqlite:///path or postgresql://user:password@host/name.",
    ),
    Setting(
        "EDUCE_SERVER_KEY",
        "none",
        "Key that every request to our own server must carry; without it the server listens to this machine alone.",
    ),
    Setting(
        "EDUCE_SITE_URL",
        "the address that is listened on, on this machine alone",
        "Address of the page as its readers write it, for links in mails: https://papers.example.org.",
    ),
    Setting(
        "EDUCE_SMTP_URL",
        "none; mails are written as files into the folder outbox of the site",
        "Mail server: smtps://user:password@host, smtp+starttls://user:password@host, or smtp://host unencrypted.",
    ),
    Setting("EDUCE_MAIL_FROM", "none; demanded with a mail server", "Sender of mails: educe <papers@example.org>."),
)
_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def _read(name: str) -> str | None:
    value = os.environ.get(name, "").strip()
    return value or None


def _expanded(name: str, value: str) -> Path:
    try:
        # Absolute, because a later change of the working folder must not move the store.
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise UsageError(f"{name}={value!r} names a home folder that does not exist. Write the whole path.") from None


def data_dir() -> Path:
    """Return the folder of the store; it is not created here.

    Returns
    -------
    Path
        ``EDUCE_DATA_DIR``, else the platform's data folder for educe, which honours ``XDG_DATA_HOME``.

    Raises
    ------
    UsageError
        The setting names the home folder of an unknown user.

    Examples
    --------
    >>> data_dir().is_absolute()
    True
    """
    value = _read("EDUCE_DATA_DIR")
    return (
        platformdirs.user_data_path("educe", appauthor=False) if value is None else _expanded("EDUCE_DATA_DIR", value)
    )


def cache_dir() -> Path:
    """Return the folder of fetched files; it is not created here.

    Returns
    -------
    Path
        ``EDUCE_CACHE_DIR``, else the platform's cache folder for educe, which honours ``XDG_CACHE_HOME``.

    Raises
    ------
    UsageError
        The setting names the home folder of an unknown user.

    Examples
    --------
    >>> cache_dir().is_absolute()
    True
    """
    value = _read("EDUCE_CACHE_DIR")
    if value is None:
        return platformdirs.user_cache_path("educe", appauthor=False)
    return _expanded("EDUCE_CACHE_DIR", value)


def threads() -> int:
    """Return how many threads a local model may use.

    Returns
    -------
    int
        ``EDUCE_THREADS``, else the number of cores that this process may run on; >= 1.

    Raises
    ------
    UsageError
        The setting is not a whole number from 1 to 1024.

    Examples
    --------
    >>> threads() >= 1
    True
    """
    value = _read("EDUCE_THREADS")
    if value is None:
        # The machine's core count is wrong in a container or under taskset, and too many threads are slower than few.
        return len(os.sched_getaffinity(0))
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and 1 <= int(value) <= MOST_THREADS):
        raise UsageError(
            f"EDUCE_THREADS={value!r} is not a whole number from 1 to {MOST_THREADS}. Set for instance EDUCE_THREADS=2."
        )
    return int(value)


def default_model() -> str:
    """Return the name of the language model that is used when none is named.

    Returns
    -------
    str
        ``EDUCE_LM`` as `educe.load` takes it (a leading ``~`` of a file's path is expanded), else ``"smollm2-135m"``.

    Raises
    ------
    UsageError
        The setting names the home folder of an unknown user.

    Examples
    --------
    >>> isinstance(default_model(), str)
    True
    """
    value = _read("EDUCE_LM")
    if value is None:
        return _DEFAULTS["EDUCE_LM"]
    return str(_expanded("EDUCE_LM", value)) if value.startswith("~") else value


def api_key() -> str | None:
    """Return the key that requests to an OpenAI-compatible server carry.

    Returns
    -------
    str or None
        ``EDUCE_API_KEY``, None where it is not set.

    Examples
    --------
    >>> import os
    >>> "EDUCE_API_KEY" in os.environ or api_key() is None
    True
    """
    return _read("EDUCE_API_KEY")


def database_url() -> str | None:
    """Return the address of the page's database.

    Returns
    -------
    str or None
        ``EDUCE_DATABASE_URL``, None where it is not set.

    Examples
    --------
    >>> import os
    >>> "EDUCE_DATABASE_URL" in os.environ or database_url() is None
    True
    """
    return _read("EDUCE_DATABASE_URL")


def server_key() -> str | None:
    """Return the key that requests to our own server must carry.

    Returns
    -------
    str or None
        ``EDUCE_SERVER_KEY``, None where it is not set.

    Examples
    --------
    >>> import os
    >>> "EDUCE_SERVER_KEY" in os.environ or server_key() is None
    True
    """
    return _read("EDUCE_SERVER_KEY")


def site_url() -> str | None:
    """Return the address of the page as its readers write it.

    Returns
    -------
    str or None
        ``EDUCE_SITE_URL``, None where it is not set.

    Examples
    --------
    >>> import os
    >>> "EDUCE_SITE_URL" in os.environ or site_url() is None
    True
    """
    return _read("EDUCE_SITE_URL")


def smtp_url() -> str | None:
    """Return the address of the mail server, with user and password.

    Returns
    -------
    str or None
        ``EDUCE_SMTP_URL``, None where it is not set.

    Examples
    --------
    >>> import os
    >>> "EDUCE_SMTP_URL" in os.environ or smtp_url() is None
    True
    """
    return _read("EDUCE_SMTP_URL")


def mail_sender() -> str | None:
    """Return the sender of the page's mails.

    Returns
    -------
    str or None
        ``EDUCE_MAIL_FROM``, None where it is not set.

    Examples
    --------
    >>> import os
    >>> "EDUCE_MAIL_FROM" in os.environ or mail_sender() is None
    True
    """
    return _read("EDUCE_MAIL_FROM")
