"""A method chosen by model name or body field: from a request to question, strategy and budget, and to the answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from educe.core import Budget, EduceError, Ledger, Posterior, UsageError, nearest
from educe.lm import Chunk, LanguageModel, Session
from educe.reason import Answer, Question, Strategy, ask, make_method, methods, result_json
from educe.reason.asking import DEFAULT_METHOD
from educe.site.openai._answers import Answer as Shapes
from educe.site.openai._asked import above, new_seed
from educe.site.openai._errors import ApiError, of_educe_error
from educe.site.openai._rows import Piece, Usage
from educe.site.openai._schema import ChatRequest, CompletionRequest, MethodOptions
from educe.site.openai._schema import Message as SentMessage
from educe.site.openai.limits import Limits
from educe.site.openai.pool import ModelPool

__all__ = ["Inference", "inference_of", "split_model"]

PROGRESS_SECONDS = 0.25  # between two events of a stream
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "max_tokens")


def split_model(name: str, pool: ModelPool) -> tuple[str, str | None]:
    """Split ``model@method:options``.

    Parameters
    ----------
    name : str
        As the client wrote it.
    pool : ModelPool
        Knows the models.

    Returns
    -------
    model : str
        A served one.
    method : str or None
        The method's text, None where there is none.

    Raises
    ------
    ApiError
        404: the model is not served.

    Examples
    --------
    >>> split_model("tiny@self-consistency:16", ModelPool({"tiny": "fake:4"}))
    ('tiny', 'self-consistency:16')
    """
    base, at, method = name.partition("@")
    try:
        pool.check(base)
    except UsageError as error:
        raise ApiError(404, str(error), param="model", code="model_not_found") from None
    return base, method if at else None


@dataclass(frozen=True)
class Inference:
    """A question to be answered by a method.

    Parameters
    ----------
    question : Question
        What is asked.
    spec : str
        The method's text.
    strategy : Strategy
        The method.
    budget : Budget
        Its limits.
    seed : int
        Root of all draws.
    param : str
        The field that chose the method, for messages.
    """

    question: Question
    spec: str
    strategy: Strategy
    budget: Budget
    seed: int
    param: str

    @property
    def method(self) -> str:
        """The method's name without options."""
        return self.spec.partition(":")[0]

    def check(self, lm: LanguageModel) -> None:
        """Refuse a model that lacks what the method needs."""
        try:
            lm.require(*self.strategy.requires)
        except EduceError as error:
            raise of_educe_error(error, self.param) from None

    async def answer(self, lm: LanguageModel, usage: Usage) -> Posterior[Answer]:
        """Answer the question."""
        posterior = await ask(self.question, Session(lm, self.budget, self.seed), self.strategy)
        _count(usage, posterior.ledger)
        return posterior

    async def events(self, lm: LanguageModel, shapes: Shapes, usage: Usage) -> AsyncGenerator[dict[str, Any], None]:
        """Answer the question and tell of progress: events without text but with a field ``educe``, then the answer."""
        begun = asyncio.Event()
        finished, ledger = 0, Ledger()

        def on_chunk(chunk: Chunk, spent: Ledger) -> None:
            nonlocal finished, ledger
            finished, ledger = finished + (chunk.finish is not None), spent
            begun.set()

        session = Session(lm, self.budget, self.seed, on_chunk=on_chunk)
        work = asyncio.create_task(ask(self.question, session, self.strategy))
        first = asyncio.create_task(begun.wait())
        try:
            # Nothing is sent before the model speaks, so that a failure until then has a status of its own.
            await asyncio.wait({work, first}, return_when=asyncio.FIRST_COMPLETED)
            if not (work.done() and work.exception()):
                opening = shapes.first(0)
                if opening is not None:
                    yield shapes.piece([opening])
            told: Ledger | None = None
            while not work.done():
                if ledger is not told:
                    told = ledger
                    progress = {"finished": finished, "ledger": ledger.to_json()}
                    yield shapes.piece([shapes.last(Piece(0))], educe={"progress": progress})
                await asyncio.wait({work}, timeout=PROGRESS_SECONDS)
            posterior = work.result()
        finally:
            for task in (work, first):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(work, first, return_exceptions=True)
        _count(usage, posterior.ledger)
        piece, told_last = self.piece(posterior), self.told(posterior, shapes.model)
        if piece.text:
            yield shapes.piece([shapes.delta(Piece(0, piece.text))])
        yield shapes.piece([shapes.last(piece)], educe=told_last)

    def piece(self, posterior: Posterior[Answer]) -> Piece:
        """The most probable answer; empty where none could be read, cut short where the budget ended the method."""
        text = str(posterior.mode()) if posterior.confidence else ""
        return Piece(0, text, finish="length" if posterior.ledger.stopped_by else "stop")

    def told(self, posterior: Posterior[Answer], model: str) -> dict[str, Any]:
        """The field ``educe`` of the answer: what `educe ask --json` prints, without the question."""
        base = model.partition("@")[0]
        shown = result_json(self.question, posterior, method=self.spec, lm=base, seed=self.seed)
        return {name: value for name, value in shown.items() if name != "question"}


