"""Whatever is wrong with a request, the answer is a 4xx with an error object that names the field."""

from __future__ import annotations

import json
import math

import httpx
import pytest

from educe.core import UsageError
from educe.lm import Chunk, FakeLM, LanguageModel
from educe.lm.completion import TopLogprob
from educe.site.openai import Limits

MESSAGES = [{"role": "user", "content": "How many legs has a spider?"}]
CHAT = {"model": "fake", "messages": MESSAGES}
TEXT = {"model": "fake", "prompt": "Once"}
EMBED = {"model": "fake", "input": "Once"}
METHOD = {"model": "fake@self-consistency:4", "messages": MESSAGES}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer"}}}

# Each row: what is added to a sound body, and the field that the refusal must name.
CHAT_ROWS = [
    ({"model": None}, "model"),
    ({"model": 7}, "model"),
    ({"model": ""}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hello"}, "messages"),
    ({"messages": [7]}, "messages[0]"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"content": "Hello"}]}, "messages[0].role"),
    ({"messages": [*MESSAGES, {"role": "wizard", "content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": "x" * 200_000}] * 2}, "messages"),
    ({"n": 0}, "n"),
    ({"n": -1}, "n"),
    ({"n": 10**6}, "n"),
    ({"n": 10**30}, "n"),
    ({"n": 1.5}, "n"),
    ({"n": "2"}, "n"),
    ({"n": True}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 10**6}, "max_tokens"),
    ({"max_completion_tokens": 10**6}, "max_completion_tokens"),
    ({"max_completion_tokens": "9"}, "max_completion_tokens"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
    ({"n": 128, "max_tokens": 4096}, "max_tokens"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 1e9}, "temperature"),
    ({"temperature": 1e-300}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"seed": 2**63}, "seed"),
    ({"seed": 0.5}, "seed"),
    ({"stop": ""}, "stop"),
    ({"stop": 7}, "stop"),
    ({"stop": ["a", 7]}, "stop[1]"),
    ({"stop": list("abcdefghijklmnopqrst")}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_use": True}}, "stream_options.include_use"),
    ({"logprobs": 1}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"response_format": SCHEMA}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format.json_schema.name"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"presence_penalty": -1}, "presence_penalty"),
    ({"presence_penalty": 2.1}, "presence_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"repetition_penalty": 1.1}, "repetition_penalty"),
    ({"logit_bias": {"50256": -100}}, "logit_bias"),
    ({"logit_bias": {"hello": 1}}, "logit_bias"),
    ({"logit_bias": {"\u0663": 1}}, "logit_bias"),
    ({"logit_bias": {"5": 101}}, "logit_bias.5"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"store": True}, "store"),
    ({"continue_final_message": True}, "continue_final_message"),
    ({"add_generation_prompt": False}, "add_generation_prompt"),
    ({"temprature": 1}, "temprature"),
    ({"\ud800": 1}, None),
    ({"educe": "self-consistency"}, "educe"),
    ({"educe": {"method": "gredy"}}, "educe.method"),
    ({"educe": {"method": 7}}, "educe.method"),
    ({"educe": {"method": "self-consistency:n=x"}}, "educe.method"),
    ({"educe": {"method": "self-consistency:10000000"}}, "educe.method"),
    ({"educe": {"method": "greedy:max_tokens=999999"}}, "educe.method"),
    ({"educe": {"budget": "samples=0"}}, "educe.budget"),
    ({"educe": {"budget": "sample=4"}}, "educe.budget"),
    ({"educe": {"budget": {"sample": 4}}}, "educe.budget"),
    ({"educe": {"budget": {"samples": 2.5}}}, "educe.budget"),
    ({"educe": {"budget": {"samples": 10**6}}}, "educe.budget"),
    ({"educe": {"budget": {"seconds": "1"}}}, "educe.budget.seconds"),
    ({"educe": {"kind": "colour"}}, "educe.kind"),
    ({"educe": {"kind": "choice"}}, "educe.kind"),
    ({"educe": {"choices": ["a"]}}, "educe.choices"),
    ({"educe": {"choices": ["a", "a"]}}, "educe.choices"),
    ({"educe": {"metod": "greedy"}}, "educe.metod"),
]
METHOD_ROWS = [
    ({"educe": {"method": "greedy"}}, "educe.method"),
    ({"n": 2}, "n"),
    ({"stop": "x"}, "stop"),
    ({"logprobs": True}, "logprobs"),
    ({"presence_penalty": 1}, "presence_penalty"),
    ({"logit_bias": {"1": 1}}, "logit_bias"),
    ({"response_format": SCHEMA}, "response_format"),
    ({"min_p": 0.1}, "min_p"),
    ({"model": "fake@self-consistency:n=4,temperature=0.5", "temperature": 0.7}, "temperature"),
    ({"model": "fake@self-consistency:temperature=0"}, "model"),
    ({"model": "fake@self-consistency:1000000"}, "model"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages"),
    ({"messages": [*MESSAGES, {"role": "assistant", "content": "8"}]}, "messages"),
    ({"messages": [*MESSAGES, *MESSAGES]}, "messages"),
    ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages"),
]
TEXT_ROWS = [
    ({"prompt": None}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [1, 2]}, "prompt"),
    ({"prompt": [[1, 2]]}, "prompt"),
    ({"prompt": ["a", ""]}, "prompt[1]"),
    ({"prompt": ["a"] * 300}, "prompt"),
    ({"prompt": "x" * 300_000}, "prompt"),
    ({"prompt": ["a"] * 200, "max_tokens": 1000}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"logprobs": 2}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"best_of": 4}, "best_of"),
    ({"suffix": "end"}, "suffix"),
    ({"echo": 1}, "echo"),
    ({"messages": MESSAGES}, "messages"),
    ({"prompt": ["a", "b"], "educe": {"method": "greedy"}}, "prompt"),
]
EMBED_ROWS = [
    ({"input": None}, "input"),
    ({"input": ""}, "input"),
    ({"input": [1, 2]}, "input"),
    ({"input": ["a"] * 300}, "input"),
    ({"input": "x" * 300_000}, "input"),
    ({"encoding_format": "hex"}, "encoding_format"),
    ({"dimensions": 8}, "dimensions"),
    ({"dimensions": 0}, "dimensions"),
    ({"model": "fake@greedy"}, "model"),
]
CASES = [
    *(("/v1/chat/completions", CHAT, added, param) for added, param in CHAT_ROWS),
    *(("/v1/chat/completions", METHOD, added, param) for added, param in METHOD_ROWS),
    *(("/v1/completions", TEXT, added, param) for added, param in TEXT_ROWS),
    *(("/v1/embeddings", EMBED, added, param) for added, param in EMBED_ROWS),
]


