"""Prometheus metrics of one server process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]


class Metrics:
    """Counts of one site, in a registry of its own.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.request("GET", "/", 200, 0.001)
    >>> "educe_requests_total" in metrics.text()
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "educe_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "educe_request_seconds",
            "Time from a request to the end of its answer.",
            ["route"],
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=self.registry,
        )
        self._work = Counter("educe_work", "Runs and questions that ended.", ["kind", "state"], registry=self.registry)
        self._waiting = Gauge("educe_work_open", "Runs and questions not ended.", ["kind"], registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request.

        Parameters
        ----------
        method, route : str
            As declared, never the address itself.
        status : int
            HTTP status.
        seconds : float
            How long it took.
        """
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def work(self, kind: str, state: str) -> None:
        """Count the end of a run or a question.

        Parameters
        ----------
        kind : str
            ``"run"`` or ``"answer"``.
        state : str
            How it ended.
        """
        self._work.labels(kind, state).inc()

    def waiting(self, kind: str, count: int) -> None:
        """Set how many runs or questions wait or are worked on.

        Parameters
        ----------
        kind : str
            ``"run"`` or ``"answer"``.
        count : int
            How many.
        """
        self._waiting.labels(kind).set(count)

    def text(self) -> str:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry).decode()
