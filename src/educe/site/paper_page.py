"""One paper: its page, its figure, and the same as JSON and Markdown."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from educe.site.code_links import code_link
from educe.site.documents import PaperObject, arxiv_link, paper_markdown, paper_object
from educe.site.explaining import explain
from educe.site.listing import Listed, with_topics
from educe.site.pages import TheSite, papers_in_order, voted_for
from educe.site.rendering import page
from educe.site.results import committed_figure, committed_report, figure_size
from educe.site.schema import Paper, Run
from educe.site.state import Site, topic_slug

__all__ = ["FIGURE_HEADERS", "Slug", "find_paper", "router"]

HISTORY = 20
router = APIRouter(tags=["papers"])
# Names come from addresses; nothing else may reach the database or the file system.
Slug = Annotated[str, Path(pattern=r"^[a-z0-9]+([.-][a-zA-Z0-9]+)*$", max_length=80)]
# A figure that is opened by itself is a document of its own: it may style itself and do nothing else.
FIGURE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
}


def find_paper(session: Session, slug: str) -> Paper:
    """Return a visible paper.

    Parameters
    ----------
    session : Session
        To read with.
    slug : str
        From the address.

    Raises
    ------
    HTTPException
        404 where there is none.
    """
    paper = session.scalar(select(Paper).where(Paper.slug == slug, Paper.hidden == 0))
    if paper is None:
        raise HTTPException(404, "There is no such paper.")
    return paper


def _listed(site: Site, slug: str) -> Listed:
    with site.database.read() as session:
        return with_topics(session, [find_paper(session, slug)])[0]


@router.get("/papers/{slug}.json")
def as_json(site: TheSite, slug: Slug, response: Response) -> PaperObject:
    """Return one paper with its committed report."""
    response.headers["x-keep"] = "1"
    return paper_object(_listed(site, slug), report=True)


@router.get("/papers/{slug}.md", response_class=PlainTextResponse)
def as_markdown(site: TheSite, slug: Slug) -> Response:
    """Return one paper as Markdown."""
    text = paper_markdown(_listed(site, slug))
    return Response(text, media_type="text/markdown; charset=utf-8", headers={"x-keep": "1"})


@router.get("/papers/{slug}/figure.svg", responses={200: {"content": {"image/svg+xml": {}}}}, response_class=Response)
def figure(slug: Slug) -> Response:
    """Return the figure of the committed report."""
    svg = committed_figure(slug)
    if svg is None:
        raise HTTPException(404, "There is no figure.")
    return Response(svg, media_type="image/svg+xml", headers={**FIGURE_HEADERS, "x-keep": "1"})


@router.get("/papers/{slug}", response_class=HTMLResponse, include_in_schema=False)
def show(request: Request, site: TheSite, slug: Slug) -> HTMLResponse:
    """Show one paper."""
    item = _listed(site, slug)
    paper = item.paper
    report = committed_report(slug) if paper.source == "card" else None
    svg = committed_figure(slug) if paper.source == "card" else None
    with site.database.read() as session:
        columns = (Run.id, Run.scale, Run.seed, Run.state, Run.created, Run.started, Run.ended, Run.progress)
        runs: list[Any] = list(
            session.execute(select(*columns).where(Run.slug == slug).order_by(Run.created.desc()).limit(HISTORY))
        )
    return page(
        "paper.html",
        keep=True,
        paper=paper,
        voted=paper.id in voted_for(request, site),
        topics=item.topics,
        topic_slug=topic_slug,
        report=report,
        size=None if svg is None else figure_size(svg),
        explained=explain(slug) if paper.source == "card" else None,
        arxiv=arxiv_link(paper),
        code=code_link(slug),
        near=papers_in_order(site, site.search.similar(paper.id, 6)),
        runs=runs,
        expected=None if report is None else report["ledger"]["seconds"],
    )
