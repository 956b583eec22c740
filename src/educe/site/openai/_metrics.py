"""What the API counts, for Prometheus, and the line that it logs for each request.

Labels take few values: routes, served models, known methods, status codes. Nothing that a client wrote becomes a label,
and no text of a request or an answer stands in a log line unless the operator asks for it.
"""

from __future__ import annotations

import functools
import json
import logging
import secrets
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from educe.site.openai._gate import Gate
from educe.site.openai._rows import Usage

__all__ = ["CLIENT_GONE", "Metrics", "Record", "log_defect"]

logger = logging.getLogger("educe.site.openai")

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
CLIENT_GONE = 499


@dataclass
class Record:
    """What is known of one request when it ends."""

    route: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    code: str | None = None
    param: str | None = None
    model: str = ""
    method: str = ""
    stream: bool = False
    usage: Usage = field(default_factory=Usage)
    texts: dict[str, Any] | None = None

    def line(self) -> dict[str, Any]:
        """The log line as an object."""
        shown = {
            "event": "api_request",
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "id": self.id,
            "route": self.route,
            "status": self.status,
            "seconds": round(time.monotonic() - self.began, 4),
            "code": self.code,
            "param": self.param,
            "model": self.model,
            "method": self.method,
            "stream": self.stream,
            "rows": self.usage.rows,
            "prompt_tokens": self.usage.prompt,
            "cached_tokens": self.usage.cached,
            "sampled_tokens": self.usage.sampled,
            "texts": self.texts,
        }
        return {name: value for name, value in shown.items() if value or name in ("status", "seconds")}


class Metrics:
    """Counters and gauges of the API.

    Parameters
    ----------
    registry : CollectorRegistry
        Where they are kept; it is scraped by whoever owns it.
    gate : Gate
        Tells how many requests run and wait.
    """

    def __init__(self, registry: CollectorRegistry, gate: Gate) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"educe_api_{name}", meaning, labels, registry=registry)

        self.requests = counter("requests", "Requests by route and HTTP status.", "route", "status")
        self.refusals = counter("refusals", "Requests that were refused, by the error's code.", "code")
        self.answers = counter("answers", "Requests that reached a model, by model and method.", "model", "method")
        self.prompt = counter("prompt_tokens", "Tokens of prompts.", "model")
        self.cached = counter("cached_tokens", "Those tokens of prompts that a cache held.", "model")
        self.sampled = counter("sampled_tokens", "Tokens drawn.", "model")
        self.seconds = Histogram(
            "educe_api_request_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        for name, meaning in (("running", "Requests that are worked on."), ("waiting", "Requests that wait.")):
            gauge = Gauge(f"educe_api_{name}_requests", meaning, registry=registry)
            gauge.set_function(functools.partial(getattr, gate, name))

    def end(self, record: Record) -> None:
        """Count a request and log its line."""
        self.requests.labels(record.route, str(record.status)).inc()
        self.seconds.labels(record.route).observe(time.monotonic() - record.began)
        if record.code is not None:
            self.refusals.labels(record.code).inc()
        if record.model:
            self.answers.labels(record.model, record.method).inc()
            self.prompt.labels(record.model).inc(record.usage.prompt)
            self.cached.labels(record.model).inc(record.usage.cached)
            self.sampled.labels(record.model).inc(record.usage.sampled)
        logger.info(json.dumps(record.line()))


def log_defect(error: Exception, record: Record) -> None:
    """Log where an unexpected error arose; its words may hold texts of the request and are left out."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    line = {"event": "defect", "id": record.id, "route": record.route, "error": type(error).__name__, "at": frames}
    logger.error(json.dumps(line))