@pytest.fixture(scope="module")
def http(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


def post(http, path, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post(path, content=data, headers={"content-type": "application/json"})


def refusal(answer, status, param, code=None):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("rate_limit_error" if status == 429 else "invalid_request_error")
    assert error["param"] == param, error
    assert error["code"]
    assert code in (None, error["code"])
    # One sentence on what is wrong, one on what to do.
    assert error["message"].count(". ") + error["message"].count("? ") + error["message"].count("; ") >= 1
    return error


@pytest.mark.slow
@pytest.mark.parametrize(("path", "sound", "added", "param"), CASES)
def test_a_malformed_field_is_named(http, path, sound, added, param):
    body = {name: value for name, value in (sound | added).items() if value is not None}
    refusal(post(http, path, body), 400, param)


@pytest.mark.parametrize(
    "sound", [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT), ("/v1/embeddings", EMBED)]
)
def test_the_sound_bodies_are_sound(http, sound):
    assert post(http, *sound).status_code == 200


def test_neutral_values_of_unsupported_fields_are_taken(http):
    neutral = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "tools": [],
        "tool_choice": "none",
        "modalities": ["text"],
        "response_format": {"type": "text"},
        "store": False,
        "user": "someone",
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "stream_options": None,
        "stop": None,
        "n": None,
        "top_k": -1,
    }
    assert post(http, "/v1/chat/completions", CHAT | neutral).status_code == 200


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"7", b"null", b'"text"', b"\xff\xfe", b"{" * 100_000, b'{"a":' * 50_000, b"1" * 5000],
    ids=lambda data: repr(data[:6]),
)
def test_a_body_that_is_no_json_object(http, data):
    refusal(post(http, "/v1/chat/completions", data), 400, None)


def test_numbers_that_json_does_not_have(http):
    for text in ("NaN", "Infinity", "-Infinity"):
        body = json.dumps(CHAT)[:-1] + f', "temperature": {text}}}'
        refusal(post(http, "/v1/chat/completions", body.encode()), 400, "temperature")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_other_media_types_are_refused(http, kind):
    # A page in a browser may send these to a loopback server without the server's consent.
    answer = http.post("/v1/chat/completions", content=json.dumps(CHAT).encode(), headers={"content-type": kind})
    refusal(answer, 415, None, "not_json")


