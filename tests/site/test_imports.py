"""Imports against a server on loopback that speaks as arXiv, its OAI archive and a daily-papers page do, errors too."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from educe.cli.main import cli
from educe.core import BackendError, DataError, UsageError
from educe.site import fetching, imports
from educe.site.arxiv import parse_arxiv_id, read_atom, read_daily, read_oai
from educe.site.database import Database
from educe.site.fetching import PoliteClient
from educe.site.schema import Paper, PaperTopic

ENTRY = """<entry><id>http://arxiv.org/abs/{id}</id><updated>2026-11-24T10:00:00Z</updated>
<published>{day}T17:59:59Z</published><title>{title}</title><summary>  Words
 about it. </summary><author><name>Ada Byron</name></author><author><name>C. Babbage</name></author>
<arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="cs.CL"/><category term="cs.CL"/>
<category term="stat.ML"/></entry>"""
FEED = """<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"
 xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"><title>query</title>
<opensearch:totalResults>{n}</opensearch:totalResults>{entries}</feed>"""
ERROR = """<entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_x</id><title>Error</title>
<summary>incorrect id format for x</summary><author><name>arXiv api core</name></author></entry>"""
RECORD = """<record><header><identifier>oai:arXiv.org:{id}</identifier><datestamp>2026-11-24</datestamp></header>
<metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>{id}</id><created>2026-11-20</created>
<authors><author><keyname>Byron</keyname><forenames>Ada</forenames></author></authors><title>{title}</title>
<categories>math.GT cs.CL</categories><abstract>Words.</abstract></arXiv></metadata></record>"""
DELETED = '<record><header status="deleted"><identifier>oai:arXiv.org:1</identifier></header></record>'
LIST = """<?xml version="1.0" encoding="UTF-8"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">
<responseDate>2026-11-25T00:00:00Z</responseDate>{body}</OAI-PMH>"""


def feed(*papers: tuple[str, str], day: str = "2026-11-20") -> bytes:
    entries = "".join(ENTRY.format(id=i, title=title, day=day) for i, title in papers)
    return FEED.format(n=len(papers), entries=entries).encode()


def oai(*papers: tuple[str, str], token: str = "", extra: str = "") -> bytes:
    records = "".join(RECORD.format(id=i, title=title) for i, title in papers) + extra
    return LIST.format(body=f"<ListRecords>{records}<resumptionToken>{token}</resumptionToken></ListRecords>").encode()


def daily(*papers: tuple[str, str]) -> bytes:
    authors = [{"name": "Ada Byron", "hidden": False}, {"name": "Secret", "hidden": True}]
    return json.dumps(
        [
            {"paper": {"id": i, "title": title, "authors": authors, "summary": "Words.", "upvotes": 7,
                       "publishedAt": "2026-11-24T00:00:00.000Z"}, "title": title}
            for i, title in papers
        ]
    ).encode()  # fmt: skip


Reply = Callable[[dict[str, str], int], tuple[int, dict[str, str], bytes]]


class Server:
    """Answers by a function of the query and the number of the request; keeps what it was asked and when."""

    def __init__(self, reply: Reply) -> None:
        self.queries: list[dict[str, str]] = []
        self.times: list[float] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
                outer.queries.append(query)
                outer.times.append(time.monotonic())
                status, headers, body = reply(query, len(outer.queries))
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/list"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], Server]]:
    running = []

    def start(reply: Reply) -> Server:
        running.append(Server(reply))
        return running[-1]

    yield start
    for server in running:
        server.server.shutdown()
        server.server.server_close()


@pytest.fixture
def database(cards_url: str) -> Iterator[Database]:
    found = Database(cards_url)
    yield found
    found.close()


def always(body: bytes, status: int = 200, **headers: str) -> Reply:
    return lambda query, number: (status, headers, body)


def client(**options: float) -> PoliteClient:
    return PoliteClient(**{"interval": 0.0, "seconds": 10.0, **options})  # type: ignore[arg-type]


# Identifiers.


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("2502.00511", "2502.00511"),
        (" arXiv:2502.00511v12 ", "2502.00511"),
        ("0704.0001", "0704.0001"),
        ("https://arxiv.org/pdf/2502.00511v1.pdf", "2502.00511"),
        ("http://export.arxiv.org/abs/math.GT/0309136v2", "math.GT/0309136"),
        ("hep-th/9901001", "hep-th/9901001"),
    ],
)
def test_identifiers(text: str, identity: str) -> None:
    assert parse_arxiv_id(text) == identity


@pytest.mark.parametrize(
    "text",
    ["", "2502", "2513.00511", "2502.005111", "../../etc/passwd", "2502.00511/../x", "2502.00511?x=1", "2502.00511\n1",
     "https://evil.example/abs/2502.00511", "https://arxiv.org.evil.example/abs/2502.00511", "a" * 10_000,
     "٢٥٠٢.٠٠٥١١", "2502.00511#", "file:///etc/passwd", "arxiv:arxiv:2502.00511"],
)  # fmt: skip
def test_what_is_no_identifier(text: str) -> None:
    with pytest.raises(UsageError, match="no arXiv identifier"):
        parse_arxiv_id(text)


@given(st.text())
def test_whatever_passes_is_harmless_in_an_address(text: str) -> None:
    try:
        found = parse_arxiv_id(text)
    except UsageError:
        return
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-")
    assert ".." not in found


# Formats.


def test_atom() -> None:
    (paper,) = read_atom(feed(("2611.00001v2", "A title\n  on two lines"))).papers
    assert paper.arxiv == paper.slug == "2611.00001"
    assert paper.title == "A title on two lines" and paper.authors == ("Ada Byron", "C. Babbage")
    assert paper.abstract == "Words about it." and paper.categories == ("cs.CL", "stat.ML")
    assert paper.published == 1795132800


def test_oai_and_daily() -> None:
    page = read_oai(oai(("math/0309136", "Old"), token="t|1", extra=DELETED))
    assert page.papers[0].slug == "math-0309136" and page.papers[0].authors == ("Ada Byron",)
    assert (page.skipped, page.more) == (1, "t|1")
    assert read_oai(LIST.format(body='<error code="noRecordsMatch">none</error>').encode()).papers == ()
    assert read_daily(daily(("2611.00001", "T"))).papers[0].authors == ("Ada Byron",)


BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><feed>&b;</feed>'
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><feed>&a;</feed>'


@pytest.mark.parametrize("body", [b"", b"<html><body>busy", b"<html/>", b"\xff\xfe\x00", b"<feed/>", BOMB, OUTSIDE,
                                  b'<?xml version="1.0" encoding="x-none"?><feed/>', b"not found"])  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    for read in (read_atom, read_oai, read_daily):
        with pytest.raises(DataError):
            read(body)


def test_errors_inside_answers() -> None:
    with pytest.raises(DataError, match="incorrect id format"):
        read_atom(FEED.format(n=1, entries=ERROR).encode())
    with pytest.raises(DataError, match="badArgument: no such set"):
        read_oai(LIST.format(body='<error code="badArgument">no such set</error>').encode())
    with pytest.raises(DataError, match="Invalid date"):
        read_daily(b'{"error": "Invalid date"}')
    with pytest.raises(DataError, match="no JSON"):
        read_daily(b"[" * 100_000)


def test_entries_that_cannot_be_read_are_counted() -> None:
    assert read_atom(feed(("no-id", "T"), ("2611.00001", " "), ("2611.00002", "T"))).skipped == 2
    assert read_atom(feed(("2611.00002", "T"), day="9999-99-99")).skipped == 1
    assert read_daily(b'[1, null, {"paper": {}}, {"paper": {"id": 5}}]').skipped == 4


def test_fields_are_bounded_and_clean() -> None:
    (paper,) = read_daily(daily(("2611.00001", "A\u202e\u0000 <script>alert(1)</script> " + "x" * 9999))).papers
    assert len(paper.title) == 500 and paper.title.startswith("A <script>alert(1)</script> xxx")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(body: bytes) -> None:
    for read in (read_atom, read_oai, read_daily):
        try:
            read(body)
        except DataError:
            continue


# Fetching.


async def test_requests_are_spaced_also_between_tasks(serve) -> None:
    server = serve(always(b"[]"))
    async with client(interval=0.2) as there:
        await asyncio.gather(*(there.get(server.url, {"n": str(i)}) for i in range(3)))
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert min(gaps) > 0.15


@pytest.mark.slow
async def test_retry_after_is_obeyed_and_bounded(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda query, n: (503, {"retry-after": "1"}, b"") if n == 1 else (200, {}, b"[]"))
    async with client() as there:
        assert await there.get(server.url, {}) == b"[]"
    assert server.times[1] - server.times[0] > 0.95
    patient = serve(always(b"", 429, **{"retry-after": "86400"}))
    async with client() as there:
        with pytest.raises(BackendError, match="wait for 86400 seconds"):
            await there.get(patient.url, {})
    assert len(patient.queries) == 1
    stubborn = serve(always(b"", 503))
    async with client() as there:
        with pytest.raises(BackendError, match="answered 503"):
            await there.get(stubborn.url, {})
    assert len(stubborn.queries) == fetching.ATTEMPTS
    assert fetching.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert fetching.retry_after("soon") is None


async def test_redirects_sizes_and_slowness_are_refused(serve) -> None:
    for reply, message in (
        (always(b"", 302, location="http://127.0.0.1:9/"), "answered 302"),
        (always(b"", 404), "answered 404"),
        (always(b"x" * 20_000), "more than 1000 bytes"),
    ):
        async with client(most_bytes=1000) as there:
            with pytest.raises(BackendError, match=message):
                await there.get(serve(reply).url, {})

    def slow(query: dict[str, str], number: int) -> tuple[int, dict[str, str], bytes]:
        time.sleep(1.5)
        return 200, {}, b"[]"

    async with client(seconds=0.3) as there:
        with pytest.raises(BackendError, match=r"more than 0\.3 seconds"):
            await there.get(serve(slow).url, {})
    async with client() as there:
        with pytest.raises(BackendError, match="cannot be reached"):
            await there.get("http://127.0.0.1:9/", {})


# Into the database.


async def test_recent_papers_come_page_by_page(serve, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "AT_ONCE", 2)
    pages = {"0": feed(("2611.00001v1", "One"), ("2611.00002v1", "Two")), "2": feed(("2611.00003v1", "Three"))}
    server = serve(lambda query, n: (200, {}, pages[query["start"]]))
    async with client() as there:
        found = [part async for part in imports.import_recent(database, "cs.CL", 10, there, server.url)]
    assert [part.added for part in found] == [2, 1]
    assert server.queries[0]["search_query"] == "cat:cs.CL" and server.queries[0]["sortBy"] == "submittedDate"
    with database.read() as session:
        assert session.scalar(select(func.count()).where(PaperTopic.topic == "stat.ML")) == 3


async def test_a_killed_harvest_goes_on_and_changes_nothing_twice(serve, database: Database) -> None:
    pages = {None: oai(("2611.00001", "One"), token="next"), "next": oai(("2611.00002", "Two"), extra=DELETED)}
    server = serve(lambda query, n: (200, {}, pages[query.get("resumptionToken")]))
    async with client() as there:
        parts = imports.import_since(database, "2026-11-24", "cs", there, server.url)
        assert (await anext(parts)).added == 1
        await parts.aclose()
        again = [part async for part in imports.import_since(database, "2026-11-24", "cs", there, server.url)]
    assert [(part.added, part.revised, part.skipped) for part in again] == [(0, 0, 0), (1, 0, 1)]
    assert server.queries[0] == {"verb": "ListRecords", "metadataPrefix": "arXiv", "from": "2026-11-24", "set": "cs"}
    assert server.queries[-1] == {"verb": "ListRecords", "resumptionToken": "next"}
    circle = serve(always(oai(("2611.00001", "One"), token="same")))
    async with client() as there:
        with pytest.raises(DataError, match="in a circle"):
            [part async for part in imports.import_since(database, "2026-11-24", "", there, circle.url)]


async def test_revisions_change_imports_and_never_cards(serve, database: Database) -> None:
    first = serve(always(daily(("2611.00001", "Old title"), ("2502.00511", "Not our title"))))
    second = serve(always(daily(("2611.00001", "New title"), ("2611.00001", "Twice"))))
    async with client() as there:
        assert (await imports.import_daily(database, "2026-11-24", there, first.url)).added == 1
        assert await imports.import_daily(database, "2026-11-24", there, second.url) == imports.Imported(revised=1)
    with database.read() as session:
        titles = dict(session.execute(select(Paper.arxiv, Paper.title)).all())
        assert session.scalar(select(Paper.source).where(Paper.arxiv == "2502.00511")) == "card"
    assert titles["2611.00001"] == "New title" and titles["2502.00511"].startswith("Bridging Internal Probability")


async def test_one_paper(serve) -> None:
    server = serve(
        lambda query, n: (200, {}, feed(("2611.00001v3", "T")) if query["id_list"] == "2611.00001" else feed())
    )
    async with client() as there:
        assert (await imports.fetch_one("arXiv:2611.00001", there, server.url)).title == "T"
        with pytest.raises(UsageError, match=r"knows no paper 2611\.00009"):
            await imports.fetch_one("2611.00009", there, server.url)
        with pytest.raises(UsageError, match="no arXiv identifier"):
            await imports.fetch_one("2611.00009&start=5", there, server.url)
    refusing = serve(always(FEED.format(n=1, entries=ERROR).encode(), 400))
    async with client() as there:
        with pytest.raises(DataError, match="incorrect id format"):
            await imports.fetch_one("2611.00001", there, refusing.url)


async def test_malformed_requests_are_refused_before_anything_is_asked(database: Database) -> None:
    async with client() as there:
        for parts in (
            imports.import_recent(database, "cs.CL&x=1", 10, there, "http://127.0.0.1:9"),
            imports.import_recent(database, "cs.CL", 0, there, "http://127.0.0.1:9"),
            imports.import_since(database, "yesterday", "cs", there, "http://127.0.0.1:9"),
        ):
            with pytest.raises(UsageError):
                await anext(parts)
        with pytest.raises(UsageError, match="no day"):
            await imports.import_daily(database, "2026-13-45", there, "http://127.0.0.1:9")


def test_the_command(serve, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(always(daily(("2611.00001", "One"))))
    monkeypatch.setenv("EDUCE_DATABASE_URL", f"sqlite:///{tmp_path}/site.sqlite")
    done = CliRunner().invoke(cli, ["site", "import", "--daily", "2026-11-24", "--url", server.url])
    assert done.exit_code == 0 and done.output.endswith("1 added, 0 revised, 0 skipped\n")
    wrong = CliRunner().invoke(cli, ["site", "import"])
    assert isinstance(wrong.exception, UsageError)
