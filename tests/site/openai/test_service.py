"""What the server does besides answering: limits, queue, disconnects, keys, logs, metrics, shutdown."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import random
import re
import socket
import threading
import time

import httpx
import openai
import pytest

from educe.core import UsageError
from educe.lm import FakeLM
from educe.site.openai import Limits, ModelPool, create_openai_router

MESSAGES = [{"role": "user", "content": "How many legs has a spider?"}]
CHAT = {"model": "fake", "messages": MESSAGES}
ANSWER = "The answer is 8."
PATIENCE = 20.0  # seconds to wait for what must happen; no bar


def slow(delay=0.05, **options):
    return FakeLM(lambda prompt, seed: ANSWER, delay=delay, chunk_tokens=1, **options)


def eventually(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def sent(url, head, *pieces):
    """Send raw bytes, and return everything that comes back until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head)
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


def head(length):
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
        + (f"content-length: {length}\r\n" if length is not None else "transfer-encoding: chunked\r\n")
        + "\r\n"
    ).encode()


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_of_100_megabytes_is_refused_by_its_head(served):
    answer = sent(served.url, head(100 << 20))  # not a byte of the body is sent
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "body_too_long"


async def test_the_official_clients_find_the_refusal_of_a_long_body(served):
    chat = {"model": "fake", "messages": [{"role": "user", "content": "x" * (8 << 20)}]}
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as failure:
            client.chat.completions.create(**chat)
    assert failure.value.status_code == 413
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as failure:
            await client.chat.completions.create(**chat)
        assert failure.value.status_code == 413
        assert (await client.models.list()).data


def test_a_body_without_a_length_is_refused_while_it_arrives(serve):
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with serve(limits=Limits(bytes=100_000)) as served:
        # Two pieces pass the limit; the end of the body is never sent.
        answer = sent(served.url, head(None), piece, piece)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_at_the_limit_is_taken(serve):
    data = json.dumps(CHAT).encode()
    headers = {"content-type": "application/json"}
    with serve(limits=Limits(bytes=len(data))) as served, httpx.Client(base_url=served.url) as http:
        assert http.post("/v1/chat/completions", content=data, headers=headers).status_code == 200
        assert http.post("/v1/chat/completions", content=data + b" ", headers=headers).status_code == 413


def test_a_client_that_sends_too_slowly_is_refused(serve):
    with serve(limits=Limits(read_seconds=0.2)) as served:
        answer = sent(served.url, head(50), b'{"model"')
    assert answer.startswith(b"HTTP/1.1 408")


# --- queue -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_queue_answers_429_and_when_to_return(serve):
    lm = slow(0.04)
    with serve({"fake": lm}, Limits(concurrency=1, queue=1)) as served, httpx.Client(base_url=served.url) as http:
        answers = []

        def ask():
            answers.append(httpx.post(f"{served.url}/v1/chat/completions", json=CHAT, timeout=PATIENCE))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        threads[0].start()
        eventually(lambda: served.metric("running_requests") == 1)
        threads[1].start()
        eventually(lambda: served.metric("waiting_requests") == 1)
        refused = http.post("/v1/chat/completions", json=CHAT)
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        for thread in threads:
            thread.join(PATIENCE)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert served.metric("running_requests") == served.metric("waiting_requests") == 0


@pytest.mark.slow
def test_the_official_client_returns_after_a_429(serve):
    with serve({"fake": slow(0.02)}, Limits(concurrency=1, queue=0)) as served:

        def ask():
            with openai.OpenAI(base_url=f"{served.url}/v1", api_key="k", max_retries=9) as client:
                said.append(client.chat.completions.create(**CHAT).choices[0].message.content)

        said = []
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert said == [ANSWER] * 3


# --- clients that leave ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"stream": True}, {"model": "fake@self-consistency:4"}])
def test_a_client_that_leaves_frees_the_rows(serve, extra):
    lm = slow(0.1)
    data = json.dumps(CHAT | extra).encode()
    with serve({"fake": lm}) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head(len(data)) + data)
            eventually(lambda: lm.open_rows > 0)
        # 17 chunks would take 1.7 seconds; that the rows are free is the matter, not when.
        eventually(lambda: lm.open_rows == 0)
        eventually(lambda: served.metric("requests_total", route="/v1/chat/completions", status="499") == 1)
        assert served.metric("running_requests") == 0
        assert len(lm.prompts) == 1


@pytest.mark.slow
def test_a_client_that_leaves_the_queue_is_never_worked_for(serve):
    lm = slow(0.05)
    data = json.dumps(CHAT).encode()
    with serve({"fake": lm}, Limits(concurrency=1, queue=4)) as served:
        first = threading.Thread(target=httpx.post, args=(f"{served.url}/v1/chat/completions",), kwargs={"json": CHAT})
        first.start()
        eventually(lambda: served.metric("running_requests") == 1)
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head(len(data)) + data)
            eventually(lambda: served.metric("waiting_requests") == 1)
        eventually(lambda: served.metric("waiting_requests") == 0)
        first.join(PATIENCE)
        assert len(lm.prompts) == 1


