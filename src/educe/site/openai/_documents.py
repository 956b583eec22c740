"""The shapes of successful answers, for the OpenAPI description alone; answers are built in `_answers`.

Only what clients may rely on is described. Further fields may stand beside it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

__all__ = ["ChatCompletion", "Embeddings", "ModelList", "ServedModel", "TextCompletion"]


class CachedTokens(BaseModel):
    """What of a prompt was not computed anew."""

    cached_tokens: int


class TokenUsage(BaseModel):
    """What an answer cost."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class AnswerProbability(BaseModel):
    """One answer of a posterior."""

    answer: str
    probability: float = Field(ge=0, le=1)


class Inferred(BaseModel):
    """What a method concluded, and what it cost."""

    answer: str | None = Field(description="The most probable answer; null where none could be read.")
    confidence: float = Field(ge=0, le=1, description="Its probability.")
    posterior: list[AnswerProbability] = Field(description="All answers, the most probable first.")
    ledger: dict[str, Any] = Field(description="Calls, samples, tokens, seconds, and the limit that ended the method.")
    seed: int
    method: str
    lm: str


class AssistantMessage(BaseModel):
    """The answer to a chat."""

    role: Literal["assistant"]
    content: str | None


class ChatChoice(BaseModel):
    """One row."""

    index: int
    message: AssistantMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]
    stop_reason: str | None = Field(description="The stop text that ended the row.")


class TextChoice(BaseModel):
    """One row."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]
    stop_reason: str | None = Field(description="The stop text that ended the row.")


class Completion(BaseModel):
    """What all completions have."""

    id: str
    created: int
    model: str
    system_fingerprint: str | None
    usage: TokenUsage
    educe: Inferred | None = Field(default=None, description="Where a method was asked for.")


class ChatCompletion(Completion):
    """An answer of /v1/chat/completions."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class TextCompletion(Completion):
    """An answer of /v1/completions."""

    object: Literal["text_completion"]
    choices: list[TextChoice]


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class EmbeddingUsage(BaseModel):
    """What vectors cost."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """An answer of /v1/embeddings."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class ModelMethods(BaseModel):
    """What may follow the @ in a model's name."""

    methods: list[str]


class ServedModel(BaseModel):
    """A served model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    educe: ModelMethods


class ModelList(BaseModel):
    """An answer of /v1/models."""

    object: Literal["list"]
    data: list[ServedModel]
