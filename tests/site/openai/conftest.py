"""A real uvicorn server on a loopback port, with models that answer as a test wants."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from educe.lm import FakeLM, LanguageModel, TabularLM
from educe.site.openai import Limits, ModelPool, create_openai_router


class Served:
    """A running server."""

    def __init__(self, url: str, app: FastAPI, server: uvicorn.Server, registry: CollectorRegistry) -> None:
        self.url, self.app, self.server, self.registry = url, app, server, registry

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"educe_api_{name}", labels) or 0.0


def vote(prompt: str, seed: int) -> str:
    """Three of four seeds say 24."""
    return "The answer is 24." if seed % 4 else "The answer is 25."


def default_models() -> dict[str, str | LanguageModel]:
    return {
        "fake": FakeLM(vote, name="fake"),
        "coin": TabularLM({"": {"heads": 0.25, "tails": 0.75}}, name="coin"),
        "texts": "fake:red apple|green pear|blue plum|grey stone",
    }


@contextmanager
def serving(
    models: dict[str, str | LanguageModel] | ModelPool | None = None,
    limits: Limits | None = None,
    grace: int = 20,
    **options: Any,
) -> Iterator[Served]:
    pool = models if isinstance(models, ModelPool) else ModelPool(models or default_models())
    registry = CollectorRegistry()
    app = FastAPI()
    app.include_router(create_openai_router(pool, limits, registry=registry, **options))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", loop="asyncio", ws="none", timeout_graceful_shutdown=grace)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    try:
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app, server, registry)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return serving
