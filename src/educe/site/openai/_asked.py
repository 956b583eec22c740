"""From the body of a request to what a model is asked: prompts, seeds and the law of the draw, within the limits."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from educe.core import Seed
from educe.lm import LanguageModel, Message, Prompt, Sampling
from educe.site.openai._errors import ApiError
from educe.site.openai._schema import ChatRequest, CompletionRequest, Generating
from educe.site.openai.limits import Limits

__all__ = ["Asked", "above", "asked_of", "check_capabilities", "check_common", "check_length", "new_seed"]

JSON_NUMBER_BITS = 53  # a seed that is made here must survive clients that read numbers as doubles


@dataclass(frozen=True)
class Asked:
    """What is drawn for one request.

    Parameters
    ----------
    prompts : list of Prompt
        One for a chat.
    n : int
        Rows of each.
    seed : int or None
        Root of the draws; None draws other rows each time.
    sampling : Sampling or None
        How; None where nothing is drawn and only given text is scored.
    logprobs : bool
        Whether log-probabilities are told.
    echo : bool
        Whether the prompt is part of the text.
    """

    prompts: list[Prompt]
    n: int
    seed: int | None
    sampling: Sampling | None
    logprobs: bool
    echo: bool = False

    def seeds(self) -> list[int]:
        """Seeds of the next prompt's rows: a row depends on the seed and its place, not on how many there are."""
        root = Seed(new_seed() if self.seed is None else self.seed % 2**64)
        return [root.child("row", row).bits() for row in range(self.n)]


def new_seed() -> int:
    """Return a seed for a request that names none."""
    return secrets.randbits(JSON_NUMBER_BITS)


def above(param: str, value: int, limit: int) -> ApiError:
    """The refusal of a number above a limit of this server."""
    return ApiError(
        400, f"{param}={value} is above this server's limit of {limit}. Ask for less.", param=param, code="above_limit"
    )


def check_length(param: str, texts: Sequence[str], limits: Limits) -> None:
    """Refuse texts that are too long together."""
    length = sum(map(len, texts))
    if length > limits.characters:
        raise ApiError(
            400,
            f"'{param}' has {length} characters, above this server's limit of {limits.characters}. Send less.",
            param=param,
            code="above_limit",
        )


def check_common(body: Generating, limits: Limits) -> None:
    """Check what does not depend on whether the answer is drawn or inferred.

    Raises
    ------
    ApiError
        A number is above its limit, or two fields contradict each other.
    """
    if body.stream_options is not None and not body.stream:
        raise _conflict("stream_options", "'stream_options' goes with stream=true only. Leave it out.")
    if (body.n or 1) > limits.n:
        raise above("n", body.n or 1, limits.n)
    if isinstance(body, ChatRequest):
        check_length("messages", [message.text for message in body.messages], limits)
        if body.constraint is not None:
            check_length("response_format", [body.constraint.text], limits)
    elif isinstance(body, CompletionRequest):
        check_length("prompt", body.prompts, limits)
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if len(stops) > limits.stops:
        raise above("stop", len(stops), limits.stops)
    name, tokens = _limit(body)
    if tokens is not None and tokens > limits.tokens:
        raise above(name, tokens, limits.tokens)
    if isinstance(body, ChatRequest):
        if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
            raise _conflict("max_tokens", "'max_tokens' and 'max_completion_tokens' differ. Give one of them.")
        if body.top_logprobs is not None and not body.logprobs:
            raise _conflict("top_logprobs", "'top_logprobs' goes with logprobs=true only. Leave it out, or set that.")
        _check_continuation(body)
    elif isinstance(body, CompletionRequest):
        if len(body.prompts) > limits.texts:
            raise above("prompt", len(body.prompts), limits.texts)
        if body.best_of is not None and body.best_of != (body.n or 1):
            raise _conflict("best_of", "'best_of' is not supported. Leave it out, or use the method best-of-n.")
        if body.echo and body.alternatives:
            raise _conflict("logprobs", "With 'echo', alternatives to the prompt's tokens are not known. Give 0 or 1.")
        if body.max_tokens == 0 and not body.echo:
            raise _conflict("max_tokens", "max_tokens=0 draws nothing. Give a number >= 1, or set echo=true.")