def _count(usage: Usage, ledger: Ledger) -> None:
    usage.prompt, usage.cached, usage.sampled = ledger.prompt_tokens, ledger.cached_tokens, ledger.sampled_tokens
    usage.rows = ledger.samples


def inference_of(body: ChatRequest | CompletionRequest, named: str | None, limits: Limits) -> Inference | None:
    """Read which method a request asks for.

    Parameters
    ----------
    body : ChatRequest or CompletionRequest
        The request.
    named : str or None
        The method in its model name.
    limits : Limits
        What it may ask for.

    Returns
    -------
    Inference or None
        None for a request that just draws.

    Raises
    ------
    ApiError
        The method, a budget or the question is malformed or above a limit.
    """
    options = body.educe or MethodOptions()
    if named is None and body.educe is None:
        return None
    if named is not None and options.method is not None:
        raise _invalid("educe.method", "The method stands in the model's name and in 'educe' as well. Name it once.")
    spec = named if named is not None else options.method or DEFAULT_METHOD
    param = "model" if named is not None else "educe.method"
    asked = _budget(options.budget, limits)
    name = spec.partition(":")[0]
    if name not in methods():
        raise ApiError(
            404 if named is not None else 400,
            f"Method {name[:100]!r} is unknown; {nearest(name[:100], methods())}",
            param=param,
            code="model_not_found" if named is not None else "invalid_value",
        )
    try:
        strategy = make_method(spec, asked)
    except UsageError as error:
        raise of_educe_error(error, param) from None
    strategy = _sampling(strategy, spec, body)
    _refuse_row_fields(body, name)
    for field, limit in (("n", limits.n), ("max_tokens", limits.tokens)):
        if getattr(strategy, field, 0) > limit:
            raise ApiError(
                400,
                f"Method {spec[:100]!r} has {field}={getattr(strategy, field)}, above this server's limit of {limit}. "
                "Ask for less.",
                param=param,
                code="above_limit",
            )
    budget = asked if asked.tokens is not None else replace(asked, tokens=limits.request_tokens)
    seed = new_seed() if body.seed is None else body.seed % 2**64
    return Inference(_question(body, options), spec, strategy, budget, seed, param)


def _invalid(param: str, message: str) -> ApiError:
    return ApiError(400, message, param=param, code="invalid_value")


def _budget(given: str | dict[str, int | float] | None, limits: Limits) -> Budget:
    try:
        if isinstance(given, dict):
            unknown = sorted(set(given) - {field.name for field in dataclasses.fields(Budget)})
            if unknown:
                raise UsageError(
                    f"Budget name {unknown[0][:100]!r} is unknown. Known: samples, tokens, calls, seconds."
                )
            budget = Budget(**given)  # type: ignore[arg-type]  # Budget checks its own types
        else:
            budget = Budget.parse(given or "")
    except UsageError as error:
        raise of_educe_error(error, "educe.budget") from None
    for name, limit in (("samples", limits.n), ("tokens", limits.request_tokens)):
        value = getattr(budget, name)
        if value is not None and value > limit:
            raise above("educe.budget", value, limit)
    return budget