def test_unknown_models_methods_and_routes(http):
    refusal(post(http, "/v1/chat/completions", CHAT | {"model": "fkae"}), 404, "model", "model_not_found")
    refusal(post(http, "/v1/chat/completions", CHAT | {"model": "fake@gredy"}), 404, "model", "model_not_found")
    # A name is looked up, never loaded: neither files nor other servers can be reached by it.
    for name in ("/etc/passwd", "openai:http://127.0.0.1:9/v1#x", "hf:org/name", "fake:anything", "smollm2-135m"):
        refusal(post(http, "/v1/chat/completions", CHAT | {"model": name}), 404, "model", "model_not_found")
    refusal(http.get("/v1/models/none"), 404, "model", "model_not_found")
    refusal(http.get("/v1/audio/speech"), 404, None, "unknown_url")
    wrong = http.get("/v1/chat/completions")
    refusal(wrong, 405, None, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    refusal(http.delete("/v1/models/fake"), 405, None, "method_not_allowed")


class Bare(FakeLM):
    """A model that has nothing but text."""

    capabilities = frozenset({"text"})


class Chatty(FakeLM):
    """A model that only chats and goes on with nothing."""

    capabilities = frozenset({"chat"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", CHAT | {"model": "bare"}, "messages"),
        ("/v1/completions", TEXT | {"model": "chatty"}, "prompt"),
        ("/v1/completions", TEXT | {"model": "bare", "logprobs": 0}, "logprobs"),
        ("/v1/chat/completions", CHAT | {"model": "chatty", "logprobs": True}, "logprobs"),
        (
            "/v1/chat/completions",
            {"model": "chatty", "messages": [*MESSAGES, {"role": "assistant", "content": "W"}]},
            "messages",
        ),
        ("/v1/embeddings", EMBED | {"model": "bare"}, "model"),
        ("/v1/chat/completions", METHOD | {"model": "chatty@best-of-n:2"}, "model"),
    ],
)
def test_what_a_model_lacks_is_named(serve, path, body, param):
    with serve({"bare": Bare(["x"]), "chatty": Chatty(["x"])}) as served, httpx.Client(base_url=served.url) as http:
        refusal(post(http, path, body), 400, param, "unsupported_by_model")


class Formal(FakeLM):
    """A model that can be held to a form and knows alternatives: it answers with the form itself."""

    capabilities = LanguageModel.all_capabilities

    def __init__(self):
        super().__init__(["free text"])

    async def stream(self, prompt, seeds, sampling):
        if sampling.constraint is not None and "wrong" in sampling.constraint.text:
            raise UsageError(f"The json_schema {sampling.constraint.text!r} cannot be used. Correct it.")
        said = sampling.constraint.text if sampling.constraint else str(sampling.logit_bias)
        top = (TopLogprob(1, b"\xe2", -0.5), TopLogprob(2, b"a", -math.inf), TopLogprob(3, b"b", -9.0))
        told = (top[: sampling.top_logprobs],) if sampling.top_logprobs else ()
        yield Chunk(0, said, (1,), (-1.0,), (-1.0,), (0,), "stop", sampled_tokens=1, top_logprobs=told)


@pytest.fixture
def formal(serve):
    with serve({"formal": Formal()}) as served, httpx.Client(base_url=served.url) as http:
        yield http


def test_a_model_that_can_be_held_to_a_form_is_held_to_it(formal):
    for form, held in (
        ({"type": "json_object"}, {"type": "object"}),
        (SCHEMA, SCHEMA["json_schema"]["schema"]),
    ):
        answer = post(formal, "/v1/chat/completions", CHAT | {"model": "formal", "response_format": form}).json()
        assert json.loads(answer["choices"][0]["message"]["content"]) == held
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "wrong"}}}
    sent = post(formal, "/v1/chat/completions", CHAT | {"model": "formal", "response_format": wrong})
    refusal(sent, 400, "response_format", "invalid_value")
    wrong["json_schema"]["schema"] = {"description": "x" * 300_000}
    sent = post(formal, "/v1/chat/completions", CHAT | {"model": "formal", "response_format": wrong})
    refusal(sent, 400, "response_format", "above_limit")


def test_alternatives_and_bias_reach_a_model_that_knows_them(formal):
    ask = CHAT | {"model": "formal", "logprobs": True, "top_logprobs": 3, "logit_bias": {"7": -100, "3": 1.5}}
    choice = post(formal, "/v1/chat/completions", ask).json()["choices"][0]
    assert choice["message"]["content"] == "((3, 1.5), (7, -100.0))"
    assert choice["logprobs"]["content"][0]["top_logprobs"] == [
        {"token": "\ufffd", "logprob": -0.5, "bytes": [0xE2]},
        {"token": "a", "logprob": -9999.0, "bytes": [97]},
        {"token": "b", "logprob": -9.0, "bytes": [98]},
    ]
    choice = post(formal, "/v1/completions", TEXT | {"model": "formal", "logprobs": 2}).json()["choices"][0]
    assert choice["logprobs"]["top_logprobs"] == [{"\ufffd": -0.5, "a": -9999.0}]
    sent = post(formal, "/v1/completions", TEXT | {"model": "formal", "logprobs": 2, "echo": True})
    refusal(sent, 400, "logprobs", "invalid_value")


def test_limits_are_the_operators(serve):
    with serve(limits=Limits(n=2, tokens=8, stops=1, texts=1)) as served, httpx.Client(base_url=served.url) as http:
        refusal(post(http, "/v1/chat/completions", CHAT | {"n": 3}), 400, "n", "above_limit")
        refusal(post(http, "/v1/chat/completions", CHAT | {"max_tokens": 9}), 400, "max_tokens", "above_limit")
        refusal(post(http, "/v1/chat/completions", CHAT | {"stop": ["a", "b"]}), 400, "stop", "above_limit")
        refusal(post(http, "/v1/embeddings", EMBED | {"input": ["a", "b"]}), 400, "input", "above_limit")
        answer = post(http, "/v1/chat/completions", CHAT | {"n": 2}).json()
        assert [choice["message"]["content"] for choice in answer["choices"]] == ["The answ"] * 2
