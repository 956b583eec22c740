"""Running a paper: asking for it, watching it, cancelling it, and its result for good."""

from __future__ import annotations

import statistics
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel
from sqlalchemy import func, select

from educe.papers.catalogue import find_card
from educe.site.live import live
from educe.site.pages import TheSite
from educe.site.paper_page import FIGURE_HEADERS, Slug, find_paper
from educe.site.queue import BusyError, FullError, ask_to_cancel, enqueue, open_one
from educe.site.rendering import page, render
from educe.site.results import committed_report, figure_size
from educe.site.schema import OPEN_STATES, Run
from educe.site.state import Site

__all__ = ["RunObject", "router"]

router = APIRouter(tags=["runs"])
RunId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{16}$")]
MOST_SEED = 2**32 - 1


class RunObject(BaseModel):
    """One run."""

    id: str
    slug: str
    scale: str
    seed: int
    state: str
    created: int
    started: int | None
    ended: int | None
    progress: dict[str, Any]
    report: dict[str, Any] | None
    error: str | None
    url: str


def _find(site: Site, number: str) -> Run:
    with site.database.read() as session:
        run = session.get(Run, number)
        if run is None:
            raise HTTPException(404, "There is no such run.")
        return run


def _expected(site: Site, slug: str, scale: str) -> float | None:
    """Return how long a run will take, going by earlier ones; None where there were none."""
    with site.database.read() as session:
        query = select(Run.ended - Run.started).where(Run.slug == slug, Run.scale == scale, Run.state == "finished")
        took = [seconds for seconds in session.scalars(query.order_by(Run.created.desc()).limit(5)) if seconds]
    if took:
        return float(statistics.median(took))
    report = committed_report(slug)
    return None if report is None or report["scale"] != scale else float(report["ledger"]["seconds"])


@router.post("/papers/{slug}/runs", status_code=303, response_class=Response)
def start(
    request: Request,
    site: TheSite,
    slug: Slug,
    scale: Annotated[Literal["smoke", "small"], Form()] = "small",
    seed: Annotated[int, Form(ge=0, le=MOST_SEED)] = 0,
) -> Response:
    """Put a run into the queue; answers with its address (409: yours has not ended; 429: the queue is full)."""
    with site.database.read() as session:
        paper = find_paper(session, slug)
    if not paper.runs_here:
        raise HTTPException(404, "This paper does not run here yet.")
    visitor = site.signer.visitor(request)
    in_page = bool(request.headers.get("hx-request"))
    run = Run(slug=slug, scale=scale, seed=seed, requester=visitor, progress={"expected": _expected(site, slug, scale)})
    try:
        number = enqueue(site.database, run, site.config.limits.queue)
    except (BusyError, FullError) as error:
        status = 409 if isinstance(error, BusyError) else 429
        if not in_page:
            raise HTTPException(status, str(error), {"retry-after": "30"}) from None
        with site.database.read() as session:
            yours = open_one(session, Run, visitor)
        # 200, because htmx shows no other; the words say what is wrong.
        return page("_busy.html", message=str(error), address=f"/runs/{yours}" if yours else None)
    site.runner.wake()
    if in_page:
        return page("_live.html", address=f"/runs/{number}/events", fragment=_fragment(site, number)[0])
    return RedirectResponse(f"/runs/{number}", 303)


def _fragment(site: Site, number: str) -> tuple[str, bool]:
    run = _find(site, number)
    before = 0
    if run.state == "queued":
        with site.database.read() as session:
            before = (
                session.scalar(select(func.count()).where(Run.state.in_(OPEN_STATES), Run.created < run.created)) or 0
            )
    size = figure_size(run.figure) if run.figure else None
    return render("_run.html", run=run, before=before, size=size), run.state not in OPEN_STATES


@router.get("/runs/{number}.json")
def as_json(site: TheSite, number: RunId) -> RunObject:
    """Return one run with its report."""
    run = _find(site, number)
    values = {name: getattr(run, name) for name in RunObject.model_fields if name != "url"}
    return RunObject(**values, url=f"/runs/{number}")


@router.get("/runs/{number}", response_class=HTMLResponse, include_in_schema=False)
def show(request: Request, site: TheSite, number: RunId) -> HTMLResponse:
    """Show one run, live while it lasts."""
    run = _find(site, number)
    fragment, final = _fragment(site, number)
    return page("run.html", run=run, card=find_card(run.slug), fragment=fragment, final=final)


@router.get("/runs/{number}/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def events(request: Request, site: TheSite, number: RunId) -> Response:
    """Send the run's fragment whenever it changes, as server-sent events."""
    return live(request, lambda: _fragment(site, number), site.stopping)


@router.get("/runs/{number}/figure.svg", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}})
def figure(site: TheSite, number: RunId) -> Response:
    """Return the run's figure."""
    run = _find(site, number)
    if run.figure is None:
        raise HTTPException(404, "This run has no figure.")
    headers = {**FIGURE_HEADERS, "cache-control": "private, max-age=86400"}
    return Response(run.figure, media_type="image/svg+xml", headers=headers)


@router.post("/runs/{number}/cancel", status_code=303, response_class=Response)
def cancel(request: Request, site: TheSite, number: RunId) -> Response:
    """Cancel a run; only for whoever asked for it."""
    run = _find(site, number)
    if run.requester != site.signer.visitor(request):
        raise HTTPException(403, "Only whoever started a run may cancel it.")
    ask_to_cancel(site.database, Run, number)
    site.runner.wake()
    if request.headers.get("hx-request"):
        return Response(status_code=204)
    return RedirectResponse(f"/runs/{number}", 303)
