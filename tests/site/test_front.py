"""The outermost layer: keys, hosts, other sites, bodies, headers, kept pages, the log."""

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading

import httpx
import openai
import pytest
import uvicorn

from educe.core import UsageError
from educe.site.app import create_app
from educe.site.config import SiteConfig
from educe.site.schema import Person
from educe.site.server import PatientProtocol
from educe.site.sessions import COOKIE

KEY = "a-long-enough-server-key"
BOTH = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
CHAT = [{"role": "user", "content": "How many legs do three spiders have?"}]


@pytest.fixture(params=["sqlite"])
def kind(request):
    """Most of what stands here does not depend on the database; tests that do name both."""
    return request.param


@pytest.fixture
async def keyed(cards_url, tmp_path):
    config = SiteConfig(database=cards_url, folder=tmp_path / "site", host="0.0.0.0", key=KEY, models=("fake:4",))
    app = create_app(config)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://papers.example") as client,
    ):
        yield client, app


def test_listening_elsewhere_demands_a_key(tmp_path):
    for host in ("0.0.0.0", "::", "192.168.1.4", "papers.example"):
        with pytest.raises(UsageError, match="EDUCE_SERVER_KEY"):
            SiteConfig(host=host, key=None, folder=tmp_path)
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert SiteConfig(host=host, key=None, folder=tmp_path).key is None
    with pytest.raises(UsageError, match="characters"):
        SiteConfig(host="0.0.0.0", key="short", folder=tmp_path)
    assert KEY not in repr(SiteConfig(host="0.0.0.0", key=KEY, folder=tmp_path))


async def test_every_route_demands_the_key(keyed):
    client, app = keyed
    pages = {"/", "/trending", "/topics", "/topic/reasoning", "/search", "/about", "/ask", "/papers/rpc", "/favicon.ico",
             "/papers/rpc/vote", "/runs/aaaaaaaaaaaaaaaa", "/answers/aaaaaaaaaaaaaaaa", "/openapi.json", "/no-such-route"}  # fmt: skip
    paths = set(app.openapi()["paths"]) | pages
    assert len(paths) > 30
    for path in sorted(paths):
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            answer = await client.request(method, path.replace("{slug}", "rpc").replace("{number}", "a" * 16))
            assert answer.status_code == 401, (method, path)
    wrong = await client.get("/", headers={"authorization": f"Bearer {KEY}x"})
    assert wrong.status_code == 401
    right = await client.get("/", headers={"authorization": f"Bearer {KEY}"})
    assert right.status_code == 200