@pytest.mark.slow
def test_a_client_that_no_longer_reads_is_let_go(serve):
    lm = FakeLM(lambda prompt, seed: "x" * 4000, chunk_tokens=1)
    body = {"model": "fake", "messages": MESSAGES, "stream": True, "n": 16, "max_tokens": 4000}
    data = json.dumps(body).encode()
    with serve({"fake": lm}, Limits(write_seconds=0.3)) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            connection.sendall(head(len(data)) + data)
            # 16 x 4000 events of some hundred bytes fill every buffer on the way.
            eventually(lambda: served.metric("requests_total", route="/v1/chat/completions", status="499") == 1)
            assert lm.open_rows == 0


@pytest.mark.slow
async def test_after_many_clients_have_come_and_gone_nothing_is_held(serve):
    lm, luck = slow(0.01), random.Random(1)
    with serve({"fake": lm}, Limits(concurrency=3, queue=1000)) as served:
        async with httpx.AsyncClient(base_url=served.url, limits=httpx.Limits(max_connections=40)) as http:

            async def ask(patience):
                body = CHAT | {"stream": luck.random() < 0.5, "n": luck.randint(1, 3)}
                if luck.random() < 0.3:
                    body |= {"model": "fake@self-consistency:2", "n": 1}
                try:
                    async with asyncio.timeout(patience):
                        return (await http.post("/v1/chat/completions", json=body)).status_code
                except TimeoutError:
                    return None

            statuses = await asyncio.gather(*(ask(luck.choice([0.05, 0.2, 0.5, 60])) for _ in range(80)))
        eventually(lambda: served.metric("running_requests") == served.metric("waiting_requests") == 0)
        assert set(statuses) == {200, None}
        assert lm.open_rows == 0
        assert httpx.post(f"{served.url}/v1/chat/completions", json=CHAT).status_code == 200


# --- failures --------------------------------------------------------------------------------------------------------


class Breaking(FakeLM):
    """A model that fails after two chunks, with the prompt in the words of its error."""

    async def stream(self, prompt, seeds, sampling):
        async for count, chunk in _numbered(super().stream(prompt, seeds, sampling)):
            if count == 2:
                raise ZeroDivisionError(f"while reading {prompt}")
            yield chunk


async def _numbered(items):
    count = 0
    async for item in items:
        yield count, item
        count += 1


def test_a_defect_is_a_500_without_words_of_the_request(serve, caplog):
    with serve({"fake": Breaking(lambda prompt, seed: ANSWER)}) as served, httpx.Client(base_url=served.url) as http:
        with caplog.at_level(logging.INFO, "educe.site.openai"):
            answer = http.post("/v1/chat/completions", json=CHAT)
            streamed = http.post("/v1/chat/completions", json=CHAT | {"stream": True})
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert answer.headers["x-request-id"] in answer.text
        # A stream has given its status already; the error is an event, which the official client raises.
        assert streamed.status_code == 200
        assert '"code":"internal_error"' in streamed.text
        assert streamed.text.endswith("data: [DONE]\n\n")
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="k", max_retries=0) as client:
            with pytest.raises(openai.APIError, match="The server failed"):
                list(client.chat.completions.create(**CHAT, stream=True))
        assert http.post("/v1/embeddings", json={"model": "fake", "input": "a"}).status_code == 200
    assert "ZeroDivisionError" in caplog.text
    assert "spider" not in caplog.text


def test_a_dead_upstream_is_a_502_also_for_a_stream(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    from educe.lm.openai import OpenAIModel

    lost = OpenAIModel(f"http://127.0.0.1:{port}/v1", "m", retries=0)
    with serve({"lost": lost}) as served, httpx.Client(base_url=served.url, timeout=60) as http:
        for extra in ({}, {"stream": True}, {"model": "lost@self-consistency:2", "stream": True}):
            answer = http.post("/v1/chat/completions", json=CHAT | {"model": "lost"} | extra)
            assert answer.status_code == 502
            assert answer.json()["error"]["type"] == "server_error"


# --- keys ------------------------------------------------------------------------------------------------------------

ROUTES = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/fake"),
    ("GET", "/v1/nothing"),
]
KEY = "a-long-random-key-ä"


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_with_a_key_every_route_demands_it(serve, method, path):
    with serve(key=KEY) as served, httpx.Client(base_url=served.url) as http:
        wrong = [
            None,
            KEY,
            f"Basic {KEY}",
            "Bearer",
            f"Bearer {KEY}x",
            f"Bearer {KEY[:-1]}",
            "Bearer \udcff",
        ]
        for given in wrong:
            headers = {} if given is None else {"authorization": given.encode("utf-8", "surrogateescape")}
            # The body is longer than the limit: a stranger learns nothing, and nothing of it is read.
            answer = http.request(method, path, headers=headers, content=b" " * (5 << 20) if method == "POST" else None)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
        right = http.request(method, path, headers={"authorization": f"bearer {KEY}".encode()})
        assert right.status_code in (200, 404, 415)


