"""What programs read: the list page by page, feeds that parse, ETags, OpenAPI, operation."""

import gzip
import json

import pytest
from defusedxml.ElementTree import fromstring

from educe.papers.catalogue import list_cards
from educe.site.results import committed_report

ATOM = "{http://www.w3.org/2005/Atom}"


async def test_the_list_page_by_page_holds_every_card_once(client):
    found, cursor = [], None
    while True:
        answer = await client.get("/papers.json", params={"limit": 13, **({"cursor": cursor} if cursor else {})})
        found += answer.json()["papers"]
        cursor = answer.json()["cursor"]
        if cursor is None:
            break
    assert sorted(item["slug"] for item in found) == sorted(card.slug for card in list_cards())
    card = next(card for card in list_cards() if card.slug == "rpc")
    shown = next(item for item in found if item["slug"] == "rpc")
    assert shown["title"] == card.title
    assert shown["authors"] == list(card.authors)
    assert shown["topics"] == sorted(card.topics)
    assert shown["date"] == "2025-02"
    assert shown["arxiv_url"] == card.url


async def test_a_paper_as_json_carries_the_committed_report(client):
    answer = await client.get("/papers/causal-de-finetti.json")
    assert answer.json()["report"] == committed_report("causal-de-finetti")


async def test_a_paper_as_markdown_has_its_table(client):
    text = (await client.get("/papers/causal-de-finetti.md")).text
    assert text.startswith("# Causal de Finetti")
    report = committed_report("causal-de-finetti")
    assert text.count("| passed |") + text.count("| FAILED |") == len(report["checks"]) + len(report["controls"])
    assert "educe run causal-de-finetti --scale small" in text


async def test_the_atom_feed_is_valid_where_the_specification_is_strict(client):
    answer = await client.get("/feed.atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    root = fromstring(answer.content)
    assert root.tag == f"{ATOM}feed"
    for part in ("id", "title", "updated"):
        assert root.find(f"{ATOM}{part}").text
    entries = root.findall(f"{ATOM}entry")
    assert len(entries) == 50
    identities = [entry.find(f"{ATOM}id").text for entry in entries]
    assert len(set(identities)) == 50
    for entry in entries:
        assert entry.find(f"{ATOM}title").text
        assert entry.find(f"{ATOM}updated").text.endswith("Z")
        assert entry.find(f"{ATOM}author/{ATOM}name").text


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/feed.json", "/topic/reasoning/feed.json"])
async def test_the_json_feed_has_what_version_1_1_demands(client, path):
    answer = await client.get(path)
    assert answer.headers["content-type"].startswith("application/feed+json")
    feed = answer.json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["title"]
    assert feed["feed_url"].endswith(path)
    assert all(item["id"] and item["content_text"] for item in feed["items"])


async def test_a_topic_feed_holds_that_topic(client):
    feed = (await client.get("/topic/causality/feed.json")).json()
    assert feed["items"]
    assert all("causality" in item["tags"] for item in feed["items"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/", "/papers.json", "/feed.atom", "/feed.json", "/papers/rpc", "/papers/rpc.json", "/papers/rpc.md",
             "/static/site.css", "/papers/causal-de-finetti/figure.svg", "/search?q=causal"]
)  # fmt: skip
async def test_an_etag_saves_the_second_transfer(client, path):
    first = await client.get(path)
    assert first.headers["etag"].startswith('"')
    again = await client.get(path, headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await client.get(path, headers={"if-none-match": '"other"'})
    assert other.status_code == 200
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == first.headers["etag"]


async def test_a_visible_change_changes_the_etag(client, site):
    from educe.site.schema import Paper

    first = (await client.get("/papers.json")).headers["etag"]
    with site.database.write(visible=True) as session:
        session.get(Paper, 1).votes = 5
    second = await client.get("/papers.json", headers={"if-none-match": first})
    assert second.status_code == 200
    assert second.headers["etag"] != first


async def test_compressed_and_plain_are_the_same_text(app):
    async def fetch(encoding):
        got = []

        async def send(message):
            got.append(message)

        scope = {
            "type": "http", "method": "GET", "path": "/about", "raw_path": b"/about", "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"accept-encoding", encoding)], "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80), "scheme": "http", "root_path": "", "http_version": "1.1", "asgi": {},
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        await app.middleware_stack(scope, receive, send) if app.middleware_stack else await app(scope, receive, send)
        return dict(got[0]["headers"]), b"".join(message.get("body", b"") for message in got[1:])

    plain_headers, plain = await fetch(b"identity")
    packed_headers, packed = await fetch(b"gzip, br")
    assert b"content-encoding" not in plain_headers
    assert packed_headers[b"content-encoding"] == b"gzip"
    assert len(packed) < len(plain) / 2
    assert gzip.decompress(packed) == plain


async def test_versioned_files_may_be_kept_for_good(client):
    assert "immutable" in (await client.get("/static/site.css?v=abc")).headers["cache-control"]
    assert "immutable" not in (await client.get("/static/site.css")).headers["cache-control"]


async def test_openapi_describes_the_routes_of_programs(client):
    document = (await client.get("/openapi.json")).json()
    paths = set(document["paths"])
    assert {"/papers.json", "/papers/{slug}.json", "/papers/{slug}.md", "/feed.atom", "/feed.json", "/runs/{number}.json",
            "/answers/{number}.json", "/papers/{slug}/runs", "/ask", "/v1/chat/completions", "/healthz"} <= paths  # fmt: skip
    assert json.dumps(document)


async def test_health_readiness_and_metrics(client, site):
    assert (await client.get("/healthz")).text == "ok\n"
    assert (await client.get("/readyz")).text == "ready\n"
    await client.get("/papers/rpc")
    await client.get("/papers/never-heard-of")
    text = (await client.get("/metrics")).text
    assert 'educe_requests_total{method="GET",route="/papers/{slug}",status="200"}' in text
    # Addresses never become labels: a crawler must not fill the memory with them.
    assert "never-heard-of" not in text
    site.database.close()
    site.database.ready = lambda: False
    answer = await client.get("/readyz")
    assert answer.status_code == 503


async def test_v1_is_mounted(client):
    models = (await client.get("/v1/models")).json()
    assert [item["id"] for item in models["data"]][:1] == ["tiny"]
