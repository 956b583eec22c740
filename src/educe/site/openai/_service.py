"""The work behind each route: check, wait for a turn, borrow the model, draw or infer, answer whole or in a stream."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import torch
from fastapi import Request
from starlette.responses import Response

from educe.core import EduceError
from educe.lm import LanguageModel
from educe.reason import methods
from educe.site.openai._answers import Answer, ChatAnswer, TextAnswer, model_object
from educe.site.openai._asked import Asked, above, asked_of, check_capabilities, check_common, check_length
from educe.site.openai._errors import STOPPING, ApiError, of_educe_error
from educe.site.openai._gate import Gate
from educe.site.openai._inference import Inference, inference_of, split_model
from educe.site.openai._metrics import CLIENT_GONE, Metrics, Record, log_defect
from educe.site.openai._rows import Piece, draw
from educe.site.openai._schema import ChatRequest, CompletionRequest, EmbeddingRequest
from educe.site.openai._transport import EventStream, JsonAnswer, to_json, unless_gone
from educe.site.openai.limits import Limits
from educe.site.openai.pool import ModelPool

__all__ = ["Service"]


class Service:
    """What all requests share.

    Parameters
    ----------
    models : ModelPool
        The models.
    limits : Limits
        What may be asked.
    gate : Gate
        Who may work.
    metrics : Metrics
        What is counted.
    log_texts : bool
        Whether log lines hold prompts and answers.
    """

    def __init__(self, models: ModelPool, limits: Limits, gate: Gate, metrics: Metrics, log_texts: bool) -> None:
        self.models, self.limits, self.gate, self.metrics = models, limits, gate, metrics
        self.log_texts = log_texts

    async def complete(self, request: Request, body: ChatRequest | CompletionRequest) -> Response:
        """Answer /v1/chat/completions or /v1/completions."""
        record: Record = request.state.record
        base, named = split_model(body.model, self.models)
        check_common(body, self.limits)
        inference = inference_of(body, named, self.limits)
        asked = None if inference is not None else asked_of(body, self.limits)
        record.stream = bool(body.stream)
        if self.log_texts:
            sent = body.messages if isinstance(body, ChatRequest) else body.prompts
            record.texts = {"prompt": [item if isinstance(item, str) else item.text for item in sent]}

        async def begin() -> Response:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.gate.turn())
                lm = await stack.enter_async_context(self.models.lease(base))
                record.model, record.method = base, inference.method if inference else ""
                shape = ChatAnswer if isinstance(body, ChatRequest) else TextAnswer
                shapes = shape(body.model, self.models.fingerprint(base))
                if inference is not None:
                    inference.check(lm)
                    if not body.stream:
                        return await self._inferred(inference, lm, shapes, record)
                    events = inference.events(lm, shapes, record.usage)
                else:
                    assert asked is not None
                    check_capabilities(body, lm, base)
                    shapes.logprobs = asked.logprobs
                    if not body.stream:
                        return await self._drawn(asked, lm, shapes, record)
                    events = _pieces(asked, lm, shapes, record)
                # Until the first event there is still a status to give.
                stack.push_async_callback(events.aclose)
                first = await anext(events)
                with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
                held = stack.pop_all()
                return self._streamed(first, events, shapes, record, with_usage, held)

        try:
            return await unless_gone(request, begin())
        except EduceError as error:
            raise of_educe_error(error, _at_fault(error, body)) from error

    async def _inferred(self, inference: Inference, lm: LanguageModel, shapes: Answer, record: Record) -> Response:
        posterior = await inference.answer(lm, record.usage)
        piece = inference.piece(posterior)
        told = inference.told(posterior, shapes.model)
        choice = shapes.choice(piece)
        if told["answer"] is None and "message" in choice:
            choice["message"]["content"] = None
        self._keep(record, [piece])
        return JsonAnswer(shapes.whole([choice], record.usage.to_json(), educe=told))

    async def _drawn(self, asked: Asked, lm: LanguageModel, shapes: Answer, record: Record) -> Response:
        rows: dict[int, list[Piece]] = {row: [] for row in range(len(asked.prompts) * asked.n)}
        async for piece in draw(lm, asked, record.usage):
            rows[piece.row].append(piece)
        whole = [_joined(row, pieces) for row, pieces in rows.items()]
        self._keep(record, whole)
        return JsonAnswer(shapes.whole([shapes.choice(piece) for piece in whole], record.usage.to_json()))

    def _keep(self, record: Record, pieces: list[Piece]) -> None:
        if record.texts is not None:
            record.texts["answer"] = [piece.text for piece in pieces]

    @staticmethod
    def _overhear(record: Record, event: dict[str, Any]) -> None:
        if record.texts is None:
            return
        answers: dict[int, str] = record.texts.setdefault("answer", {})
        for choice in event["choices"]:
            said = choice.get("text") or choice.get("delta", {}).get("content") or ""
            answers[choice["index"]] = answers.get(choice["index"], "") + said

    def _streamed(
        self,
        first: dict[str, Any],
        events: AsyncGenerator[dict[str, Any], None],
        shapes: Answer,
        record: Record,
        with_usage: bool,
        held: AsyncExitStack,
    ) -> Response:
        empty = {"usage": None} if with_usage else {}

        async def lines() -> AsyncGenerator[bytes, None]:
            record.status = CLIENT_GONE
            try:
                self._overhear(record, first)
                yield _event(first | empty)
                async for event in events:
                    self._overhear(record, event)
                    yield _event(event | empty)
                if with_usage:
                    yield _event(shapes.piece([], usage=record.usage.to_json()))
                record.status = 200
            except Exception as error:
                failure = failed(error, record)
                record.status, record.code = failure.status, failure.code
                yield _event(failure.document())
            yield b"data: [DONE]\n\n"

        def cut() -> bytes:
            record.status, record.code = STOPPING.status, STOPPING.code
            return _event(STOPPING.document()) + b"data: [DONE]\n\n"

        async def done() -> None:
            await held.aclose()
            self.metrics.end(record)

        return EventStream(lines(), cut, done, self.limits.write_seconds)

    async def embed(self, request: Request, body: EmbeddingRequest) -> Response:
        """Answer /v1/embeddings."""
        record: Record = request.state.record
        base, named = split_model(body.model, self.models)
        if named is not None:
            raise ApiError(
                400, "A method has no embeddings. Name a model alone.", param="model", code="unsupported_by_model"
            )
        if len(body.texts) > self.limits.texts:
            raise above("input", len(body.texts), self.limits.texts)
        check_length("input", body.texts, self.limits)
        if self.log_texts:
            record.texts = {"prompt": body.texts}

        async def work() -> torch.Tensor:
            async with self.gate.turn(), self.models.lease(base) as lm:
                if "embed" not in lm.capabilities:
                    raise ApiError(
                        400,
                        f"Model {base!r} has no embeddings. Choose another model.",
                        param="model",
                        code="unsupported_by_model",
                    )
                vectors = await lm.embed(body.texts)
                record.model, record.usage.rows = base, len(body.texts)
                record.usage.prompt = sum(_count_tokens(lm, text) for text in body.texts)
                return vectors

        try:
            vectors = await unless_gone(request, work())
        except EduceError as error:
            raise of_educe_error(error, "input") from error
        dimensions = int(vectors.shape[1])
        if body.dimensions is not None and body.dimensions != dimensions:
            raise ApiError(
                400,
                f"Vectors of model {base!r} have {dimensions} dimensions, not {body.dimensions}. Leave it out.",
                param="dimensions",
                code="unsupported_by_model",
            )
        encode = _base64 if body.encoding_format == "base64" else torch.Tensor.tolist
        data = [
            {"object": "embedding", "index": index, "embedding": encode(vector)} for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": record.usage.prompt, "total_tokens": record.usage.prompt}
        return JsonAnswer({"object": "list", "data": data, "model": body.model, "usage": usage})

    def list_models(self) -> dict[str, Any]:
        """Answer /v1/models."""
        known = sorted(methods())
        return {
            "object": "list",
            "data": [model_object(name, self.models.created, known) for name in self.models.names],
        }

    def show_model(self, name: str) -> dict[str, Any]:
        """Answer /v1/models/NAME; a method in the name is checked too."""
        base, named = split_model(name, self.models)
        if named is not None and named.partition(":")[0] not in methods():
            raise ApiError(404, f"Method {named[:100]!r} is unknown.", param="model", code="model_not_found")
        return model_object(name if named is not None else base, self.models.created, sorted(methods()))


def failed(error: Exception, record: Record) -> ApiError:
    """Turn what broke an answer off into an error; what is no error of the library is logged, without its words."""
    if isinstance(error, EduceError):
        return of_educe_error(error)
    log_defect(error, record)
    return ApiError(500, f"The server failed. Tell its operator the request's id, {record.id}.", code="internal_error")


def _at_fault(error: EduceError, body: ChatRequest | CompletionRequest) -> str:
    """The field that a model's complaint is about."""
    if body.constraint is not None and str(error).startswith(f"The {body.constraint.kind} "):
        return "response_format"
    if str(error).startswith("logit_bias "):
        return "logit_bias"
    return "messages" if isinstance(body, ChatRequest) else "prompt"


