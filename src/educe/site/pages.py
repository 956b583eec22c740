"""The pages that readers browse: the feed, trending, topics, search, about."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup
from sqlalchemy import select

from educe.core import UsageError
from educe.site.listing import HALF_LIFE, Listed, Page, Period, Selection, list_papers, neighbours, with_topics
from educe.site.rendering import STATIC, page, render
from educe.site.schema import Paper, Vote
from educe.site.state import Site, site_of, topic_slug

__all__ = ["TheSite", "papers_in_order", "router", "voted_for"]

router = APIRouter(include_in_schema=False)
TheSite = Annotated[Site, Depends(site_of)]
Sort = Literal["new", "trending"]
By = Literal["", "day", "week", "month"]
MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


def _feed(
    request: Request, site: Site, sort: Sort, topic: str | None, runs: bool, by: By, on: str, cursor: str | None
) -> HTMLResponse:
    day = None
    if on:
        try:
            day = datetime.date.fromisoformat(on)
        except ValueError:
            raise UsageError(f"on={on[:20]!r} is no date. Write it like 2025-02-01.") from None
    with site.database.read() as session:
        period = before = after = None
        if by:
            period, before, after = neighbours(session, by, None if day is None else Period(by, day))
        listed = list_papers(session, Selection(sort, topic, runs, period, cursor))
    shown: dict[str, Any] = {
        "papers": listed.papers,
        "next_page": _next(request, listed),
        "sort": sort,
        "topic": topic,
        "runs": runs,
        "by": by,
        "period": period,
        "before": before,
        "after": after,
        "topics": site.topics(),
        "topic_slug": topic_slug,
        "first": cursor is None,
        "here": request.url.path,
        "voted": voted_for(request, site),
    }
    if cursor is not None and request.headers.get("hx-request"):
        return page("_rows.html", keep=True, **shown)
    return page("feed.html", keep=True, **shown)


def _next(request: Request, listed: Page) -> str | None:
    if listed.cursor is None:
        return None
    return str(request.url.include_query_params(cursor=listed.cursor).replace(scheme="", netloc=""))


@router.get("/", response_class=HTMLResponse)
def new(
    request: Request, site: TheSite, runs: bool = False, by: By = "", on: str = "", cursor: str | None = None
) -> HTMLResponse:
    """Show the newest papers."""
    return _feed(request, site, "new", None, runs, by, on, cursor)


@router.get("/trending", response_class=HTMLResponse)
def trending(request: Request, site: TheSite, runs: bool = False, cursor: str | None = None) -> HTMLResponse:
    """Show papers by their decayed votes."""
    return _feed(request, site, "trending", None, runs, "", "", cursor)


@router.get("/topics", response_class=HTMLResponse)
def topics(site: TheSite) -> HTMLResponse:
    """List all topics."""
    return page("topics.html", keep=True, topics=site.topics(), topic_slug=topic_slug)


@router.get("/topic/{slug}", response_class=HTMLResponse)
def by_topic(
    request: Request, site: TheSite, slug: str, sort: Sort = "new", runs: bool = False, cursor: str | None = None
) -> HTMLResponse:
    """Show the papers on one topic."""
    topic = site.topic_of(slug)
    if topic is None:
        raise HTTPException(404, "There is no such topic.")
    return _feed(request, site, sort, topic, runs, "", "", cursor)


def voted_for(request: Request, site: Site) -> frozenset[int]:
    """Return the papers that the reader has voted for; nothing for readers who are not signed in.

    Parameters
    ----------
    request : Request
        Names the reader.
    site : Site
        Where to look.
    """
    person = site.signer.person(request)
    if person is None:
        return frozenset()
    with site.database.read() as session:
        return frozenset(session.scalars(select(Vote.paper_id).where(Vote.person_id == person)))


def papers_in_order(site: Site, numbers: list[int]) -> list[Listed]:
    """Return papers by row number, in the order given; hidden ones are left out.

    Parameters
    ----------
    site : Site
        Where to look.
    numbers : list of int
        From a search.
    """
    with site.database.read() as session:
        papers = {
            paper.id: paper for paper in session.scalars(select(Paper).where(Paper.id.in_(numbers), Paper.hidden == 0))
        }
        return with_topics(session, [papers[number] for number in numbers if number in papers])


def _found_rows(request: Request, site: Site, numbers: list[int]) -> list[Markup]:
    """Render rows of papers; for readers who are not signed in, each paper once until something changes."""
    voted = voted_for(request, site)
    rows = {} if site.signer.person(request) is not None else site.kept_rows()
    missing = papers_in_order(site, [number for number in numbers if number not in rows])
    for item in missing:
        rows[item.paper.id] = render("_one_row.html", item=item, topic_slug=topic_slug, voted=voted)
    return [Markup(rows[number]) for number in numbers if number in rows]  # noqa: S704  (rendered from templates)


@router.get("/search", response_class=HTMLResponse)
def search(request: Request, site: TheSite, q: Annotated[str, Query(max_length=400)] = "") -> HTMLResponse:
    """Show what a query finds; as a part of a page while one types."""
    typing = bool(request.headers.get("hx-request"))
    numbers = site.search.find(q, typing=typing) if q.strip() else []
    template = "_found.html" if typing else "search.html"
    return page(template, keep=True, rows=_found_rows(request, site, numbers), wanted=q.strip())


@router.get("/about", response_class=HTMLResponse)
def about(site: TheSite) -> HTMLResponse:
    """Say what this page is, how it sorts, and what it keeps."""
    with site.database.read() as session:
        cards = list(session.scalars(select(Paper.verdict).where(Paper.source == "card")))
    counts: dict[str, Any] = {
        "cards": len(cards),
        "shown": cards.count("shown"),
        "failed": cards.count("not shown"),
        "withheld": cards.count("withheld"),
    }
    return page("about.html", keep=True, half_life=HALF_LIFE // 86400, **counts)


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """Serve one of our own files."""
    kind = name.rpartition(".")[2]
    # Looked up among the names that are there, so that no path can be made of it.
    if kind not in MEDIA_TYPES or name not in {path.name for path in STATIC.iterdir()}:
        raise HTTPException(404, "There is no such file.")
    response = Response((STATIC / name).read_bytes(), media_type=MEDIA_TYPES[kind], headers={"x-keep": "1"})
    if "v" in request.query_params:
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
    return response


@router.get("/favicon.ico")
def icon() -> Response:
    """Browsers ask for this name unbidden; the pages name the real one."""
    return Response(status_code=308, headers={"location": "/static/icon.svg"})
