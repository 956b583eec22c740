"""Addresses of people and of machines: what is accepted as an e-mail address, and whom an allowance belongs to.

Accepted is what mail servers deliver to in practice: the unquoted form of RFC 5321, letters of other scripts only in
the domain (written in its ASCII form from then on). A quoted local part, a comment or a control character is refused,
so that no address can carry a header of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re

from educe.core import UsageError

__all__ = ["address_name", "domain_of", "network_name", "parse_address", "safe_path"]

LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MOST, MOST_LOCAL = 254, 64


def parse_address(text: str) -> str:
    """Read an e-mail address and bring it to one form, lower case.

    Parameters
    ----------
    text : str
        As a visitor typed it.

    Returns
    -------
    str
        ASCII, of at most 254 characters.

    Raises
    ------
    UsageError
        It is none.

    Examples
    --------
    >>> parse_address(" Ada.Byron@Example.ORG ")
    'ada.byron@example.org'
    >>> parse_address("ada@bücher.example")
    'ada@xn--bcher-kva.example'
    """
    wrong = UsageError(f"{text[:80]!r} is no e-mail address. Write one like name@example.org.")
    # Spaces around it are a slip of the hand; a line break or another control character is not.
    local, at, domain = text.strip(" ").lower().rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise wrong from None
    labels = domain.split(".")
    if (
        not at
        or len(local) > MOST_LOCAL
        or len(local) + 1 + len(domain) > MOST
        or not LOCAL.fullmatch(local)
        or len(labels) < 2
        or not all(LABEL.fullmatch(label) for label in labels)
        or labels[-1].isdigit()
    ):
        raise wrong
    return f"{local}@{domain}"


def domain_of(address: str) -> str:
    """Return the part after the ``@``.

    Parameters
    ----------
    address : str
        From `parse_address`.

    Examples
    --------
    >>> domain_of("ada@example.org")
    'example.org'
    """
    return address.rpartition("@")[2]


def network_name(host: str, secret: str) -> str:
    """Name the network that a visitor comes from, without telling which it is.

    Parameters
    ----------
    host : str
        Address of the network as the server sees it; of IPv6 the first 64 bits count, because one visitor has them all.
    secret : str
        The site's.

    Examples
    --------
    >>> network_name("2001:db8::1", "secret") == network_name("2001:db8::2", "secret")
    True
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        network = "unknown"
    else:
        network = str(ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False))
    return _keyed(secret, f"educe.network:{network}")


def address_name(address: str, secret: str) -> str:
    """Name a mail address without telling which it is, for counts that outlive its row.

    Parameters
    ----------
    address : str
        From `parse_address`.
    secret : str
        The site's.
    """
    return _keyed(secret, f"educe.address:{address}")


def _keyed(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]


def safe_path(text: str) -> str:
    """Return where to go on after signing in: a path of this site, ``/`` for everything else.

    Parameters
    ----------
    text : str
        From a query.

    Examples
    --------
    >>> safe_path("/papers/rpc"), safe_path("//elsewhere.example"), safe_path("https://elsewhere.example")
    ('/papers/rpc', '/', '/')
    """
    # Browsers read a backslash as a slash, and drop control characters.
    fine = len(text) <= 300 and re.fullmatch(r"/([\w.~%?=&+-][\w.~%?=&+/:,-]*)?", text, re.ASCII)
    return text if fine else "/"
