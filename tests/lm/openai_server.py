"""A loopback server that speaks the OpenAI API as a script tells it, for tests; it records what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Server:
    """What happened at the server; `respond` may be changed between requests."""

    url: str
    respond: Callable[[Asked, Reply], None]
    asked: list[Asked] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    cut_off: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [asked.body for asked in self.asked if asked.path == path]


class Reply:
    """Ways to answer one request."""

    def __init__(self, handler: BaseHTTPRequestHandler, server: Server) -> None:
        self.handler, self.server, self.counted = handler, server, True

    def done(self) -> None:
        """Count the request as over; before its last bytes, since the next request may come as soon as they are out."""
        with self.server.lock:
            self.server.in_flight -= self.counted
            self.counted = False

    def raw(self, content: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.handler.send_response(status)
        self.handler.send_header("content-type", kind)
        self.handler.send_header("content-length", str(len(content)))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.done()
        self.handler.wfile.write(content)

    def json(self, document: object, status: int = 200, **headers: str) -> None:
        self.raw(json.dumps(document).encode(), status, **headers)

    def refuse(self, message: str, status: int = 400, **headers: str) -> None:
        self.json({"error": {"message": message}}, status, **headers)

    def pieces(self, pieces: Iterable[bytes], *, whole: bool = True, pause: float = 0.0) -> None:
        """Send each piece by itself; ``whole=False`` then drops the connection instead of ending the answer."""
        self.handler.send_response(200)
        self.handler.send_header("content-type", "text/event-stream")
        self.handler.send_header("transfer-encoding", "chunked")
        self.handler.end_headers()
        for piece in pieces:
            self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(pause)
        self.done()
        if whole:
            self.handler.wfile.write(b"0\r\n\r\n")
        else:
            self.handler.close_connection = True

    def events(self, documents: Iterable[object], **options: Any) -> None:
        self.pieces((event(document) for document in documents), **options)


def event(document: object) -> bytes:
    return b"data: " + (document.encode() if isinstance(document, str) else json.dumps(document).encode()) + b"\n\n"


def text_chunk(text: str, logprob: float | None = None, finish: str | None = None) -> dict[str, Any]:
    logprobs = None if logprob is None else {"tokens": [text], "token_logprobs": [logprob], "text_offset": [0]}
    return {"choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}]}


def chat_chunk(text: str, logprob: float | None = None, finish: str | None = None) -> dict[str, Any]:
    entry = {"token": text, "bytes": list(text.encode()), "logprob": logprob}
    logprobs = None if logprob is None else {"content": [entry]}
    return {"choices": [{"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": finish}]}


def usage(prompt: int, drawn: int, cached: int = 0) -> dict[str, Any]:
    details = {"cached_tokens": cached}
    counts = {"prompt_tokens": prompt, "completion_tokens": drawn, "prompt_tokens_details": details}
    return {"choices": [], "usage": counts}


def say(*words: str, logprob: float | None = -0.5, pause: float = 0.0) -> Callable[[Asked, Reply], None]:
    """A server that always says the same words, in the form that the path asks for."""

    def respond(asked: Asked, reply: Reply) -> None:
        chunk = chat_chunk if "chat" in asked.path else text_chunk
        spoken = [chunk(word, logprob) for word in words]
        reply.events([*spoken, chunk("", None, "stop"), usage(7, len(words) + 1, 4), "[DONE]"], pause=pause)

    return respond


def in_turn(*responds: Callable[[Asked, Reply], None]) -> Callable[[Asked, Reply], None]:
    """Answer the first request by the first, the second by the second, all later ones by the last."""
    left: Iterator[Callable[[Asked, Reply], None]] = iter(responds[:-1])
    lock = threading.Lock()

    def respond(asked: Asked, reply: Reply) -> None:
        with lock:
            chosen = next(left, responds[-1])
        chosen(asked, reply)

    return respond


@contextmanager
def serving(respond: Callable[[Asked, Reply], None]) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1 while the block runs."""
    state = Server("", respond)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with state.lock:
                state.connections += 1

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            with state.lock:
                state.asked.append(asked)
                state.in_flight += 1
                state.most_in_flight = max(state.most_in_flight, state.in_flight)
            reply = Reply(self, state)
            try:
                state.respond(asked, reply)
            except (BrokenPipeError, ConnectionResetError):
                state.cut_off.set()
                self.close_connection = True
            finally:
                reply.done()

        do_GET = do_POST = answer

        def log_message(self, *args: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, address: object) -> None:
            pass  # a client that went away between requests is no error

    listener = Listener(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listener.server_address[1]}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
