"""Submitting by arXiv identifier, against a server on loopback that answers as arXiv does."""

import asyncio
import html
import time
from itertools import pairwise
from urllib.parse import parse_qs

import pytest
from sqlalchemy import select

from educe.site import submissions
from educe.site.config import SiteConfig
from educe.site.mail import MailConfig, MailLimits
from educe.site.schema import Paper, Person, now

SAME = {"sec-fetch-site": "same-origin"}
TITLE = "On <script>alert('x')</script> & other “titles”"
ENTRY = """<entry><id>http://arxiv.org/abs/{id}v2</id><published>2026-11-20T17:59:59Z</published>
<title>{title}</title><summary>{title}</summary><author><name>Ada &lt;b&gt;Byron</name></author>
<category term="cs.CL"/></entry>"""
FEED = '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom">{}</feed>'
ERROR = """<entry><id>http://arxiv.org/api/errors#incorrect_id</id><title>Error</title>
<summary>incorrect id format</summary></entry>"""


class Arxiv:
    """Answers each connection's requests, and notes when and what was asked."""

    def __init__(self):
        self.asked, self.answer, self.status, self.extra, self.wait = [], None, 200, b"", 0.0

    async def __call__(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                query = parse_qs(head.split(b" ")[1].decode().partition("?")[2])
                self.asked.append((time.monotonic(), query))
                await asyncio.sleep(self.wait)
                body = (
                    self.answer or FEED.format(ENTRY.format(id=query["id_list"][0], title=html.escape(TITLE))).encode()
                )
                writer.write(
                    b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%s\r\n" % (self.status, len(body), self.extra) + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
def kind():
    return "sqlite"


@pytest.fixture
async def arxiv():
    answering = Arxiv()
    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    answering.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/query"
    yield answering
    server.close()
    await server.wait_closed()


@pytest.fixture
def site_config(cards_url, tmp_path, arxiv):
    mail = MailConfig(None, None, MailLimits(submissions=3))
    return SiteConfig(
        database=cards_url, folder=tmp_path / "site", models=("fake:4",), mail=mail, arxiv_url=arxiv.url, url=None
    )


@pytest.fixture
def reader(app, client, site):
    """A client that is signed in, on a site that asks often."""
    app.state.submitter.client.interval = 0.3
    with site.database.write() as session:
        session.add(Person(id=7, email="ada@example.org", confirmed=now()))
    client.cookies.set("educe_session", site.signer.sign({"person": 7}))

    async def submit(identity):
        return await client.post("/submit", data={"arxiv": identity}, headers=SAME)

    return submit


def paper(site, identity):
    with site.database.read() as session:
        return session.scalars(select(Paper).where(Paper.arxiv == identity)).first()


async def test_a_paper_comes_onto_the_page(reader, client, site, arxiv):
    assert "2611.00001" not in (await client.get("/papers.json?limit=200")).text
    answer = await reader(" https://arxiv.org/abs/2611.00001v3 ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/papers/2611.00001")
    assert arxiv.asked[0][1] == {"id_list": ["2611.00001"], "max_results": ["1"]}
    row = paper(site, "2611.00001")
    assert (row.title, row.source, row.submitter, row.hidden) == (TITLE, "submission", 7, 0)
    for path in ("/papers/2611.00001", "/", "/search?q=titles", "/topic/cs.CL"):
        text = (await client.get(path)).text
        assert html.escape("On <script>alert", quote=False) in text, path
        assert "<script>alert" not in text
        assert "<b>Byron" not in text
    assert "2611.00001" in (await client.get("/papers.json?limit=200")).text


async def test_old_identifiers_and_papers_that_are_there(reader, arxiv):
    answer = await reader("math/0309136")
    assert answer.headers["location"] == "/papers/math-0309136"
    assert (await reader("arXiv:math/0309136v1")).headers["location"] == "/papers/math-0309136"
    assert len(arxiv.asked) == 1


async def test_what_is_no_identifier_asks_nobody(reader, arxiv):
    for text in ("", "rpc", "../../etc/passwd", "2611.00001/../x", "2611.00001&id_list=2611.00002", "9999.99999999",
                 "http://169.254.169.254/2611.00001", "https://elsewhere.example/abs/2611.00001", "2611.00001\r\nx: y",
                 "%2e%2e/2611.00001", "２６１１.00001", "a" * 400, "<script>alert(1)</script>"):  # fmt: skip
        answer = await reader(text)
        assert answer.status_code == 422, text
        assert "no arXiv identifier" in answer.text
        assert "<script>alert" not in answer.text
    assert not arxiv.asked


async def test_only_who_is_signed_in_submits(client, arxiv):
    answer = await client.post("/submit", data={"arxiv": "2611.00001"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/submit")
    assert "sign in" in (await client.get("/submit")).text
    assert not arxiv.asked


@pytest.mark.slow
async def test_a_few_a_day_for_each_person(reader):
    codes = [(await reader(f"2611.0000{turn}")).status_code for turn in range(5)]
    assert codes == [303, 303, 303, 429, 429]
    # What is there already costs nothing.
    assert (await reader("2611.00001")).status_code == 303


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body", "extra", "code", "said"),
    [
        (200, FEED.format(""), b"", 422, "knows no paper"),
        (200, FEED.format(ENTRY.format(id="2611.99999", title="Another")), b"", 422, "knows no paper"),
        (400, FEED.format(ERROR), b"", 503, "cannot be asked"),
        (200, "<html>busy</html>", b"", 503, "cannot be asked"),
        (200, '<!DOCTYPE x [<!ENTITY a "b">]><feed>&a;</feed>', b"", 503, "cannot be asked"),
        (302, "-", b"location: http://127.0.0.1:1/\r\n", 503, "cannot be asked"),
        (500, "-", b"", 503, "cannot be asked"),
        (503, "-", b"retry-after: 100000\r\n", 503, "cannot be asked"),
    ],
)
async def test_what_arxiv_may_answer(reader, site, arxiv, status, body, extra, code, said):
    arxiv.status, arxiv.answer, arxiv.extra = status, body.encode(), extra
    answer = await reader("2611.00001")
    assert answer.status_code == code
    assert said in answer.text
    assert arxiv.url not in answer.text
    assert paper(site, "2611.00001") is None


async def test_an_answer_without_end(reader, app, site, arxiv):
    app.state.submitter.client.most_bytes = 10_000
    arxiv.answer = b"x" * 100_000
    assert (await reader("2611.00001")).status_code == 503


async def test_arxiv_is_slow(reader, arxiv, monkeypatch):
    monkeypatch.setattr(submissions, "LONGEST", 0.3)
    arxiv.wait = 2
    assert (await reader("2611.00001")).status_code == 503


@pytest.mark.slow
async def test_requests_keep_their_distance_also_between_processes(reader, app, site, arxiv):
    from educe.site.fetching import PoliteClient

    async with PoliteClient(interval=0.3) as client:
        # A second process of the same site has a client of its own.
        other = submissions.Submitter(site, client)
        await asyncio.gather(
            reader("2611.00001"), other.fetch("2611.00002", 7), reader("2611.00003"), other.fetch("2611.00004", 7)
        )
    times = sorted(moment for moment, _ in arxiv.asked)
    assert len(times) == 4
    # Not before the interval is over; how much later is the machine's affair. Clocks and time stamps differ by a little.
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.25


@pytest.mark.slow
async def test_the_queue_is_bounded(reader, app, arxiv, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_WAITING", 1)
    arxiv.wait = 0.5
    codes = await asyncio.gather(reader("2611.00001"), reader("2611.00002"))
    assert sorted(answer.status_code for answer in codes) == [303, 503]


async def test_what_was_taken_off_stays_off(reader, site, arxiv):
    await reader("2611.00001")
    with site.database.write(visible=True) as session:
        session.scalars(select(Paper).where(Paper.arxiv == "2611.00001")).one().hidden = 1
    answer = await reader("2611.00001")
    assert answer.status_code == 422
    assert "taken off" in answer.text
