"""The page where a reader gives the server key, for a session that then opens every other page."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from educe.site.pages import TheSite
from educe.site.rendering import page

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/key", response_class=HTMLResponse)
def form(site: TheSite) -> HTMLResponse:
    """Ask for the key."""
    if site.config.key is None:
        raise HTTPException(404, "This server asks for no key.")
    return page("key.html", wrong=False)


@router.post("/key")
def give(request: Request, site: TheSite, key: Annotated[str, Form(max_length=1000)] = "") -> Response:
    """Open a session where the key is right."""
    if site.config.key is None:
        raise HTTPException(404, "This server asks for no key.")
    if not hmac.compare_digest(key.strip().encode(), site.config.key.encode()):
        return page("key.html", status=403, wrong=True)
    response = RedirectResponse("/", 303)
    site.signer.write(request, response, {**site.signer.session(request), "key": True})
    return response
