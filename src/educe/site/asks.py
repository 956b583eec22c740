"""Asking on the page: the form, the answer as it forms, its permalink."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from educe.core import UsageError
from educe.reason import methods
from educe.reason.asking import DEFAULT_METHOD
from educe.site.answering import check_question
from educe.site.live import live
from educe.site.pages import TheSite
from educe.site.queue import BusyError, FullError, ask_to_cancel, enqueue
from educe.site.rendering import page, render
from educe.site.schema import OPEN_STATES, Answered
from educe.site.state import Site

__all__ = ["AnswerObject", "router"]

router = APIRouter(tags=["ask"])
AnswerId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{16}$")]
EXAMPLES = (
    "How many legs do three spiders have?",
    "A farmer has 17 sheep and buys 6 more, then sells 9. How many sheep are left?",
    "Is a whale a fish?",
)
MOST_SEED = 2**32 - 1


class AnswerObject(BaseModel):
    """A question and what came out."""

    id: str
    question: dict[str, Any]
    method: str
    lm: str
    budget: str
    seed: int
    state: str
    created: int
    started: int | None
    ended: int | None
    result: dict[str, Any] | None
    error: str | None
    url: str


def _find(site: Site, number: str) -> Answered:
    with site.database.read() as session:
        row = session.get(Answered, number)
        if row is None:
            raise HTTPException(404, "There is no such answer.")
        return row


def _form(site: Site, *, status: int = 200, problem: str | None = None, **given: Any) -> HTMLResponse:
    asked = {
        "question": "",
        "method": DEFAULT_METHOD,
        "lm": site.pool.names[0],
        "samples": 16,
        "seed": 0,
        "choices": "",
    }
    return page(
        "ask.html",
        status=status,
        here="/ask",
        problem=problem,
        asked={**asked, **given},
        methods=sorted(methods()),
        models=site.pool.names,
        examples=EXAMPLES,
        most=site.config.limits.samples,
    )


@router.get("/ask", response_class=HTMLResponse, include_in_schema=False)
def ask_form(site: TheSite, question: str = "", method: str = DEFAULT_METHOD) -> HTMLResponse:
    """Show the form."""
    return _form(site, question=question[:2000], method=method[:200])


@router.post("/ask", status_code=303, response_class=Response)
def ask(
    request: Request,
    site: TheSite,
    question: Annotated[str, Form(max_length=4000)] = "",
    method: Annotated[str, Form(max_length=200)] = DEFAULT_METHOD,
    lm: Annotated[str, Form(max_length=200)] = "",
    samples: Annotated[int, Form(ge=1, le=1_000_000_000)] = 16,
    seed: Annotated[int, Form(ge=0, le=MOST_SEED)] = 0,
    choices: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Put a question into the queue; answers with its address (409: yours has not ended; 429: the queue is full)."""
    options = [line.strip() for line in choices.splitlines() if line.strip()]
    row = Answered(
        question={"text": question.strip(), "choices": options},
        method=method,
        lm=lm or site.pool.names[0],
        budget=f"samples={samples}",
        seed=seed,
        requester=site.signer.visitor(request),
        progress={},
    )
    try:
        check_question(site.config.limits, row, site.pool.names)
        number = enqueue(site.database, row, site.config.limits.queue)
    except (UsageError, BusyError, FullError) as error:
        status = 422 if isinstance(error, UsageError) else 409 if isinstance(error, BusyError) else 429
        if "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(status, str(error)) from None
        given = {"question": question, "method": method, "lm": row.lm, "samples": samples, "seed": seed}
        return _form(site, status=status, problem=str(error), **given, choices=choices)
    site.runner.wake()
    return RedirectResponse(f"/answers/{number}", 303)


def _fragment(site: Site, number: str) -> tuple[str, bool]:
    row = _find(site, number)
    return render("_answer.html", row=row), row.state not in OPEN_STATES


@router.get("/answers/{number}.json")
def as_json(site: TheSite, number: AnswerId) -> AnswerObject:
    """Return one answer; `result` is the object that ``educe ask --json`` prints."""
    row = _find(site, number)
    values = {name: getattr(row, name) for name in AnswerObject.model_fields if name != "url"}
    return AnswerObject(**values, url=f"/answers/{number}")


@router.get("/answers/{number}", response_class=HTMLResponse, include_in_schema=False)
def show(site: TheSite, number: AnswerId) -> HTMLResponse:
    """Show one answer, live while it forms."""
    row = _find(site, number)
    fragment, final = _fragment(site, number)
    return page("answer.html", row=row, fragment=fragment, final=final)


@router.get(
    "/answers/{number}/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}}
)
async def events(request: Request, site: TheSite, number: AnswerId) -> Response:
    """Send the answer's fragment whenever it changes, as server-sent events."""
    return live(request, lambda: _fragment(site, number), site.stopping)


@router.post("/answers/{number}/cancel", status_code=303, response_class=Response)
def cancel(request: Request, site: TheSite, number: AnswerId) -> Response:
    """Stop a question softly: what was drawn so far becomes its answer. Only for whoever asked it."""
    row = _find(site, number)
    if row.requester != site.signer.visitor(request):
        raise HTTPException(403, "Only whoever asked a question may stop it.")
    ask_to_cancel(site.database, Answered, number)
    site.runner.wake()
    if request.headers.get("hx-request"):
        return Response(status_code=204)
    return RedirectResponse(f"/answers/{number}", 303)
