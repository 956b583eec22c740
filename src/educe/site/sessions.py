"""Who is asking: signed cookies for people and for those who gave the server key, and a name for everyone else.

A cookie holds what it says in clear and a signature (`itsdangerous`); the secret that signs lies in the site's folder,
readable by its owner alone. Cookies are ``HttpOnly`` and ``SameSite=Lax``; over HTTPS they are ``Secure``.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import HTTPConnection
from starlette.responses import Response

from educe.core import StoreError
from educe.site.database import file_lock

__all__ = ["COOKIE", "SessionSigner", "site_secret"]

COOKIE = "educe_session"
LIFETIME = 30 * 86400


def site_secret(folder: Path) -> str:
    """Return the secret that signs cookies and mail links, making it on first use.

    Parameters
    ----------
    folder : Path
        The site's folder.

    Raises
    ------
    StoreError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     site_secret(Path(folder)) == site_secret(Path(folder))
    True
    """
    path = folder / "secret"
    try:
        with file_lock(folder / "secret.lock"):
            if not path.exists():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(descriptor, "w", encoding="ascii") as file:
                    file.write(secrets.token_urlsafe(32))
            return path.read_text(encoding="ascii")
    except OSError as error:
        raise StoreError(f"The site's folder {folder} cannot be written: {error.strerror}. Choose another.") from error


class SessionSigner:
    """Reads and writes the session cookie.

    Parameters
    ----------
    secret : str
        From `site_secret`.

    Examples
    --------
    >>> signer = SessionSigner("a secret")
    >>> signer.read(signer.sign({"person": 7})), signer.read("forged")
    ({'person': 7}, {})
    """

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="educe.session")

    def sign(self, session: dict[str, Any]) -> str:
        """Return the cookie's text for a session.

        Parameters
        ----------
        session : dict
            ``person`` (row number) where signed in, ``key`` (True) where the server key was given.
        """
        return str(self._serializer.dumps(session))

    def read(self, text: str | None) -> dict[str, Any]:
        """Return the session of a cookie, empty where it is missing, forged or older than 30 days.

        Parameters
        ----------
        text : str or None
            The cookie.
        """
        if not text:
            return {}
        try:
            session = self._serializer.loads(text, max_age=LIFETIME)
        except BadData:
            return {}
        return session if isinstance(session, dict) else {}

    def session(self, request: HTTPConnection) -> dict[str, Any]:
        """Return the session of a request.

        Parameters
        ----------
        request : HTTPConnection
            Any request.
        """
        return self.read(request.cookies.get(COOKIE))

    def person(self, request: HTTPConnection) -> int | None:
        """Return the row number of the person who is signed in, None for everyone else.

        Parameters
        ----------
        request : HTTPConnection
            Any request.
        """
        number = self.session(request).get("person")
        return number if isinstance(number, int) else None

    def visitor(self, request: HTTPConnection) -> str:
        """Return by what a visitor is known to the queues: the person, or else the address of the network.

        Parameters
        ----------
        request : HTTPConnection
            Any request.
        """
        person = self.person(request)
        if person is not None:
            return f"person:{person}"
        return f"address:{request.client.host if request.client else 'unknown'}"

    def write(self, request: HTTPConnection, response: Response, session: dict[str, Any]) -> None:
        """Set the session cookie, or remove it where the session is empty.

        Parameters
        ----------
        request : HTTPConnection
            Tells whether the connection is HTTPS.
        response : Response
            Gets the cookie.
        session : dict
            As for `sign`.
        """
        secure = request.url.scheme == "https"
        if session:
            response.set_cookie(
                COOKIE, self.sign(session), max_age=LIFETIME, httponly=True, samesite="lax", secure=secure
            )
        else:
            response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=secure)