def _limit(body: Generating) -> tuple[str, int | None]:
    return body.limit if isinstance(body, (ChatRequest, CompletionRequest)) else ("max_tokens", None)


def _conflict(param: str, message: str) -> ApiError:
    return ApiError(400, message, param=param, code="invalid_value")


def _check_continuation(body: ChatRequest) -> None:
    """The model goes on with a last message of the assistant; what the two flags say must agree with that."""
    goes_on = body.messages[-1].role == "assistant"
    if body.continue_final_message is not None and body.continue_final_message != goes_on:
        raise _conflict(
            "continue_final_message",
            "'continue_final_message' is true if and only if the last message is the assistant's. Leave it out.",
        )
    if body.add_generation_prompt is not None and body.add_generation_prompt == goes_on:
        raise _conflict(
            "add_generation_prompt",
            "'add_generation_prompt' is false if and only if the last message is the assistant's. Leave it out.",
        )


def asked_of(body: ChatRequest | CompletionRequest, limits: Limits) -> Asked:
    """Read what is to be drawn.

    Raises
    ------
    ApiError
        The rows of the request, taken together, are above the limit.
    """
    n = body.n or 1
    name, tokens = body.limit
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if isinstance(body, ChatRequest):
        prompts: list[Prompt] = [[_message(message.role, message.text) for message in body.messages]]
        tokens = min(limits.default_tokens, limits.tokens) if tokens is None else tokens
        logprobs, echo = bool(body.logprobs), False
    else:
        prompts = list(body.prompts)
        logprobs, echo = body.logprobs is not None, bool(body.echo)
    assert tokens is not None
    drawn = len(prompts) * n * tokens
    if drawn > limits.request_tokens:
        raise ApiError(
            400,
            f"{len(prompts) * n} rows of {tokens} tokens are {drawn} tokens, above this server's limit of "
            f"{limits.request_tokens} in one request. Lower '{name}' or 'n'.",
            param=name,
            code="above_limit",
        )
    sampling = Sampling(
        max_tokens=max(tokens, 1),
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=max(body.top_k or 0, 0),
        min_p=body.min_p or 0.0,
        stop=stops,
        repetition_penalty=1.0 if body.repetition_penalty is None else body.repetition_penalty,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=tuple((int(token), value) for token, value in (body.logit_bias or {}).items()),
        top_logprobs=body.alternatives,
        constraint=body.constraint,
    )
    return Asked(prompts, n, body.seed, sampling if tokens else None, logprobs, echo)


def _message(role: str, text: str) -> Message:
    # Models are trained on "system"; "developer" is OpenAI's later name for it.
    return {"role": "system" if role == "developer" else role, "content": text}


def check_capabilities(body: ChatRequest | CompletionRequest, lm: LanguageModel, name: str) -> None:
    """Refuse what the model cannot give, naming the parameter.

    Raises
    ------
    ApiError
        It lacks something that was asked for.
    """
    wanted = [
        ("repetition_penalty", "repetition_penalty", body.repetition_penalty not in (None, 1)),
        ("presence_penalty", "penalties", bool(body.presence_penalty)),
        ("frequency_penalty", "penalties", bool(body.frequency_penalty)),
        ("logit_bias", "logit_bias", bool(body.logit_bias)),
    ]
    if isinstance(body, ChatRequest):
        wanted += [
            ("messages", "chat", True),
            ("messages", "continuation", body.messages[-1].role == "assistant"),
            ("logprobs", "logprobs", bool(body.logprobs)),
            ("top_logprobs", "top_logprobs", body.alternatives > 0),
            ("response_format", "json_schema", body.constraint is not None),
        ]
    else:
        wanted += [
            ("prompt", "text", True),
            ("logprobs", "logprobs", body.logprobs is not None),
            ("logprobs", "top_logprobs", body.alternatives > 0),
            ("echo", "score", bool(body.echo) and body.logprobs is not None),
        ]
    for param, capability, needed in wanted:
        if needed and capability not in lm.capabilities:
            raise ApiError(
                400,
                f"Model {name!r} lacks {capability!r}, which {param!r} needs. Leave the parameter out, "
                "or choose another model.",
                param=param,
                code="unsupported_by_model",
            )