async def test_a_reader_opens_a_session_with_the_key(keyed):
    client, _ = keyed
    first = await client.get("/papers/rpc", headers={"accept": "text/html"})
    assert (first.status_code, first.headers["location"]) == (303, "/key")
    assert "password" in (await client.get("/key")).text
    same = {"sec-fetch-site": "same-origin"}
    wrong = await client.post("/key", data={"key": "guess"}, headers=same)
    assert wrong.status_code == 403
    assert COOKIE not in client.cookies
    right = await client.post("/key", data={"key": KEY}, headers=same)
    assert right.status_code == 303
    assert (await client.get("/papers/rpc")).status_code == 200
    client.cookies.set(COOKIE, client.cookies[COOKIE][:-2] + "xx")
    forged = httpx.AsyncClient(transport=client._transport, base_url="http://papers.example")
    forged.cookies.set(COOKIE, "eyJrZXkiOnRydWV9.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    assert (await forged.get("/papers/rpc")).status_code == 401
    await forged.aclose()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
async def test_a_foreign_host_is_refused_on_this_machine(client, host):
    answer = await client.get("/", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
async def test_names_of_this_machine_are_served(client, host):
    assert (await client.get("/", headers={"host": host})).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:81"},
        {"cookie": f"{COOKIE}=x"},
        {"sec-fetch-site": "cross-site", "origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize("path", ["/papers/rpc/vote", "/papers/string-diagram-surgery/runs", "/ask", "/v1/completions"])
async def test_changing_requests_from_other_sites_are_refused(client, headers, path):
    answer = await client.post(path, headers=headers, data={"question": "2 + 2?"})
    assert answer.status_code == 403


@BOTH
async def test_a_vote_needs_a_person_and_counts_once(client, site):
    answer = await client.post("/papers/rpc/vote")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/papers/rpc")
    with site.database.write() as session:
        session.add_all([Person(id=1, email="a@example.org", confirmed=1), Person(id=2, email="b@example.org")])
    same = {"sec-fetch-site": "same-origin"}
    client.cookies.set(COOKIE, site.signer.sign({"person": 2}))
    assert "/sign-in" in (await client.post("/papers/rpc/vote", headers=same)).headers["location"]
    client.cookies.set(COOKIE, site.signer.sign({"person": 1}))
    for _ in range(3):
        assert (await client.post("/papers/rpc/vote", headers=same)).status_code == 303
    assert (await client.get("/papers/rpc.json")).json()["votes"] == 1
    text = (await client.get("/trending")).text
    assert 'aria-pressed="true"' in text
    client.cookies.clear()
    # What a signed-in reader saw is not kept for others.
    assert 'aria-pressed="true"' not in (await client.get("/trending")).text
    client.cookies.set(COOKIE, site.signer.sign({"person": 1}))
    await client.post("/papers/rpc/vote", data={"withdraw": "true"}, headers=same)
    assert (await client.get("/papers/rpc.json")).json()["votes"] == 0


async def test_a_large_body_is_refused_declared_or_not(client):
    declared = await client.post("/ask", headers={"content-length": str(100 << 20)}, content=b"x")
    assert declared.status_code == 413
    sent = 0

    async def stream():
        nonlocal sent
        for _ in range(1600):
            sent += 64 << 10
            yield b"x" * (64 << 10)

    chunked = await client.post("/ask", content=stream(), headers={"content-type": "application/x-www-form-urlencoded"})
    assert chunked.status_code == 413
    assert sent < 3 << 20
    for length in ("-1", "1e9", "abc"):
        assert (await client.post("/ask", headers={"content-length": length})).status_code == 413


@contextlib.contextmanager
def running(app):
    """Serve an application on a loopback port as the command does, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=PatientProtocol, log_config=None, ws="none", limit_concurrency=100)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture
def keyed_server(cards_url, tmp_path):
    config = SiteConfig(database=cards_url, folder=tmp_path / "site", key=KEY, models=("tiny=fake:The answer is 24.",))
    with running(create_app(config)) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_client_reads_why_a_large_body_was_refused(keyed_server, stream):
    """Whole and streamed, by both clients: each refusal arrives as its error object, and the connection goes on."""
    # Above the API's cap; above a page's cap and within the API's; far above both.
    sizes = {5 << 20: 413, 2 << 20: 400, 100 << 20: 413}
    options = {"base_url": f"{keyed_server}/v1", "max_retries": 0, "timeout": 60}
    request = {"model": "tiny", "stream": stream}
    with openai.OpenAI(api_key=KEY, **options) as client:
        for size, status in sizes.items():
            for _ in range(3):
                with pytest.raises(openai.APIStatusError) as failure:
                    client.chat.completions.create(messages=[{"role": "user", "content": "x" * size}], **request)
                assert failure.value.status_code == status
                assert failure.value.code == ("body_too_long" if status == 413 else "above_limit")
                assert failure.value.type == "invalid_request_error"
        assert client.chat.completions.create(model="tiny", messages=CHAT).choices[0].message.content
    async with openai.AsyncOpenAI(api_key=KEY, **options) as client:
        for size, status in sizes.items():
            for _ in range(3):
                with pytest.raises(openai.APIStatusError) as failure:
                    await client.chat.completions.create(messages=[{"role": "user", "content": "x" * size}], **request)
                assert failure.value.status_code == status
        answer = await client.chat.completions.create(model="tiny", messages=CHAT)
        assert answer.choices[0].message.content
    async with openai.AsyncOpenAI(api_key="wrong", **options) as client:
        with pytest.raises(openai.AuthenticationError) as failure:
            await client.chat.completions.create(messages=[{"role": "user", "content": "x" * (2 << 20)}], **request)
    assert failure.value.code == "invalid_api_key"


@pytest.mark.slow
async def test_the_rest_of_a_refused_body_may_not_take_for_ever(keyed_server, monkeypatch):
    monkeypatch.setattr("educe.site.server.REST_SECONDS", 1.0)
    host, port = keyed_server.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nx")
    assert b" 401 " in await reader.readline()
    await asyncio.wait_for(reader.read(), 20)  # Until the server closes.
    writer.close()
    # What came in time leaves the connection to the next request.
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(3):
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n" + b"x" * 9)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 401 " in head
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/papers.json", "/nope", "/static/site.css", "/healthz", "/ask", "/v1/models"])
async def test_protective_headers_stand_on_every_answer(client, path):
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


async def test_a_figure_may_style_itself_and_run_nothing(client):
    policy = (await client.get("/papers/causal-de-finetti/figure.svg")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert "sandbox" in policy


async def test_a_page_is_computed_once_for_all(client, site, monkeypatch):
    from educe.site import pages

    calls = []
    real = pages.list_papers
    monkeypatch.setattr(pages, "list_papers", lambda *given: calls.append(1) or real(*given))
    for _ in range(3):
        await client.get("/")
    assert len(calls) == 1
    with site.database.write(visible=True):
        pass
    await client.get("/")
    assert len(calls) == 2


async def test_no_cookie_is_set_without_signing_in(client):
    for path in ("/", "/papers/rpc", "/ask", "/about"):
        assert "set-cookie" not in (await client.get(path)).headers


async def test_the_log_holds_no_texts_unless_asked(client, site, caplog):
    with caplog.at_level(logging.INFO, "educe.site"):
        await client.get("/search?q=my+secret+query")
        lines = [json.loads(record.message) for record in caplog.records if record.name == "educe.site"]
        assert lines[-1]["route"] == "/search"
        assert lines[-1]["status"] == 200
        assert "secret" not in caplog.text
        site.log.texts = True
        await client.get("/search?q=my+secret+query")
    assert "secret" in caplog.text


async def test_a_defect_answers_500_without_its_text(app, caplog):
    @app.get("/breaks")
    def breaks():
        raise ValueError("private detail")

    # The router keeps its order: the route is looked up before the catch-all of /v1.
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with caplog.at_level(logging.INFO, "educe.site"):
            answer = await client.get("/breaks")
    assert answer.status_code == 500
    assert "private" not in answer.text
    assert "private" not in "".join(record.message for record in caplog.records if record.name == "educe.site")


@BOTH
async def test_paper_pages_need_a_bounded_number_of_queries(client, site):
    from sqlalchemy import event

    await site.runner.stop()  # It asks the database on its own account.
    await client.get("/papers/rpc")
    await client.get("/search?q=warm")
    counts = {}
    statements = []
    event.listen(site.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for path in ("/", "/?by=month", "/topic/reasoning", "/papers/rpc", "/search?q=causal", "/papers.json?limit=60"):
        with site.database.write(visible=True):
            pass
        statements.clear()
        await client.get(path)
        counts[path] = len([line for line in statements if "BEGIN" not in line])
    assert max(counts.values()) <= 9, counts