def test_the_official_client_sends_the_key(serve):
    with serve(key="sesame") as served:
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="sesame") as client:
            assert client.chat.completions.create(**CHAT).choices
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                client.models.list()


def test_an_empty_key_is_refused():
    with pytest.raises(UsageError, match="protects nothing"):
        create_openai_router(ModelPool({"fake": "fake:x"}), key=" ")


# --- logs and metrics ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("log_texts", [False, True])
def test_a_log_line_tells_the_cost_and_the_texts_only_when_asked(serve, caplog, log_texts):
    with serve(log_texts=log_texts) as served, httpx.Client(base_url=served.url) as http:
        with caplog.at_level(logging.INFO, "educe.site.openai"):
            answer = http.post("/v1/chat/completions", json=CHAT | {"model": "fake@self-consistency:4", "seed": 1})
            http.post("/v1/chat/completions", json=CHAT | {"temperature": -1})
            events = http.post("/v1/chat/completions", json=CHAT | {"stream": True}).text
            http.post("/v1/embeddings", json={"model": "fake", "input": "a spider"})
    streamed = "".join(re.findall(r'"content":"([^"]*)"', events))
    lines = [json.loads(record.message) for record in caplog.records if record.name == "educe.site.openai"]
    assert len(lines) == 4
    first = lines[0]
    assert first["id"] == answer.headers["x-request-id"]
    assert (first["status"], first["model"], first["method"], first["rows"]) == (200, "fake", "self-consistency", 4)
    assert first["sampled_tokens"] == answer.json()["usage"]["completion_tokens"]
    assert all(datetime.datetime.fromisoformat(line["time"]) for line in lines)
    assert (lines[1]["status"], lines[1]["param"]) == (400, "temperature")
    assert lines[2]["stream"]
    assert lines[2].get("texts", {}).get("answer") == ({"0": streamed} if log_texts else None)
    assert ("spider" in caplog.text) is log_texts
    told = {"prompt": [MESSAGES[0]["content"]], "answer": [answer.json()["choices"][0]["message"]["content"]]}
    assert first.get("texts") == (told if log_texts else None)


def test_metrics_count_requests_tokens_and_refusals(serve):
    with serve() as served, httpx.Client(base_url=served.url) as http:
        usage = http.post("/v1/chat/completions", json=CHAT | {"n": 2}).json()["usage"]
        http.post("/v1/chat/completions", json=CHAT | {"n": 10**6})
        http.post("/v1/chat/completions", json=CHAT | {"model": "no-such-model"})
        http.get("/v1/some/random/path")
        route = "/v1/chat/completions"
        assert served.metric("requests_total", route=route, status="200") == 1
        assert served.metric("requests_total", route=route, status="400") == 1
        assert served.metric("requests_total", route="unknown", status="404") == 1
        assert served.metric("refusals_total", code="above_limit") == 1
        assert served.metric("answers_total", model="fake", method="") == 1
        assert served.metric("prompt_tokens_total", model="fake") == usage["prompt_tokens"]
        assert served.metric("sampled_tokens_total", model="fake") == usage["completion_tokens"]
        assert served.metric("request_seconds_count", route=route) == 3
        labels = {
            value for family in served.registry.collect() for item in family.samples for value in item.labels.values()
        }
        assert not {"no-such-model", "/v1/some/random/path"} & labels


# --- shutdown --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"stream": True}])
def test_a_shutdown_finishes_what_runs(serve, extra):
    lm = slow(0.05)
    answers = []
    with serve({"fake": lm}) as served:
        url = f"{served.url}/v1/chat/completions"
        thread = threading.Thread(target=lambda: answers.append(httpx.post(url, json=CHAT | extra, timeout=PATIENCE)))
        thread.start()
        eventually(lambda: lm.open_rows > 0)
    thread.join(PATIENCE)
    (answer,) = answers
    assert answer.status_code == 200
    if extra:
        assert answer.text.endswith("data: [DONE]\n\n")
        assert '"finish_reason":"stop"' in answer.text
    else:
        assert answer.json()["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"stream": True}, {"stream": True, "model": "fake@self-consistency:4"}])
def test_a_shutdown_that_cannot_wait_says_so(serve, extra):
    lm = FakeLM(lambda prompt, seed: ANSWER * 100, delay=0.1, chunk_tokens=1)
    answers = []
    with serve({"fake": lm}, grace=1) as served:
        url = f"{served.url}/v1/chat/completions"
        body = CHAT | extra
        thread = threading.Thread(target=lambda: answers.append(httpx.post(url, json=body, timeout=PATIENCE)))
        thread.start()
        eventually(lambda: lm.open_rows > 0)
        time.sleep(0.3)
    thread.join(PATIENCE)
    (answer,) = answers
    assert lm.open_rows == 0
    if extra:
        assert answer.text.endswith("data: [DONE]\n\n")
        assert '"code":"server_stopping"' in answer.text
    else:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "server_stopping"
        assert answer.headers["retry-after"] == "1"
    assert served.metric("requests_total", route="/v1/chat/completions", status="503") == 1
