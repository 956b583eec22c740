"""The API as `educe serve` gives it: the whole command in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import openai
import pytest

CHAT = [{"role": "user", "content": "How many legs do three spiders have?"}]
KEY = "a-long-random-key-for-a-test"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


@pytest.fixture
def command(tmp_path):
    running = []

    def start(*options, **settings):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "educe.cli.main", "serve", "--port", str(port), *options],
            env={**os.environ, "EDUCE_DATA_DIR": str(tmp_path), "EDUCE_THREADS": "1", **settings},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{address}/v1/models")
                return process, address
            except httpx.TransportError:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < end
                time.sleep(0.1)

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_the_command_serves_the_api_and_finishes_what_runs(command):
    process, address = command("--lm", "spider=fake:The answer is 24.")
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["spider"]
        voted = client.chat.completions.create(model="spider@self-consistency:16", messages=CHAT)
        assert (voted.choices[0].message.content, voted.educe["confidence"]) == ("24", 1.0)
        assert client.embeddings.create(model="spider", input="a").data[0].embedding
        with pytest.raises(openai.BadRequestError) as failure:
            client.chat.completions.create(model="spider", messages=CHAT, n=10**6)
        assert failure.value.param == "n"
        stream = client.chat.completions.create(model="spider", messages=CHAT, stream=True)
        first = next(iter(stream))
        process.send_signal(signal.SIGTERM)
        rest = "".join(choice.delta.content or "" for event in stream for choice in event.choices)
    assert first.choices[0].delta.role == "assistant"
    assert rest == "The answer is 24."
    _, log = process.communicate(timeout=60)
    assert "legs" not in log
    assert '"event": "api_request"' in log


@pytest.mark.slow
def test_the_commands_key_guards_the_api(command):
    _, address = command("--lm", "spider=fake:The answer is 24.", EDUCE_SERVER_KEY=KEY)
    for path in ("/v1/models", "/v1/chat/completions", "/v1/nothing", "/metrics"):
        assert httpx.get(f"{address}{path}").status_code == 401
    with openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(model="spider", messages=CHAT).choices[0].message.content
    with openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="spider", messages=CHAT)