async def _pieces(
    asked: Asked, lm: LanguageModel, shapes: Answer, record: Record
) -> AsyncGenerator[dict[str, Any], None]:
    """The events of rows that are drawn."""
    begun: set[int] = set()
    pieces = draw(lm, asked, record.usage)
    try:
        async for piece in pieces:
            opening = shapes.first(piece.row) if piece.row not in begun else None
            begun.add(piece.row)
            if opening is not None:
                yield shapes.piece([opening])
            if piece.text or piece.tokens:
                yield shapes.piece([shapes.delta(piece)])
            if piece.finish is not None:
                yield shapes.piece([shapes.last(piece)])
    finally:
        await pieces.aclose()


def _joined(row: int, pieces: list[Piece]) -> Piece:
    ends = [piece for piece in pieces if piece.finish is not None]
    return Piece(
        row,
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
        ends[-1].finish if ends else "length",
        ends[-1].stopped_at if ends else None,
    )


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + to_json(document) + b"\n\n"


def _count_tokens(lm: LanguageModel, text: str) -> int:
    """Tokens of a text, where the model's tokenizer is at hand; else its bytes, of which a token has at least one."""
    tokenizer = getattr(lm, "tokenizer", None)
    encode = getattr(tokenizer, "encode", None)
    return len(encode(text) if encode is not None else text.encode())


def _base64(vector: torch.Tensor) -> str:
    return base64.b64encode(vector.to(torch.float32).numpy().astype("<f4").tobytes()).decode()
