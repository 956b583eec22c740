"""Where an OpenAI-compatible server is, and which key may be sent there."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from educe.core import settings
from educe.core.errors import UsageError

__all__ = ["api_key", "checked_address", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Tell whether a host name is this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("example.org")
    (True, True, True, False)
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_address(address: str) -> str:
    """Return an API's address without a slash at its end.

    Raises
    ------
    UsageError
        It is not an address, or holds a secret.

    Examples
    --------
    >>> checked_address("http://127.0.0.1:8000/v1/")
    'http://127.0.0.1:8000/v1'
    """
    wanted = "Give one like http://127.0.0.1:8000/v1."
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"Address {address!r} cannot be read ({error}). {wanted}") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("The address holds a name or a password. Leave it out and set EDUCE_API_KEY.")
    if parts.query or parts.fragment:
        raise UsageError("The address holds a query. Leave it out; a key belongs in EDUCE_API_KEY.")
    if parts.scheme not in {"http", "https"} or not host or not address.isprintable() or " " in address:
        raise UsageError(f"Address {address!r} is not that of a server. {wanted}")
    return address.rstrip("/")


def api_key(given: str | None, address: str) -> str | None:
    """Return the key for an address: the given one, else that of the environment, else None.

    Raises
    ------
    UsageError
        It cannot stand in a header.
    """
    parts = urlsplit(address)
    key = given or settings.api_key()
    if not key and (parts.scheme == "https" or is_loopback(parts.hostname or "")):
        # A key that was set for another program never crosses a network in the clear.
        key = os.environ.get("OPENAI_API_KEY")
    if not key:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError("The API key holds a space or a character that no key has. Copy it again into EDUCE_API_KEY.")
    return key