def _sampling(strategy: Strategy, spec: str, body: ChatRequest | CompletionRequest) -> Strategy:
    """Give the method what the request says about sampling; what it has no place for is refused."""
    name = spec.partition(":")[0]
    spelt = {part.partition("=")[0].strip() for part in spec.partition(":")[2].split(",")}
    fields = {field.name for field in dataclasses.fields(strategy)}
    given = {field: getattr(body, field) for field in SAMPLING if getattr(body, field) is not None}
    if isinstance(body, ChatRequest) and body.max_completion_tokens is not None:
        given["max_tokens"] = body.max_completion_tokens
    for field, value in given.items():
        if field not in fields:
            raise ApiError(
                400, f"Method {name!r} has no {field}. Leave it out.", param=field, code="unsupported_parameter"
            )
        if field in spelt:
            raise _invalid(field, f"'{field}' stands in the method's text and in the request as well. Give it once.")
        try:
            strategy = replace(strategy, **{field: value})
        except UsageError as error:
            raise of_educe_error(error, field) from None
    return strategy


def _refuse_row_fields(body: ChatRequest | CompletionRequest, name: str) -> None:
    """A method answers once; fields that speak of single rows have no meaning for it."""
    for field, neutral in (
        ("n", (None, 1)),
        ("stop", (None,)),
        ("logprobs", (None, False)),
        ("echo", (None, False)),
        ("continue_final_message", (None, False)),
        ("frequency_penalty", (None, 0)),
        ("presence_penalty", (None, 0)),
        ("repetition_penalty", (None, 1)),
        ("logit_bias", (None, {})),
    ):
        if getattr(body, field, None) not in neutral:
            raise ApiError(
                400,
                f"'{field}' speaks of single rows, and method {name!r} gives one answer. Leave it out.",
                param=field,
                code="unsupported_parameter",
            )
    if body.constraint is not None:
        raise ApiError(
            400,
            f"Method {name!r} answers in text. Leave 'response_format' out.",
            param="response_format",
            code="unsupported_parameter",
        )


def _question(body: ChatRequest | CompletionRequest, options: MethodOptions) -> Question:
    """The question of a request: the last user's message; earlier turns are shown before it."""
    param = "messages" if isinstance(body, ChatRequest) else "prompt"
    examples: tuple[tuple[str, str], ...] | None = None
    instruction = options.instruction
    if isinstance(body, ChatRequest):
        system = [message.text for message in body.messages if message.role in ("system", "developer")]
        turns = [message for message in body.messages if message.role not in ("system", "developer")]
        text, examples = _turns(turns)
        if system:
            instruction = "\n".join([*system, *([instruction] if instruction else [])])
    elif len(body.prompts) > 1:
        raise _invalid("prompt", "A method answers one question at a time. Send one prompt.")
    else:
        text = body.prompts[0]
    try:
        return Question(text, options.kind, tuple(options.choices or ()), examples, instruction)
    except UsageError as error:
        message = str(error)
        at_fault = "educe.kind" if message.lower().startswith(("answer kind", "kind")) else param
        at_fault = "educe.choices" if "choice" in message.partition(".")[0].lower() and options.choices else at_fault
        raise of_educe_error(error, at_fault) from None


def _turns(turns: list[SentMessage]) -> tuple[str, tuple[tuple[str, str], ...] | None]:
    """Split a chat into the question and the turns before it, which stand in for the kind's own examples."""
    roles = [message.role for message in turns]
    if roles != [*["user", "assistant"] * (len(turns) // 2), "user"]:
        raise _invalid(
            "messages",
            "A method answers a question: the last message of role user, after turns of user and assistant in "
            "alternation. Send such a chat.",
        )
    *earlier, question = [message.text for message in turns]
    return question, tuple(zip(earlier[::2], earlier[1::2], strict=True)) or None
