"""The OpenAI-compatible API as a router: /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models.

It follows OpenAI's published API (https://platform.openai.com/docs/api-reference) where a language model of this
library can: text in, text out. Not covered: tools, images and sound, stored answers, the Responses and Assistants APIs,
token ids as input.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from educe.core import EduceError, UsageError
from educe.site.openai._documents import ChatCompletion, Embeddings, ModelList, ServedModel, TextCompletion
from educe.site.openai._errors import STOPPING, ApiError, ErrorDocument, of_educe_error, of_validation
from educe.site.openai._gate import Gate
from educe.site.openai._metrics import CLIENT_GONE, Metrics, Record
from educe.site.openai._schema import ChatRequest, CompletionRequest, EmbeddingRequest
from educe.site.openai._service import Service, failed
from educe.site.openai._transport import BoundedRequest, ClientGoneError, EventStream, JsonAnswer
from educe.site.openai.limits import Limits
from educe.site.openai.pool import ModelPool

__all__ = ["create_openai_router"]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
STREAMED = "The completion, or with stream=true its pieces as server-sent events that end with [DONE]."
REFUSALS = {
    400: "A parameter is malformed, above a limit, or not supported by the model.",
    401: "The key is missing or wrong.",
    404: "The model is not served.",
    408: "The body came too slowly.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    429: "As many requests as may wait are waiting; the header Retry-After says when to come back.",
    502: "The model behind this server failed.",
    503: "The server is stopping.",
}


def create_openai_router(
    models: ModelPool,
    limits: Limits | None = None,
    *,
    key: str | None = None,
    registry: CollectorRegistry | None = None,
    log_texts: bool = False,
) -> APIRouter:
    """Make the API's routes, to be included in a FastAPI application.

    Parameters
    ----------
    models : ModelPool
        What is served. The pool is closed when the application ends.
    limits : Limits, optional
        What requests may ask for.
    key : str, optional
        With a key, every route demands ``Authorization: Bearer KEY``.
    registry : CollectorRegistry, optional
        Where Prometheus metrics are kept; one of the router's own, which nobody scrapes, when left out.
    log_texts : bool
        Whether the log lines of logger ``educe.site.openai`` hold prompts and answers.

    Returns
    -------
    APIRouter
        With the prefix ``/v1``.

    Raises
    ------
    UsageError
        The key is empty.

    Examples
    --------
    >>> from fastapi import FastAPI
    >>> from fastapi.testclient import TestClient
    >>> app = FastAPI()
    >>> app.include_router(create_openai_router(ModelPool({"tiny": "fake:The answer is 24."})))
    >>> body = {"model": "tiny@self-consistency:4", "messages": [{"role": "user", "content": "How many legs?"}]}
    >>> with TestClient(app) as client:
    ...     answer = client.post("/v1/chat/completions", json=body).json()
    >>> answer["choices"][0]["message"]["content"], answer["educe"]["confidence"]
    ('24', 1.0)
    """
    if key is not None and not key.strip():
        raise UsageError("The key is empty, so it protects nothing. Give a long random text, or none.")
    limits = limits or Limits()
    gate = Gate(limits.concurrency, limits.queue)
    metrics = Metrics(registry or CollectorRegistry(), gate)
    service = Service(models, limits, gate, metrics, log_texts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await models.aclose()

    router = APIRouter(
        prefix="/v1",
        tags=["openai"],
        route_class=_route_class(limits, key, metrics),
        lifespan=lifespan,
        dependencies=[] if key is None else [Security(HTTPBearer(auto_error=False))],
        responses={status: {"model": ErrorDocument, "description": meaning} for status, meaning in REFUSALS.items()},
    )

    @router.post("/chat/completions", summary="Answer a chat", responses=_success(ChatCompletion, streamed=True))
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        return await service.complete(request, body)

    @router.post("/completions", summary="Continue a text", responses=_success(TextCompletion, streamed=True))
    async def completions(request: Request, body: CompletionRequest) -> Response:
        return await service.complete(request, body)

    @router.post("/embeddings", summary="Turn texts into vectors", responses=_success(Embeddings))
    async def embeddings(request: Request, body: EmbeddingRequest) -> Response:
        return await service.embed(request, body)

    @router.get("/models", summary="List the served models", responses=_success(ModelList))
    async def list_models() -> Response:
        return JsonAnswer(service.list_models())

    @router.get("/models/{model:path}", summary="Describe a served model", responses=_success(ServedModel))
    async def show_model(model: str) -> Response:
        return JsonAnswer(service.show_model(model))

    allowed = {"/chat/completions": "POST", "/completions": "POST", "/embeddings": "POST", "/models": "GET"}

    @router.api_route(
        "/{path:path}",
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"],
        include_in_schema=False,
    )
    async def unknown(request: Request, path: str) -> Response:
        name = "/models" if path.startswith("models/") else f"/{path}"
        if name in allowed:
            raise ApiError(
                405,
                f"Method {request.method} is not allowed for /v1{name}. Use {allowed[name]}.",
                code="method_not_allowed",
                headers={"allow": allowed[name]},
            )
        raise ApiError(404, f"There is no route /v1/{path[:100]}. See /v1/models for one.", code="unknown_url")

    return router


def _success(shape: type[BaseModel], *, streamed: bool = False) -> dict[int | str, dict[str, Any]]:
    told: dict[str, Any] = {"model": shape, "description": "The answer."}
    if streamed:
        told |= {"description": STREAMED, "content": {"text/event-stream": {}}}
    return {200: told}


def _authorize(request: Request, key: str | None) -> None:
    """Demand the key, in a comparison whose time does not tell how much of it is right."""
    if key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Header texts are bytes read as Latin-1.
    right = hmac.compare_digest(given.strip().encode("latin-1"), key.encode())
    if not (right and scheme.lower() == "bearer"):
        raise ApiError(
            401,
            "The key is missing or wrong. Send the header 'Authorization: Bearer KEY'.",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )


def _check_media_type(request: Request) -> None:
    # A page in a browser can send other types to a loopback server without asking; JSON it cannot.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ApiError(
            415, f"The body is declared as {kind[:50]!r}. Send 'Content-Type: application/json'.", code="not_json"
        )


def _route_class(limits: Limits, key: str | None, metrics: Metrics) -> type[APIRoute]:
    """A route that checks key and body before anything else, and answers every failure with an error object."""

    async def guarded(request: Request, handler: Handler) -> Response:
        _authorize(request, key)
        if request.method == "POST":
            _check_media_type(request)
            await request.body()
        return await handler(request)

    class ApiRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()
            route = self.path if self.include_in_schema else "unknown"

            async def handle(request: Request) -> Response:
                record = Record(route)
                request.state.record = record
                bounded = BoundedRequest(request.scope, request.receive, limits.bytes, limits.read_seconds)
                response = await _answered(guarded(bounded, handler), record)
                response.headers["x-request-id"] = record.id
                if not isinstance(response, EventStream):
                    record.status = response.status_code
                    metrics.end(record)
                return response

            return handle

    return ApiRoute


async def _answered(work: Awaitable[Response], record: Record) -> Response:
    """Await an answer; a failure becomes its error object."""
    try:
        return await work
    except (ClientGoneError, ClientDisconnect):
        return Response(status_code=CLIENT_GONE)
    except asyncio.CancelledError:
        # Only a server that stops cancels a request; its client, if it is still there, is told.
        failure = STOPPING
    except RequestValidationError as error:
        failure = of_validation(error)
    except HTTPException:
        # FastAPI's word for a body that its JSON reader cannot take, for instance one nested too deeply.
        failure = ApiError(400, "The body is not JSON. Send one JSON object.", code="invalid_json")
    except EduceError as error:
        failure = of_educe_error(error)
    except Exception as error:
        failure = failed(error, record)
    record.code, record.param = failure.code, failure.param
    return JsonAnswer(failure.document(), failure.status, failure.headers)
