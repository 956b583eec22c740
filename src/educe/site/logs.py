"""The log: one JSON object a line, without the texts of visitors unless the operator asks for them."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from starlette.types import Scope

__all__ = ["RequestLog"]

_logger = logging.getLogger("educe.site")


class RequestLog:
    """Writes requests and events to the logger ``educe.site``.

    Parameters
    ----------
    texts : bool
        Write addresses with their query, client addresses and messages of errors.
    """

    def __init__(self, texts: bool = False) -> None:
        self.texts = texts

    def request(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """Write one request down.

        Parameters
        ----------
        scope : dict
            The ASGI scope.
        route : str
            Pattern of the route.
        status : int
            HTTP status.
        seconds : float
            How long it took.
        """
        level = logging.INFO if status < 500 else logging.ERROR
        if not _logger.isEnabledFor(level):
            return
        more: dict[str, Any] = {}
        if self.texts:
            client = scope.get("client")
            query = scope["query_string"].decode("latin-1")
            more = {"path": scope["path"], "query": query, "client": client[0] if client else None}
        self._write(
            level, "request", method=scope["method"], route=route, status=status, ms=round(1e3 * seconds, 2), **more
        )

    def event(self, name: str, *, error: BaseException | None = None, **facts: Any) -> None:
        """Write something that happened.

        Parameters
        ----------
        name : str
            What.
        error : exception, optional
            What went wrong; its message is written only with `texts`.
        **facts
            Numbers and names, no visitor's text.
        """
        if error is not None:
            facts["error"] = type(error).__name__
            if self.texts:
                facts["message"] = str(error)
        self._write(logging.INFO if error is None else logging.ERROR, name, **facts)

    def _write(self, level: int, name: str, **facts: Any) -> None:
        if _logger.isEnabledFor(level):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            _logger.log(level, json.dumps({"time": stamp, "event": name, **facts}, ensure_ascii=False))
