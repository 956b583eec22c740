"""`create_app`: the page, the machine-readable routes and the API as one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from educe.core import EduceError, UsageError
from educe.papers.catalogue import list_cards
from educe.site import (
    accounts,
    asks,
    keys,
    machine,
    pages,
    paper_page,
    runs,
    sign_in,
    submissions,
    subscriptions,
    votes,
)
from educe.site.config import SiteConfig
from educe.site.database import file_lock
from educe.site.explaining import explain
from educe.site.fetching import PoliteClient
from educe.site.front import Front
from educe.site.openai import ModelPool, create_openai_router
from educe.site.postman import Postman
from educe.site.rendering import page
from educe.site.runner import Runner
from educe.site.seeds import seed_cards
from educe.site.state import Site

__all__ = ["create_app"]

TITLES = {
    400: "That cannot be asked",
    401: "The key is missing",
    403: "Not allowed",
    404: "Not here",
    405: "Not possible here",
    409: "Already running",
    413: "Too large",
    422: "That cannot be asked",
    429: "Too much at once",
    503: "Not ready",
}


class EduceSite(FastAPI):
    """The application with its outermost layer, see `educe.site.front`."""

    def build_middleware_stack(self) -> Front:
        """Wrap FastAPI's own layers, error pages included."""
        site: Site = self.state.site
        inner = super().build_middleware_stack()
        return Front(inner, site.config, site.database, site.signer, site.metrics, site.log)


def create_app(config: SiteConfig | None = None, pool: ModelPool | None = None) -> FastAPI:
    """Make the site.

    Parameters
    ----------
    config : SiteConfig, optional
        How it is set up; from the settings when left out.
    pool : ModelPool, optional
        Language models; those that the configuration names when left out.

    Returns
    -------
    FastAPI
        With ``app.state.site`` set; its lifespan prepares the database, so it must be run.

    Raises
    ------
    UsageError
        The configuration is not sound.
    StoreError
        The site's folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     app = create_app(SiteConfig(database=f"sqlite:///{folder}/site.sqlite", folder=Path(folder)))
    ...     "/papers.json" in app.openapi()["paths"]
    True
    """
    config = config or SiteConfig()
    site = Site(config, pool or ModelPool.of(config.models))
    site.runner = Runner(site)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        prepare(site)
        site.runner.start()
        postman = app.state.postman = Postman(site)
        postman.start()
        warming = asyncio.create_task(asyncio.to_thread(_warm, site))
        try:
            async with PoliteClient(seconds=submissions.ANSWER_SECONDS) as arxiv:
                app.state.submitter = submissions.Submitter(site, arxiv)
                yield
        finally:
            site.stopping.set()
            await postman.stop()
            await warming
            await site.runner.stop()
            await site.pool.aclose()
            site.database.close()

    app = EduceSite(
        title="educe",
        summary="Papers on inference that run, and methods of inference over one API.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.site = site
    for router in (
        pages.router,
        paper_page.router,
        votes.router,
        runs.router,
        asks.router,
        keys.router,
        sign_in.router,
        accounts.router,
        subscriptions.router,
        submissions.router,
        machine.router,
    ):
        app.include_router(router)
    # The key is demanded by the outermost layer, on these routes as on all others.
    app.include_router(create_openai_router(site.pool, registry=site.metrics.registry, log_texts=config.log_texts))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(EduceError, _educe_error)
    app.add_exception_handler(Exception, _defect)
    return app


def prepare(site: Site) -> None:
    """Bring the database up to date and the sixty cards into it; several processes may do so at once.

    Parameters
    ----------
    site : Site
        The site.
    """
    with file_lock(site.config.folder / "prepare.lock"):
        site.database.migrate()
        seed_cards(site.database)


def _warm(site: Site) -> None:
    """Make what the first readers would otherwise wait for."""
    site.search.refresh()
    for card in list_cards():
        if site.stopping.is_set():
            return
        explain(card.slug)


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1")


def error_response(request: Request, status: int, message: str) -> Response:
    """Answer with an error, as a page to readers and as JSON to programs.

    Parameters
    ----------
    request : Request
        What was asked.
    status : int
        HTTP status.
    message : str
        One or two sentences.
    """
    if _wants_html(request):
        return page("error.html", status=status, title=TITLES.get(status, "Something went wrong"), message=message)
    return JSONResponse({"detail": message}, status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = error_response(request, error.status_code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors()[:5])
    in_path = any(item["loc"][0] == "path" for item in error.errors())
    if in_path:
        return error_response(request, 404, "There is no such page.")
    return error_response(request, 422, f"The request cannot be read: {problems}.")


async def _educe_error(request: Request, error: Exception) -> Response:
    return error_response(request, 422 if isinstance(error, UsageError) else 503, str(error))


async def _defect(request: Request, error: Exception) -> Response:
    site: Site = request.app.state.site
    site.log.event("defect", error=error)
    if _wants_html(request):
        return page("error.html", status=500, title="Something went wrong", message="This is a defect of educe.")
    return PlainTextResponse("This is a defect of educe.", 500)
