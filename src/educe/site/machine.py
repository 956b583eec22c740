"""What programs read: feeds in Atom and JSON, the list of papers, health, readiness, metrics."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal
from xml.etree import ElementTree as Xml

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from educe.site.documents import PaperList, paper_object
from educe.site.listing import Listed, Selection, list_papers
from educe.site.pages import TheSite
from educe.site.rendering import date_line
from educe.site.schema import Paper
from educe.site.state import Site, topic_slug

__all__ = ["router"]

FEED = 50
ATOM = "http://www.w3.org/2005/Atom"
router = APIRouter(tags=["papers"])


@router.get("/papers.json")
def papers(
    site: TheSite,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    cursor: Annotated[str | None, Query(max_length=60)] = None,
    sort: Literal["new", "trending"] = "new",
    topic: Annotated[str | None, Query(max_length=60)] = None,
    runs: bool = False,
) -> PaperList:
    """List papers page by page; give each answer's `cursor` back for the next page."""
    with site.database.read() as session:
        listed = list_papers(session, Selection(sort, topic, runs, None, cursor, limit))
    response.headers["x-keep"] = "1"
    return PaperList(papers=[paper_object(item) for item in listed.papers], cursor=listed.cursor)


def _latest(site: Site, topic: str | None) -> list[Listed]:
    with site.database.read() as session:
        return list_papers(session, Selection(topic=topic, limit=FEED)).papers


def _topic(site: Site, slug: str | None) -> str | None:
    if slug is None:
        return None
    topic = site.topic_of(slug)
    if topic is None:
        raise HTTPException(404, "There is no such topic.")
    return topic


def _moment(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(paper: Paper) -> str:
    bar = f" Bar: {paper.verdict}." if paper.verdict else ""
    return f"{paper.summary or paper.abstract or ''}{bar}"


@router.get(
    "/topic/{slug}/feed.atom", response_class=Response, responses={200: {"content": {"application/atom+xml": {}}}}
)
def topic_atom(request: Request, site: TheSite, slug: str) -> Response:
    """Return the latest papers on one topic as an Atom feed."""
    return _atom(request, site, slug)


@router.get("/feed.atom", response_class=Response, responses={200: {"content": {"application/atom+xml": {}}}})
def atom(request: Request, site: TheSite) -> Response:
    """Return the latest papers as an Atom feed."""
    return _atom(request, site, None)


def _atom(request: Request, site: Site, slug: str | None) -> Response:
    topic = _topic(site, slug)
    listed = _latest(site, topic)
    base = str(request.base_url).rstrip("/")
    feed = Xml.Element("feed", xmlns=ATOM)
    home = base + (f"/topic/{slug}" if slug else "/")

    def add(parent: Xml.Element, tag: str, text: str | None = None, **attributes: str) -> Xml.Element:
        element = Xml.SubElement(parent, tag, attributes)
        element.text = text
        return element

    add(feed, "title", f"educe: papers on {topic}" if topic else "educe: papers that run")
    add(feed, "id", home)
    add(feed, "link", rel="alternate", type="text/html", href=home)
    add(feed, "link", rel="self", type="application/atom+xml", href=str(request.url))
    add(feed, "updated", _moment(max((item.paper.added for item in listed), default=0)))
    for item in listed:
        paper = item.paper
        entry = add(feed, "entry")
        add(entry, "title", _clean(paper.title))
        add(entry, "id", f"{base}/papers/{paper.slug}")
        add(entry, "link", rel="alternate", type="text/html", href=f"{base}/papers/{paper.slug}")
        for author in paper.authors:
            add(add(entry, "author"), "name", _clean(author))
        add(entry, "published", _moment(paper.published))
        add(entry, "updated", _moment(paper.added))
        for name in item.topics:
            add(entry, "category", term=name)
        add(entry, "summary", _clean(_text(paper)))
    body = Xml.tostring(feed, encoding="utf-8", xml_declaration=True)
    return Response(body, media_type="application/atom+xml", headers={"x-keep": "1"})


def _clean(text: str) -> str:
    """Leave out the control characters that XML cannot hold."""
    return "".join(mark for mark in text if mark >= " " or mark in "\t\n\r")


@router.get("/topic/{slug}/feed.json", response_class=JSONResponse)
def topic_json_feed(request: Request, site: TheSite, slug: str) -> Response:
    """Return the latest papers on one topic as a JSON feed (jsonfeed.org, version 1.1)."""
    return _json_feed(request, site, slug)


@router.get("/feed.json", response_class=JSONResponse)
def json_feed(request: Request, site: TheSite) -> Response:
    """Return the latest papers as a JSON feed (jsonfeed.org, version 1.1)."""
    return _json_feed(request, site, None)


def _json_feed(request: Request, site: Site, slug: str | None) -> Response:
    topic = _topic(site, slug)
    base = str(request.base_url).rstrip("/")
    items: list[dict[str, Any]] = [
        {
            "id": f"{base}/papers/{item.paper.slug}",
            "url": f"{base}/papers/{item.paper.slug}",
            "title": item.paper.title,
            "content_text": f"{_text(item.paper)} ({date_line(item.paper.published, item.paper.precision)})",
            "date_published": _moment(item.paper.published),
            "date_modified": _moment(item.paper.added),
            "authors": [{"name": author} for author in item.paper.authors],
            "tags": item.topics,
        }
        for item in _latest(site, topic)
    ]
    return JSONResponse(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": f"educe: papers on {topic}" if topic else "educe: papers that run",
            "home_page_url": base + (f"/topic/{topic_slug(topic)}" if topic else "/"),
            "feed_url": str(request.url),
            "items": items,
        },
        media_type="application/feed+json",
        headers={"x-keep": "1"},
    )


@router.get("/healthz", response_class=PlainTextResponse, tags=["operation"])
def health() -> str:
    """Say that the process answers."""
    return "ok\n"


@router.get(
    "/readyz", response_class=PlainTextResponse, tags=["operation"], responses={503: {"description": "Not ready"}}
)
def ready(site: TheSite) -> PlainTextResponse:
    """Say whether requests can be served: the database answers."""
    fine = site.database.ready()
    return PlainTextResponse("ready\n" if fine else "the database does not answer\n", 200 if fine else 503)


@router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
def metrics(site: TheSite) -> PlainTextResponse:
    """Return the metrics of this process in Prometheus's text format."""
    return PlainTextResponse(site.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
