"""The bodies of requests: which fields there are, of which types, and which are refused as nothing stands behind them.

Types are strict and unknown fields are refused, so that a misspelt or unsupported parameter is never silently ignored.
Fields that OpenAI's API has and this server does not are accepted at the value that changes nothing. What depends on
the server's limits or on the model is checked later.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from educe.lm import Constraint

__all__ = ["ChatRequest", "CompletionRequest", "EmbeddingRequest", "Generating", "MethodOptions"]

WORD = 64
LEAST_TEMPERATURE = 1e-4
LONGEST_TEXT = 1 << 30  # far above any limit of a body
SAFE_SEED = 2**63


class _Strict(BaseModel):
    # A length is named because only texts that have one are checked for half characters, which no model can read.
    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), str_max_length=LONGEST_TEXT
    )


def _refuse_tokens(value: Any) -> Any:
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, (int, list)) and not isinstance(first, bool):
        raise PydanticCustomError("unsupported_value", "token ids are not accepted; send text")
    return value


def _neutral(*allowed: Any) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value is not None and not any(value == fine and type(value) in _kin(fine) for fine in allowed):
            raise PydanticCustomError("unsupported_parameter", "this server does not support it; leave it out")
        return value

    return BeforeValidator(check)


def _token_ids(value: dict[str, float]) -> dict[str, float]:
    if not all(name.isascii() and name.isdigit() and len(name) < 10 for name in value):
        raise PydanticCustomError("invalid_value", "its keys are no token ids")
    return value


def _no_tiny(value: float) -> float:
    # Logits divided by less leave the range of float32.
    if 0 < value < LEAST_TEMPERATURE:
        raise PydanticCustomError("invalid_value", "it is neither 0 nor at least 0.0001")
    return value


def _kin(value: Any) -> tuple[type, ...]:
    return (int, float) if type(value) in (int, float) else (type(value),)


Penalty = Annotated[float, Field(ge=-2, le=2)] | None
Nothing = Annotated[Any, _neutral([], {}, "", False)]
Choice = Annotated[Any, _neutral("none", "auto")]
Words = Annotated[str, Field(max_length=512)] | None
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[Text | Annotated[list[Text], Field(min_length=1)], BeforeValidator(_refuse_tokens)]


class StreamOptions(_Strict):
    """What a stream tells beside the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class MethodOptions(_Strict):
    """How the answer is to be inferred, instead of drawn once."""

    method: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="A method and its options, for instance self-consistency:n=16,temperature=0.7."
    )
    budget: str | dict[str, int | float] | None = Field(
        default=None, description="Limits: samples, tokens, calls, seconds, usd; an object, or text such as samples=16."
    )
    kind: str | None = Field(default=None, description="Kind of answer: number, choice, boolean, expression, text.")
    choices: Annotated[list[str], Field(max_length=26)] | None = Field(
        default=None, description="Options to pick from."
    )
    instruction: str | None = Field(default=None, description="How to answer, put after the question.")


class Generating(_Strict):
    """Fields that chat and text completions share."""

    model: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="A served model, or model@method:options."
    )
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Texts | None = None
    seed: Annotated[int, Field(ge=-SAFE_SEED, lt=SAFE_SEED)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100), AfterValidator(_no_tiny)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31)] | None = Field(default=None, description="0 and -1 keep all.")
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    educe: MethodOptions | None = None
    frequency_penalty: Penalty = None
    presence_penalty: Penalty = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = Field(default=None, description="As in vLLM.")
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], AfterValidator(_token_ids)] | None = None
    user: Words = None


class ContentPart(_Strict):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One message of a chat."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[ContentPart], Field(min_length=1)]
    name: Words = Field(default=None, description="Accepted, and not shown to the model.")

    @model_validator(mode="after")
    def _no_content_but_text(self) -> Self:
        # Clients send back earlier answers whole, with all the fields that are empty there.
        for name, value in (self.model_extra or {}).items():
            if value and name not in ("annotations", "educe"):
                raise PydanticCustomError("unsupported_parameter", "field {name} is not supported", {"name": name[:99]})
        return self

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class JsonSchema(_Strict):
    """The schema that an answer is to obey."""

    name: Annotated[str, Field(min_length=1, max_length=WORD)]
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(_Strict):
    """The form that an answer is to have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_asked(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError("invalid_value", "'json_schema' goes with type 'json_schema', and with no other")
        return self

    @property
    def constraint(self) -> Constraint | None:
        """What the text is held to."""
        if self.type == "text":
            return None
        schema = self.json_schema.schema_ if self.json_schema is not None else None
        return Constraint.json_schema({"type": "object"} if schema is None else schema)


class ChatRequest(Generating):
    """A request to /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=4096)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    continue_final_message: bool | None = Field(
        default=None,
        description="True where the last message is a beginning of the answer, which the model goes on with.",
    )
    add_generation_prompt: bool | None = None
    tools: Nothing = None
    functions: Nothing = None
    tool_choice: Choice = None
    function_call: Choice = None
    parallel_tool_calls: bool | None = None
    modalities: Annotated[Any, _neutral(["text"])] = None
    audio: Nothing = None
    prediction: Nothing = None
    web_search_options: Nothing = None
    reasoning_effort: Choice = None
    verbosity: Annotated[Any, _neutral("medium")] = None
    store: Nothing = None
    metadata: dict[str, str] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: Words = None
    prompt_cache_key: Words = None

    @property
    def alternatives(self) -> int:
        """How many of the most probable tokens are to be told at each place."""
        return self.top_logprobs or 0

    @property
    def constraint(self) -> Constraint | None:
        """What the text is held to."""
        return self.response_format.constraint if self.response_format is not None else None

    @property
    def limit(self) -> tuple[str, int | None]:
        """The name under which a limit of tokens was given, and the limit."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens


class CompletionRequest(Generating):
    """A request to /v1/completions."""

    prompt: Texts
    max_tokens: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="16 when left out; 0 only with echo."
    )
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: int | None = Field(default=None, description="Accepted where it equals n.")
    suffix: Nothing = None

    @property
    def alternatives(self) -> int:
        """How many of the most probable tokens are to be told at each place.

        One is what clients ask for who want the log-probabilities of the drawn tokens, also from models that know no
        alternatives.
        """
        return self.logprobs if self.logprobs is not None and self.logprobs > 1 else 0

    @property
    def constraint(self) -> Constraint | None:
        """What the text is held to: nothing."""
        return None

    @property
    def prompts(self) -> list[str]:
        """The prompts as a list."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def limit(self) -> tuple[str, int | None]:
        """The name under which a limit of tokens was given, and the limit."""
        return "max_tokens", 16 if self.max_tokens is None else self.max_tokens


class EmbeddingRequest(_Strict):
    """A request to /v1/embeddings."""

    model: Annotated[str, Field(min_length=1, max_length=1024)]
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Accepted where it is the model's own."
    )
    user: Words = None

    @property
    def texts(self) -> list[str]:
        """The texts as a list."""
        return [self.input] if isinstance(self.input, str) else self.input
