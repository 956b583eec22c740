"""What every request passes first: who may ask, kept answers, protective headers, counts and the log.

A plain ASGI layer around the application, because most readers get an answer that lies ready here and never reach it.

Refused are: a foreign ``Host`` while listening to this machine alone (a page elsewhere could otherwise reach the server
through a name of its own), a missing key, a changing request that a browser says comes from another site, a body beyond
the cap of its route, and a body that does not come. A refusal keeps the connection where the rest of the body can be
told from the next request: clients that read only when they have sent all would otherwise find a broken pipe, not the
refusal.

Cross-site requests are told by what browsers send and scripts cannot forge: ``Sec-Fetch-Site``, ``Origin`` from older
ones. A request with neither is no browser's; it may pass, but any cookie on it is not trusted. Session cookies are also
``SameSite=Lax``. So no token has to stand in the pages, and a page is the same for all.

Kept answers: a route marks a response with the header ``x-keep``; it is then kept under its path and query until the
database's count of visible changes moves. Only requests without cookies get kept answers.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from educe.site.config import SiteConfig, is_loopback
from educe.site.database import Database
from educe.site.logs import RequestLog
from educe.site.metrics import Metrics
from educe.site.openai import Limits as ApiLimits
from educe.site.sessions import COOKIE, SessionSigner

__all__ = ["Front"]

KEEP = b"x-keep"
API = "/v1/"
CLOSE = (b"connection", b"close")  # Of a body without a declared length, or one that stays away, the end is not known.
KEPT_BYTES = 64 << 20
BODY_SECONDS = 20.0
# What somebody who has yet to give the key must reach; a link that ends a digest carries a key of its own.
OPEN_WITH_KEY = ("/key", "/static/", "/unsubscribe")
SHARED_PREFIXES = ("/papers", "/search", "/feed", "/topic", "/trending", "/about", "/static", "/openapi")
SAFE = ("GET", "HEAD", "OPTIONS")
PROTECTION = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


@dataclass
class _Kept:
    """One kept answer: its headers without length and encoding, the body plain and compressed."""

    content: int
    route: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    packed: bytes
    etag: bytes

    @property
    def size(self) -> int:
        return len(self.body) + len(self.packed) + 1000


@dataclass
class _Answers:
    """Kept answers, the least recently used going first."""

    most: int = KEPT_BYTES
    rows: OrderedDict[tuple[str, bytes, bool], _Kept] = field(default_factory=OrderedDict)
    size: int = 0

    def get(self, name: tuple[str, bytes, bool], content: int) -> _Kept | None:
        kept = self.rows.get(name)
        if kept is None or kept.content != content:
            return None
        self.rows.move_to_end(name)
        return kept

    def put(self, name: tuple[str, bytes, bool], kept: _Kept) -> None:
        old = self.rows.pop(name, None)
        self.size += kept.size - (old.size if old else 0)
        self.rows[name] = kept
        while self.size > self.most:
            _, gone = self.rows.popitem(last=False)
            self.size -= gone.size


class _Refused(Exception):  # noqa: N818  (an answer, not a fault)
    def __init__(self, status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


class Front:
    """The outermost layer of the site.

    Parameters
    ----------
    app : ASGI application
        What is protected.
    config : SiteConfig
        Key, host and limits.
    database : Database
        Tells when kept answers are out of date.
    signer : SessionSigner
        Reads session cookies.
    metrics : Metrics
        Counts requests.
    log : RequestLog
        Writes them down.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: SiteConfig,
        database: Database,
        signer: SessionSigner,
        metrics: Metrics,
        log: RequestLog,
    ) -> None:
        self.app, self.config, self.database, self.signer = app, config, database, signer
        self.metrics, self.log = metrics, log
        self._local = config.key is None and is_loopback(config.host)
        self._answers = _Answers()
        self._pending: dict[tuple[str, bytes, bool], asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        status = 500
        headers: dict[bytes, bytes] = dict(scope["headers"])

        async def count(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._admit(scope, headers)
            await self._answer(scope, headers, receive, count)
        except _Refused as refused:
            await _send_refusal(scope, refused, count)
        finally:
            seconds = time.perf_counter() - started
            route = _route(scope)
            self.metrics.request(scope["method"], route, status, seconds)
            self.log.request(scope, route, status, seconds)

    def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local and not is_loopback(_host_name(host)):
            raise _Refused(421, "wrong_host", f"This server listens to this machine alone, not as {host[:100]!r}.")
        session = None
        if self.config.key is not None and not scope["path"].startswith(OPEN_WITH_KEY):
            given = headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip()
            if not hmac.compare_digest(given, self.config.key.encode()):
                session = self.signer.read(_cookie(headers))
                if not session.get("key"):
                    raise _Refused(
                        401,
                        "invalid_api_key",
                        "This server demands its key. Send it as 'Authorization: Bearer KEY', or sign in at /key.",
                        (b"www-authenticate", b"Bearer"),
                    )
        if scope["method"] not in SAFE:
            _same_site(headers, host)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._most(scope):
            raise self._too_large(scope)

    def _most(self, scope: Scope) -> int:
        """Most bytes of a body."""
        return ApiLimits().bytes if scope["path"].startswith(API) else self.config.limits.body

    def _too_large(self, scope: Scope, *headers: tuple[bytes, bytes]) -> _Refused:
        message = f"The body is longer than this server's limit of {self._most(scope)} bytes. Send less."
        return _Refused(413, "body_too_long", message, *headers)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        path = scope["path"]
        shared = scope["method"] in ("GET", "HEAD") and (path == "/" or path.startswith(SHARED_PREFIXES))
        if not shared:
            await self._pass_on(scope, receive, send)
            return
        name = (path, scope["query_string"], headers.get(b"hx-request") == b"true")
        private = b"cookie" in headers
        content = self.database.content() if self.database.fresh else await asyncio.to_thread(self.database.content)
        if not private:
            kept = self._answers.get(name, content)
            if kept is None and name in self._pending:
                await self._pending[name].wait()
                kept = self._answers.get(name, content)
            if kept is not None:
                await _send_kept(scope, headers, kept, send)
                return
            self._pending[name] = asyncio.Event()
        try:
            await self._compute(scope, headers, receive, send, None if private else name, content)
        finally:
            if not private:
                event = self._pending.pop(name, None)
                if event is not None:
                    event.set()

    async def _compute(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        name: tuple[str, bytes, bool] | None,
        content: int,
    ) -> None:
        """Let the application answer; what it marks is held back, gets an ETag, and is kept where it is for all."""
        start: Message | None = None
        body = bytearray()

        async def gather(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                marked = any(header == KEEP for header, _ in message["headers"])
                if message["status"] != 200 or not marked:
                    await send(message)
                    return
                start = message
            elif start is None:
                await send(message)
            else:
                body.extend(message.get("body", b""))

        # HEAD is answered from GET, so that both have the same headers.
        await self._pass_on({**scope, "method": "GET"}, receive, gather, scope)
        if start is None:
            return
        kept = _kept(start, bytes(body), content, _route(scope))
        if name is not None:
            self._answers.put(name, kept)
        await _send_kept(scope, headers, kept, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, original: Scope | None = None) -> None:
        """Call the application with a capped body and protective headers."""
        left = self._most(scope)
        refused: _Refused | None = None
        started = False
        whole = False

        async def capped() -> Message:
            nonlocal left, refused, whole
            try:
                # After the body, what comes is the client's leaving, which may take any time.
                message = await (receive() if whole else asyncio.wait_for(receive(), BODY_SECONDS))
            except TimeoutError:
                refused = _Refused(408, "body_too_slow", "The body did not come in time. Send it again.", CLOSE)
                return {"type": "http.disconnect"}
            if message["type"] == "http.request":
                whole = not message.get("more_body", False)
                left -= len(message.get("body", b""))
                if left < 0:
                    refused = self._too_large(scope, CLOSE)
                    return {"type": "http.disconnect"}
            return message

        async def protected(message: Message) -> None:
            nonlocal started
            if refused is not None and not started:
                return
            if message["type"] == "http.response.start":
                started = True
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in PROTECTION if header[0] not in present),
                ]
            await send(message)

        try:
            await self.app(scope, capped, protected)
        except Exception:
            if refused is None or started:
                raise
        finally:
            if original is not None:
                for item in ("route", "path_params", "endpoint"):
                    if item in scope:
                        original[item] = scope[item]
        if refused is not None and not started:
            raise refused


def _kept(start: Message, body: bytes, content: int, route: str) -> _Kept:
    headers = [(name, value) for name, value in start["headers"] if name not in (KEEP, b"content-length", b"etag")]
    if not any(name == b"cache-control" for name, _ in headers):
        # Readers may keep it, and ask each time whether it still holds.
        headers.append((b"cache-control", b"no-cache"))
    headers.append((b"vary", b"accept-encoding, cookie, hx-request"))
    etag = b'"' + hashlib.sha256(body).hexdigest()[:24].encode() + b'"'
    packed = gzip.compress(body, 5, mtime=0) if len(body) > 500 else b""
    return _Kept(content, route, headers, body, packed, etag)


async def _send_kept(scope: Scope, headers: dict[bytes, bytes], kept: _Kept, send: Send) -> None:
    scope.setdefault("educe_route", kept.route)
    wanted = headers.get(b"if-none-match", b"")
    shown = [*kept.headers, (b"etag", kept.etag)]
    if wanted and (wanted == b"*" or kept.etag in [item.strip().removeprefix(b"W/") for item in wanted.split(b",")]):
        await send({"type": "http.response.start", "status": 304, "headers": shown})
        await send({"type": "http.response.body", "body": b""})
        return
    body = kept.body
    if kept.packed and b"gzip" in headers.get(b"accept-encoding", b""):
        body = kept.packed
        shown.append((b"content-encoding", b"gzip"))
    shown.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": shown})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _send_refusal(scope: Scope, refused: _Refused, send: Send) -> None:
    headers = [*refused.headers, *PROTECTION]
    accepts = dict(scope["headers"]).get(b"accept", b"")
    if refused.status == 401 and scope["method"] == "GET" and b"text/html" in accepts:
        headers.append((b"location", b"/key"))
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    kind = "invalid_request_error" if refused.status != 401 else "authentication_error"
    error = {"message": refused.message, "type": kind, "param": None, "code": refused.code}
    body = json.dumps({"error": error, "detail": refused.message}).encode()
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    """Name the route by its pattern: addresses themselves would make a metric of each paper."""
    if "educe_route" in scope:
        return str(scope["educe_route"])
    route: Any = scope.get("route")
    return str(getattr(route, "path", None) or "unmatched")


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _cookie(headers: dict[bytes, bytes]) -> str | None:
    try:
        jar = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def _same_site(headers: dict[bytes, bytes], host: str) -> None:
    """Refuse a changing request that comes from another site's page."""
    foreign = _Refused(403, "cross_site", "This request comes from another site. Open the page here and try again.")
    fetch_site = headers.get(b"sec-fetch-site")
    if fetch_site is not None:
        if fetch_site not in (b"same-origin", b"none"):
            raise foreign
        return
    origin = headers.get(b"origin")
    if origin is not None:
        if origin.decode("latin-1").partition("://")[2] != host:
            raise foreign
        return
    if b"cookie" in headers:
        raise foreign
