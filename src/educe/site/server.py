"""Runs the site: one process, or several that share one socket; slow clients are shown the door.

Each process is a uvicorn server with `PatientProtocol`. The parent of several processes only watches them, starts a new
one where one died, and passes a stop on. Runs and questions are worked on by one of the processes, whichever holds the
site's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import signal
import socket
import sys
import time
from multiprocessing.connection import wait
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from educe.core import BackendError, UsageError
from educe.site.app import create_app
from educe.site.config import SiteConfig

__all__ = ["PatientProtocol", "listen", "serve"]

HEADER_SECONDS = 10.0
REST_SECONDS = 20.0
HEADER_BYTES = 64 << 10
KEEP_ALIVE_SECONDS = 30
MOST_CONNECTIONS = 1000
RESTART_SECONDS = 1.0


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that closes connections whose request line and headers are late or too long.

    uvicorn limits how long an idle connection is kept, and not how long a client may take to send its headers: a few
    hundred clients that send one byte a minute would hold every connection. The same goes for the rest of a body that
    was refused, which is dropped as it comes.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection and start its clock."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._whole = False
        self._clock: asyncio.TimerHandle | None = self.loop.call_later(HEADER_SECONDS, self._late)

    def data_received(self, data: bytes) -> None:
        """Take what came; count it while it belongs to headers."""
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        # A body may have come in the same piece, so only what is still unfinished is judged.
        if self._in_headers and self._header_bytes > HEADER_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Start the clock of a further request on this connection."""
        super().on_message_begin()
        self._in_headers, self._header_bytes, self._whole = True, 0, False
        if self._clock is None:
            self._clock = self.loop.call_later(HEADER_SECONDS, self._late)

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._in_headers = False
        self._stop_clock()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Give the rest of a body that nobody reads a time to come in."""
        super().on_response_complete()
        if not self._whole and self._clock is None and not self.transport.is_closing():
            self._clock = self.loop.call_later(REST_SECONDS, self._late)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._whole = True
        self._stop_clock()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection go."""
        self._stop_clock()
        super().connection_lost(exc)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        self._clock = None
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Tells live connections to close when a signal comes: uvicorn would wait for them first.

    A second Ctrl-C ends at once. uvicorn's own way ends a graceful stop by the signal itself, as if it had failed.
    """

    stopping: asyncio.Event

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal."""
        self.stopping.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    Parameters
    ----------
    host : str
        Address or name.
    port : int
        0 takes a free one.

    Raises
    ------
    BackendError
        The port is taken or the address is not this machine's.
    """
    opened = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise BackendError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another --port or --host."
        ) from None
    return opened


def _run(config: SiteConfig, opened: socket.socket, proxy: bool) -> None:
    """Serve in this process until it is told to stop."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("educe").setLevel(logging.INFO)
    app = create_app(config)
    server = _Server(
        uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(config.limits.grace_seconds) + 5,
            limit_concurrency=MOST_CONNECTIONS,
            server_header=False,
            proxy_headers=proxy,
        )
    )
    server.stopping = app.state.site.stopping
    server.run(sockets=[opened])


def serve(config: SiteConfig, port: int, *, workers: int = 1, proxy: bool = False) -> None:
    """Serve the site until it is told to stop.

    Parameters
    ----------
    config : SiteConfig
        How it is set up; its ``host`` is listened on.
    port : int
        0 takes a free one.
    workers : int
        Processes that answer, >= 1.
    proxy : bool
        A reverse proxy on this machine stands before the server, and says whom it speaks for.

    Raises
    ------
    UsageError
        There would be no worker.
    BackendError
        The port is taken.
    """
    if workers < 1:
        raise UsageError(f"workers={workers} would answer nothing. Give a number >= 1.")
    opened = listen(config.host, port)
    with contextlib.closing(opened):
        if workers == 1:
            _run(config, opened, proxy)
        else:
            _watch(config, opened, workers, proxy)


def _watch(config: SiteConfig, opened: socket.socket, workers: int, proxy: bool) -> None:
    """Keep several processes running until a signal comes."""
    # Started anew, not forked: a fork would take over threads' locks that nobody frees.
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(_number: int, _frame: Any) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)

    def start() -> Any:
        process = context.Process(target=_run, args=(config, opened, proxy))
        process.start()
        return process

    running = [start() for _ in range(workers)]
    while not stopping:
        wait([process.sentinel for process in running], timeout=0.5)
        alive = [process for process in running if process.is_alive()]
        if len(alive) < workers and not stopping:
            # One that dies at its start must not become a loop that eats the machine.
            time.sleep(RESTART_SECONDS)
            alive += [start() for _ in range(workers - len(alive))]
        running = alive
    for process in running:
        process.terminate()
    for process in running:
        process.join(config.limits.grace_seconds + 10)
        if process.is_alive():
            process.kill()
