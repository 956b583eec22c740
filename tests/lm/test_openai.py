"""The OpenAI backend against a real loopback server that does whatever a server may do."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import importlib.util
import json
import logging
import math
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.core.errors import BackendError, CapabilityError, UsageError
from educe.lm import _openai_http
from educe.lm._openai_address import api_key
from educe.lm._openai_http import _wait_asked
from educe.lm._openai_row import top_entries
from educe.lm._sse import Event, EventReader
from educe.lm.completion import Chunk, Completion, Sampling, TopLogprob
from educe.lm.constraint import Constraint
from educe.lm.openai import OpenAIModel, parse_openai


def _neighbour(name: str) -> Any:
    # Tests are imported by path, so a module beside them is too.
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


server = _neighbour("openai_server")
serving, say, in_turn, event = server.serving, server.say, server.in_turn, server.event
chat_chunk, text_chunk, usage = server.chat_chunk, server.text_chunk, server.usage

KEY = "sk-very-secret-0123456789"
CHAT = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDUCE_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@asynccontextmanager
async def model_of(url: str, model: str = "tiny", **options: Any) -> AsyncIterator[OpenAIModel]:
    """A model whose back-off takes no time; the seconds it would have slept are in ``lm.slept``."""
    lm = OpenAIModel(url, model, **options)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    lm.transport.sleep = sleep
    lm.slept = slept  # type: ignore[attr-defined]
    try:
        yield lm
    finally:
        await lm.aclose()


async def one(respond: Callable[..., None], prompt: Any = "Once", **options: Any) -> Completion:
    with serving(respond) as here:
        async with model_of(here.url) as lm:
            return (await lm.sample(prompt, **options))[0]


def fails(status: int, message: str = "no", **headers: str) -> Callable[..., None]:
    return lambda asked, reply: reply.refuse(message, status, **headers)


# Addresses and keys


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("openai:http://h:8000/v1#m", ("http://h:8000/v1", "m")),
        ("openai:https://h/v1/#org/name:tag", ("https://h/v1", "org/name:tag")),
        ("openai:http://[::1]:1/v1", ("http://[::1]:1/v1", "")),
        ("openai:http://h#", ("http://h", "")),
        ("openai:http://h/v1#a#b", ("http://h/v1", "a#b")),
    ],
)
def test_spec_is_split(spec: str, parts: tuple[str, str]) -> None:
    assert parse_openai(spec) == parts


@pytest.mark.parametrize(
    "spec",
    [
        "http://h/v1#m",
        "openai:",
        "openai:#m",
        "openai:h:8000/v1#m",
        "openai:ftp://h/v1#m",
        "openai:http://#m",
        "openai:http://:80/v1",
        "openai:http://h:port/v1#m",
        "openai:http://h:99999/v1#m",
        "openai:http://h /v1#m",
        "openai:http://h/v1\x00#m",
        "openai:http://[::1/v1#m",
        f"openai:http://{KEY}@h/v1#m",
        f"openai:http://u:{KEY}@h/v1#m",
        f"openai:http://h/v1?key={KEY}#m",
    ],
)
def test_malformed_spec_is_refused_without_showing_a_secret(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_openai(spec)
    assert KEY not in str(caught.value)


def test_key_comes_from_the_nearest_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_key(None, "https://h/v1") is None
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert api_key(None, "https://h/v1") == "theirs"
    assert api_key(None, "http://127.0.0.1:1/v1") == "theirs"
    assert api_key(None, "http://h/v1") is None
    monkeypatch.setenv("EDUCE_API_KEY", "ours")
    assert api_key(None, "http://h/v1") == "ours"
    assert api_key("given", "http://h/v1") == "given"


@pytest.mark.parametrize("key", ["with space", "line\nbreak", "schlüssel"])
def test_key_that_cannot_be_sent_is_refused_unseen(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenAIModel("http://127.0.0.1:1/v1", "m", api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"timeout": 0}, {"timeout": math.nan}, {"retries": -1}])
def test_parameters_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        OpenAIModel("http://127.0.0.1:1/v1", "m", **wrong)


async def test_key_is_sent_but_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def respond(asked: Any, reply: Any) -> None:
        said = asked.headers["authorization"]
        reply.refuse(f"bad key {said} " + "x" * 150 + said, 401)

    with serving(respond) as here:
        async with model_of(here.url, api_key=KEY) as lm:
            with pytest.raises(BackendError, match="EDUCE_API_KEY") as caught:
                await lm.sample("Once")
            shown = [str(caught.value), repr(caught.value), repr(lm), repr(lm.transport), lm.fingerprint, caplog.text]
        assert here.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert not [text for text in shown if KEY[:12] in text]


async def test_key_is_taken_out_of_an_error_in_the_stream() -> None:
    def respond(asked: Any, reply: Any) -> None:
        reply.events([{"error": {"message": "x" * 390 + KEY}}])

    with serving(respond) as here:
        async with model_of(here.url, api_key=KEY) as lm:
            with pytest.raises(BackendError) as caught:
                await lm.sample("Once")
    assert KEY[:6] not in str(caught.value)


async def test_redirect_is_not_followed() -> None:
    with serving(say("stolen")) as other:

        def respond(asked: Any, reply: Any) -> None:
            reply.raw(b"", 307, location=f"{other.url}/completions?a=b")

        with serving(respond) as here:
            async with model_of(here.url, api_key=KEY) as lm:
                with pytest.raises(BackendError, match="another address"):
                    await lm.sample("Once")
        assert not other.asked


async def test_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert (await one(say("a"))).text == "a"


# What a row is made of


async def test_text_is_streamed_with_log_probabilities() -> None:
    with serving(say("It", " is", " four")) as here:
        async with model_of(here.url) as lm:
            chunks = [chunk async for chunk in lm.stream("2+2", [2**40 + 5], Sampling(max_tokens=9, stop=("\n",)))]
        (body,) = here.bodies("/v1/completions")
    assert [chunk.text for chunk in chunks] == ["It", " is", " four", ""]
    assert [chunk.sampled_tokens for chunk in chunks] == [1, 1, 1, 1]  # the server counts four: the end token too
    assert (chunks[-1].finish, chunks[-1].prompt_tokens, chunks[-1].cached_tokens) == ("stop", 7, 4)
    row = Completion.of_chunks(chunks)
    assert (row.text, row.tokens, row.offsets, row.logprobs) == ("It is four", (), (0, 2, 5), (-0.5,) * 3)
    assert row.sampling_logprobs == row.logprobs
    assert (await one(say("a", "b"), temperature=0)).sampling_logprobs == (0.0, 0.0)
    assert row.logprob_of(2, 5) == -0.5
    assert {key: body[key] for key in ("model", "prompt", "max_tokens", "temperature", "n", "seed", "stop")} == {
        "model": "tiny", "prompt": "2+2", "max_tokens": 9, "temperature": 1.0, "n": 1, "seed": 5, "stop": ["\n"],
    }  # fmt: skip
    assert body["stream"] is True


async def test_chat_is_streamed_with_log_probabilities() -> None:
    with serving(say("Fo", "ur")) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.sample(CHAT, temperature=0.5)
        (body,) = here.bodies("/v1/chat/completions")
    assert (row.text, row.offsets, row.logprobs, row.sampling_logprobs) == ("Four", (0, 2), (-0.5, -0.5), None)
    assert (body["messages"], body["logprobs"], "top_logprobs" in body) == (CHAT, True, False)


async def test_truncations_are_told_even_when_they_truncate_nothing() -> None:
    with serving(say("a")) as here:
        async with model_of(here.url) as lm:
            await lm.sample("Once")
            await lm.sample("Once", top_k=5, min_p=0.1, top_p=0.9)
    first, second = here.bodies("/v1/completions")
    assert (first["top_k"], first["min_p"], first["top_p"]) == (0, 0.0, 1.0)
    assert (second["top_k"], second["min_p"], second["top_p"]) == (5, 0.1, 0.9)


async def test_beginning_of_an_answer_is_marked_for_continuation() -> None:
    with serving(say("4")) as here:
        async with model_of(here.url) as lm:
            await lm.sample([*CHAT, {"role": "assistant", "content": "It is "}])
        (body,) = here.bodies("/v1/chat/completions")
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize(
    ("told", "stop", "stopped_at"),
    [
        ({"stop_reason": "\n"}, "\n", "\n"),  # vLLM
        ({"stop_reason": None}, "\n", None),
        ({"stop_reason": 151645}, "\n", None),
        ({"matched_stop": "\n"}, "\n", "\n"),  # SGLang
        ({"stopping_word": ""}, "\n", None),  # llama.cpp
        ({}, "\n", ""),
        ({}, (), None),
    ],
)
async def test_a_stop_text_is_told_from_the_models_own_end(told: Any, stop: Any, stopped_at: str | None) -> None:
    def respond(asked: Any, reply: Any) -> None:
        last = text_chunk("", None, "stop")
        last["choices"][0] |= told
        reply.events([text_chunk("a", -0.5), last, usage(3, 2), "[DONE]"])

    with serving(respond) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.sample("Once", stop=stop)
    assert (row.text, row.finish, row.stopped_at) == ("a", "stop", stopped_at)


async def test_server_that_does_not_stream_is_accepted() -> None:
    def text(asked: Any, reply: Any) -> None:
        shape = {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0]}
        choice = {"index": 0, "text": "ab", "logprobs": shape, "finish_reason": "length"}
        reply.json({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})

    def chat(asked: Any, reply: Any) -> None:
        reply.json({"choices": [{"message": {"content": "ab"}, "finish_reason": None}]}, content_language="en")

    row = await one(text)
    assert (row.text, row.logprobs, row.offsets, row.finish) == ("ab", (-1.0, -2.0), (0, 1), "length")
    row = await one(chat, CHAT)
    assert (row.text, row.logprobs, row.finish) == ("ab", None, "stop")


async def test_usage_may_come_with_every_chunk_or_never() -> None:
    def every(asked: Any, reply: Any) -> None:
        chunks = [text_chunk("a") | {"usage": usage(5, 1)["usage"]}, text_chunk("b") | {"usage": usage(5, 3)["usage"]}]
        reply.events([*chunks, text_chunk("", None, "length") | {"usage": usage(5, 4)["usage"]}, "[DONE]"])

    def never(asked: Any, reply: Any) -> None:
        reply.events([text_chunk("a"), text_chunk("b"), text_chunk("", None, "eos"), "[DONE]"])

    for respond, wanted in ((every, (5, 4)), (never, (0, 2))):
        with serving(respond) as here:
            async with model_of(here.url) as lm:
                chunks = [chunk async for chunk in lm.stream("Once", [1], Sampling(max_tokens=9))]
        counted = sum(c.prompt_tokens for c in chunks), sum(c.sampled_tokens for c in chunks)
        assert counted == wanted


@pytest.mark.parametrize(
    ("ending", "finish"),
    [
        ([text_chunk("", None, "stop"), "[DONE]"], "stop"),
        ([text_chunk("", None, "length")], "length"),
        (["[DONE]"], "stop"),
        ([usage(1, 4), "[DONE]"], "length"),
    ],
)
async def test_end_of_a_row_is_understood(ending: list[Any], finish: str) -> None:
    row = await one(lambda asked, reply: reply.events([text_chunk("a"), *ending]), max_tokens=4)
    assert (row.text, row.finish) == ("a", finish)


async def test_thoughts_kept_apart_are_counted_but_are_no_text() -> None:
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}

    def respond(asked: Any, reply: Any) -> None:
        reply.events([thought, thought, chat_chunk("4", -0.5), chat_chunk("", None, "stop"), usage(3, 9), "[DONE]"])

    with serving(respond) as here:
        async with model_of(here.url) as lm:
            chunks = [chunk async for chunk in lm.stream(CHAT, [1], Sampling())]
    row = Completion.of_chunks(chunks)
    assert (row.text, row.logprobs, sum(chunk.sampled_tokens for chunk in chunks)) == ("4", None, 9)


async def test_content_may_come_in_parts() -> None:
    parts = {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "x"}, {"text": "b"}]}}]}
    assert (await one(lambda asked, reply: reply.json(parts), CHAT)).text == "ab"


async def test_offsets_of_tokens_that_split_a_character() -> None:
    smile = "😀".encode()

    def entry(data: bytes) -> dict[str, Any]:
        return {"token": "?", "bytes": list(data), "logprob": -1.0}

    logprobs = {"content": [entry(b"a"), entry(smile[:2]), entry(smile[2:]), entry(b"b")]}

    def chat(asked: Any, reply: Any) -> None:
        reply.events([{"choices": [{"delta": {"content": "a😀b"}, "logprobs": logprobs}]}, "[DONE]"])

    def text(asked: Any, reply: Any) -> None:
        shape = {"tokens": ["a", r"bytes:\xf0\x9f", r"bytes:\x98\x80", "b"], "token_logprobs": [-1.0] * 4}
        reply.events([{"choices": [{"text": "a😀b", "logprobs": shape}]}, "[DONE]"])

    assert (await one(chat, CHAT)).offsets == (0, 1, 1, 2)
    assert (await one(text)).offsets == (0, 1, 1, 2)


async def test_character_written_as_two_escapes_in_two_events() -> None:
    def respond(asked: Any, reply: Any) -> None:
        halves = [rb'data: {"choices": [{"text": "a\ud83d"}]}', rb'data: {"choices": [{"text": "\ude00b"}]}']
        reply.pieces([half + b"\n\n" for half in halves] + [b"data: [DONE]\n\n"])

    assert (await one(respond)).text == "a😀b"
    alone = [rb'data: {"choices": [{"text": "a\ud83d"}]}' + b"\n\n", b"data: [DONE]\n\n"]
    assert (await one(lambda asked, reply: reply.pieces(alone))).text == "a�"


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_stream_cut_anywhere(size: int) -> None:
    words = ["Grüße", " 😀", "\r\n", " 漢字"]
    stream = b": hello\r\n\r\n" + b"".join(
        b"data:" + json.dumps(text_chunk(word, -1.0), ensure_ascii=False).encode() + b"\r\n\r\n" for word in words
    )
    stream += b"event: message\ndata: [DONE]\n\n"
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    row = await one(lambda asked, reply: reply.pieces(pieces))
    assert (row.text, row.offsets) == ("Grüße 😀\r\n 漢字", (0, 5, 7, 9))


# Server-sent events by themselves


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: 1\n\ndata: 2\n\n", ["1", "2"]),
        (b"data:1\r\rdata:2\r\r", ["1", "2"]),
        (b"\xef\xbb\xbfdata: 1\n\n", ["1"]),
        (b"data:  1\n\n", [" 1"]),
        (b"data\n\n", [""]),
        (b"data: {\ndata: }\n\n", ["{\n}"]),
        (b'data: {"a": 1}\ndata: {"a": 2}\ndata: [DONE]\n', ['{"a": 1}', '{"a": 2}', "[DONE]"]),
        (b"data: last", ["last"]),
        (b": ping\n\nid: 3\nretry: 5\nunknown\n\ndata: 1\n\n", ["1"]),
        (b"event: x\n\n", []),
        (b"", []),
    ],
)
def test_events_are_read(stream: bytes, data: list[str]) -> None:
    reader = EventReader()
    assert [found.data for found in reader.feed(stream) + reader.close()] == data


@pytest.mark.slow
@given(st.lists(st.text(max_size=8)), st.sampled_from(["\n", "\r", "\r\n"]), st.data())
@settings(max_examples=150, deadline=None)
def test_events_do_not_depend_on_where_the_stream_is_cut(texts: list[str], end: str, data: st.DataObject) -> None:
    events = [json.dumps({"text": text}, ensure_ascii=data.draw(st.booleans())) for text in texts]
    stream = "".join(f"data: {text}{end}{end}" for text in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = EventReader()
    found = [e for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) for e in reader.feed(stream[a:b])]
    assert found + reader.close() == [Event("message", text) for text in events]


def test_line_without_end_and_bytes_that_are_no_text() -> None:
    reader = EventReader(line_limit=100)
    for _ in range(10):
        assert reader.feed(b"0123456789") == []
    with pytest.raises(BackendError, match="more than 100 bytes"):
        reader.feed(b"0")
    with pytest.raises(BackendError, match="UTF-8"):
        EventReader().feed(b"data: \xff\n")


# Rows beside each other


async def test_rows_are_bounded_and_interleave() -> None:
    with serving(say("a", "b", "c", pause=0.01)) as here:
        async with model_of(here.url, concurrency=3) as lm:
            chunks = [chunk async for chunk in lm.stream("Once", list(range(8)), Sampling())]
        assert here.most_in_flight == 3
        assert sorted(body["seed"] for body in here.bodies("/v1/completions")) == list(range(8))
        assert here.connections == 3  # kept alive: eight rows over three connections
    for row in range(8):
        assert "".join(chunk.text for chunk in chunks if chunk.row == row) == "abc"
    order = [chunk.row for chunk in chunks]
    assert order != sorted(order)


async def test_slow_reader_does_not_starve_its_own_requests() -> None:
    with serving(say(*"abcdefgh")) as here:
        async with model_of(here.url, concurrency=1) as lm:

            async def run() -> int:
                inner = 0
                async for chunk in lm.stream("Once", [1, 2], Sampling()):
                    if chunk.finish is None:
                        inner += len(await lm.sample("Again"))
                return inner

            assert await asyncio.wait_for(run(), 10) == 16


async def test_closing_the_stream_closes_the_connections() -> None:
    with serving(say(*["x"] * 2000, pause=0.005)) as here:
        async with model_of(here.url) as lm:
            stream = lm.stream("Once", [1, 2], Sampling())
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
            assert await asyncio.to_thread(here.cut_off.wait, 5)


async def test_cancelling_a_sample_closes_the_connection() -> None:
    with serving(say(*["x"] * 2000, pause=0.005)) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lm.sample("Once"), 0.1)
            assert await asyncio.to_thread(here.cut_off.wait, 5)


async def test_failing_row_ends_the_others() -> None:
    with serving(in_turn(say(*["x"] * 2000, pause=0.005), fails(400, "too long"))) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(BackendError, match=r"400: too long"):
                await lm.sample("Once", n=2)
            assert await asyncio.to_thread(here.cut_off.wait, 5)


def test_sync_face_and_several_loops_share_one_model() -> None:
    with serving(say("a")) as here:
        lm = OpenAIModel(here.url, "tiny")
        assert lm.sample_sync("Once")[0].text == "a"

        async def elsewhere() -> str:
            # Inside a running loop, as in a notebook.
            text = lm.sample_sync("Once")[0].text + (await lm.sample("Once"))[0].text
            await lm.transport._side().client.aclose()
            return text

        assert asyncio.run(elsewhere()) == "aa"
        assert lm.sample_sync("Once")[0].text == "a"
        lm.close()
        assert lm.sample_sync("Once")[0].text == "a"
        lm.close()


# Retries


async def test_busy_server_is_asked_again_when_it_says() -> None:
    with serving(in_turn(fails(429, Retry_After="2"), say("a"))) as here:
        async with model_of(here.url) as lm:
            assert (await lm.sample("Once"))[0].text == "a"
            assert lm.slept == [2.0]  # type: ignore[attr-defined]


async def test_server_that_fails_three_times() -> None:
    with serving(in_turn(fails(500), fails(503), fails(502), say("a"))) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.sample("Once", seed=3)
            again = lm.slept.copy()  # type: ignore[attr-defined]
        assert row.text == "a"
        assert len(here.asked) == 4
        assert all(0 <= wait <= 0.5 * 2**tries for tries, wait in enumerate(again))
        here.respond = in_turn(fails(500), fails(503), fails(502), say("a"))
        async with model_of(here.url) as lm:
            await lm.sample("Once", seed=3)
            assert lm.slept == again  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
async def test_server_that_fails_for_good(status: int) -> None:
    with serving(fails(status, "out of\nmemory" + "y" * 300)) as here:
        async with model_of(here.url, retries=2) as lm:
            with pytest.raises(BackendError, match=rf"{status}: out of memoryy{{187}}\) \(tried 3 times\)\. \w"):
                await lm.sample("Once")
        assert len(here.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 451])
async def test_refusal_is_final(status: int) -> None:
    with serving(fails(status, "because")) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(BackendError, match=rf"{status}: because"):
                await lm.sample("Once")
        assert len(here.bodies("/v1/completions")) == 1


def test_wait_that_a_server_asks_for() -> None:
    assert _wait_asked("3") == 3
    assert _wait_asked("0.5") == 0.5
    assert _wait_asked("86400") == 60
    assert _wait_asked("-4") == 0
    for nonsense in (None, "soon", "nan", "inf", "Mon, 99 Foo"):
        assert _wait_asked(nonsense) is None
    now = datetime.datetime.now(datetime.UTC)
    soon = email.utils.format_datetime(now + datetime.timedelta(seconds=20), usegmt=True)
    assert 15 < (_wait_asked(soon) or 0) <= 20
    assert _wait_asked(email.utils.format_datetime(now - datetime.timedelta(days=1), usegmt=True)) == 0


async def test_connection_lost_before_any_text_is_tried_again() -> None:
    def drop(asked: Any, reply: Any) -> None:
        reply.handler.close_connection = True

    def drop_after_role(asked: Any, reply: Any) -> None:
        reply.events([text_chunk("")], whole=False)

    def end_early(asked: Any, reply: Any) -> None:
        reply.events([text_chunk("")])

    def nothing(asked: Any, reply: Any) -> None:
        reply.raw(b" ")

    with serving(in_turn(drop, drop_after_role, end_early, nothing, say("a"))) as here:
        async with model_of(here.url) as lm:
            assert (await lm.sample("Once"))[0].text == "a"
        assert len(here.asked) == 5


@pytest.mark.parametrize("whole", [True, False])
async def test_row_that_breaks_off_after_some_text_is_not_drawn_again(whole: bool) -> None:
    with serving(in_turn(lambda asked, reply: reply.events([text_chunk("half")], whole=whole), say("a"))) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(BackendError, match="after 4 characters" if whole else "broke the connection"):
                await lm.sample("Once")
        assert len(here.asked) == 1


async def test_connection_lost_after_the_row_has_ended_loses_nothing() -> None:
    ended = [text_chunk("a"), text_chunk("", None, "stop")]
    assert (await one(lambda asked, reply: reply.events(ended, whole=False))).text == "a"


async def test_error_in_the_middle_of_a_stream() -> None:
    for broken in ({"error": {"message": "out of memory", "code": 500}}, {"error": "out of memory"}):
        with serving(lambda asked, reply, broken=broken: reply.events([text_chunk("a"), broken])) as here:
            async with model_of(here.url) as lm:
                with pytest.raises(BackendError, match="out of memory"):
                    await lm.sample("Once")
            assert len(here.asked) == 1

    def named(asked: Any, reply: Any) -> None:
        reply.pieces([b'event: error\ndata: {"message": "gone"}\n\n'])

    with pytest.raises(BackendError, match="gone"):
        await one(named)
    with pytest.raises(BackendError, match="content_filter"):
        await one(lambda asked, reply: reply.events([text_chunk("a", None, "content_filter")]))


async def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with model_of(f"http://127.0.0.1:{held.getsockname()[1]}/v1", retries=1) as lm:
            with pytest.raises(BackendError, match=r"tried 2 times\)\. Is the server running"):
                await lm.sample("Once")
            assert len(lm.slept) == 1  # type: ignore[attr-defined]


async def test_server_that_says_nothing() -> None:
    with serving(lambda asked, reply: time.sleep(0.5)) as here:
        async with model_of(here.url, timeout=0.1, retries=1) as lm:
            with pytest.raises(BackendError, match=r"sent nothing for 0\.1 s \(tried 2 times\)\. Raise timeout"):
                await lm.sample("Once")


# Answers that are none


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!doctype html><p>Hello", "HTML.*end in /v1"),
        (b"{", "not JSON"),
        (b"Hello there", "no choices"),
        (b"data: Hello\n\n", "not JSON"),
        (b"data: [1]\n\n", "JSON list"),
        (b"[1]", "JSON list"),
        (b"{}", "no choices"),
        (b'{"choices": 3}', "no choices"),
        (b'{"choices": [null]}', "no choices"),
        (b'{"object": "list", "data": []}', "no choices"),
        (b"[" * 100_000, "not JSON"),
        (b'{"error": {"message": "model is loading"}}', "model is loading"),
        (b"data: " + b"x" * (1 << 20) + b"\n\n", "a line of more than"),
    ],
)
async def test_answer_that_is_none(content: bytes, words: str) -> None:
    with pytest.raises(BackendError, match=words):
        await one(lambda asked, reply: reply.raw(content))


@pytest.mark.parametrize(
    "choice",
    [
        {"text": 3},
        {"text": "a", "logprobs": 5},
        {"text": "a", "logprobs": {"content": [None, 3, {"token": None, "bytes": [900], "logprob": "x"}]}},
        {"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": []}},
        {"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [float("nan")]}},
        {"text": "a", "index": None, "finish_reason": 7},
        {"delta": [], "message": None, "text": None},
    ],
)
async def test_odd_choices_do_no_harm(choice: dict[str, Any]) -> None:
    row = await one(lambda asked, reply: reply.events([{"choices": [choice], "usage": [3]}, "[DONE]"]))
    assert row.text in ("", "a")
    assert row.logprobs is None


async def test_empty_answer_for_good() -> None:
    with pytest.raises(BackendError, match=r"empty \(tried 6 times\)"):
        await one(lambda asked, reply: reply.raw(b""))


async def test_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openai_http, "ANSWER_LIMIT", 5000)
    with serving(say(*["x"] * 10_000)) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(BackendError, match="does not end after 5000 bytes"):
                await lm.sample("Once")
            assert await asyncio.to_thread(here.cut_off.wait, 5)


async def test_html_refusal_is_not_quoted() -> None:
    with pytest.raises(BackendError, match=r"\(502\)") as caught:
        await one(lambda asked, reply: reply.raw(b"<html>" * 100_000, 502, "text/html"))
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("prompt", ["", [], [{"role": "boss", "content": "x"}]])
async def test_empty_prompt_is_refused_before_anything_is_sent(prompt: Any) -> None:
    with serving(say("a")) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(UsageError):
                await lm.sample(prompt)
        assert not here.asked


# Servers that know less


def knows_not(*fields: str, status: int = 400) -> Callable[..., None]:
    """A server that refuses these fields one after the other, as strict servers do."""

    def respond(asked: Any, reply: Any) -> None:
        for name in fields:
            if name in asked.body:
                document = {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs"}]}
                reply.json(document, status)
                return
        say("a", logprob=None)(asked, reply)

    return respond


@pytest.mark.parametrize("prompt", ["Once", CHAT])
async def test_neutral_fields_are_dropped_and_the_refusal_is_remembered(prompt: Any) -> None:
    fields = ("logprobs", "seed", "stream_options", "top_k", "min_p")
    with serving(knows_not(*fields, status=422)) as here:
        async with model_of(here.url) as lm:
            rows = await lm.sample(prompt, n=4)
            assert [row.logprobs for row in rows] == [None] * 4
            assert "logprobs" not in lm.capabilities
            asked = len(here.asked)
            await lm.sample(prompt, n=4)
            assert len(here.asked) == asked + 4
            assert not set(fields) & set(here.asked[-1].body)


@pytest.mark.parametrize("law", [{"top_k": 3}, {"min_p": 0.1}, {"temperature": 0.5}, {"top_p": 0.5}])
async def test_field_that_changes_the_law_is_never_dropped(law: dict[str, Any]) -> None:
    (name,) = law
    with serving(knows_not(name)) as here:
        async with model_of(here.url) as lm:
            assert (await lm.sample("Once"))[0].text == "a"
            with pytest.raises(CapabilityError, match=f"refuses {name}="):
                await lm.sample("Once", **law)


async def test_continuation_of_an_answer_is_never_dropped() -> None:
    with serving(knows_not("continue_final_message")) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(CapabilityError, match="continue_final_message"):
                await lm.sample([*CHAT, {"role": "assistant", "content": "It is"}])
            assert "continuation" not in lm.capabilities


async def test_other_name_of_max_tokens() -> None:
    def respond(asked: Any, reply: Any) -> None:
        if "max_tokens" in asked.body:
            reply.refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        else:
            say("a")(asked, reply)

    with serving(respond) as here:
        async with model_of(here.url) as lm:
            await lm.sample(CHAT, max_tokens=3)
            await lm.sample(CHAT, max_tokens=3)
        assert [body.get("max_completion_tokens") for body in here.bodies("/v1/chat/completions")] == [None, 3, 3]


async def test_silence_about_log_probabilities_is_noticed() -> None:
    with serving(say("a", "b", logprob=None)) as here:
        async with model_of(here.url) as lm:
            chunks = [chunk async for chunk in lm.stream("Once", [1], Sampling())]
            assert "logprobs" not in lm.capabilities
    # Also for a row that is cut before its end.
    assert Completion.of_chunks(chunks[:1]).logprobs is None
    with pytest.raises(CapabilityError):
        _ = Completion.of_chunks(chunks).logprob


# The server's models


def models(*names: str) -> Callable[..., None]:
    def respond(asked: Any, reply: Any) -> None:
        if asked.path == "/v1/models":
            reply.json({"object": "list", "data": [{"id": name} for name in names]})
        elif asked.body["model"] in names:
            say("a")(asked, reply)
        else:
            reply.refuse("no such model", 404)

    return respond


async def test_only_model_is_taken() -> None:
    with serving(models("org/only")) as here:
        async with model_of(*parse_openai(f"openai:{here.url}")) as lm:
            assert (await lm.sample("Once"))[0].text == "a"
            assert lm.fingerprint == lm.name == f"openai:{here.url}#org/only"
            await lm.sample("Once")
        assert len([asked for asked in here.asked if asked.path == "/v1/models"]) == 1


async def test_several_models_or_none_are_listed() -> None:
    with serving(models("first", "second")) as here:
        async with model_of(here.url, "") as lm:
            with pytest.raises(UsageError, match=r"2 models \(first, second\)"):
                await lm.sample("Once")
        here.respond = models()
        async with model_of(here.url, "") as lm:
            with pytest.raises(UsageError, match=r"0 models \(none\)"):
                await lm.resolve()


async def test_unknown_model_is_explained_even_with_one_slot() -> None:
    with serving(models("qwen3-8b", "gemma")) as here:
        async with model_of(here.url, "qwen3-8", concurrency=1) as lm:
            with pytest.raises(BackendError, match="did you mean 'qwen3-8b'"):
                await lm.sample("Once")


# Given text


def echo(tokens: list[str], *, first: int = 1, shift: str = "", offsets: bool = False) -> Callable[..., None]:
    """A server that echoes these tokens, the i-th with log-probability -i; it draws at least ``first`` tokens."""

    def respond(asked: Any, reply: Any) -> None:
        body = asked.body
        if body["max_tokens"] < first:
            reply.refuse("max_tokens must be at least 1")
            return
        shown = [shift, *tokens] if shift else list(tokens)
        drawn = ["!"] * body["max_tokens"]
        named = [token if token.isascii() or not offsets else "\ufffd" for token in shown] + drawn
        starts, place = [], 0
        for token in [*tokens, *drawn]:
            starts.append(place)
            place += len(token)
        shape: dict[str, Any] = {"tokens": named, "token_logprobs": [None, *(-float(i) for i in range(1, len(named)))]}
        if offsets:
            shape["text_offset"] = starts
        text = "".join(tokens + drawn)
        assert text.startswith(body["prompt"])
        answer = {"choices": [{"text": text, "logprobs": shape}], "usage": {"prompt_tokens": len(shown)}}
        reply.json(answer)

    return respond


@pytest.mark.parametrize("first", [0, 1])
async def test_score_reads_the_continuation(first: int) -> None:
    with serving(echo(["The", " sum", " is", " 4"], first=first)) as here:
        async with model_of(here.url) as lm:
            for _ in range(2):
                (row,) = await lm.score("The sum", [" is 4"])
        assert len(here.asked) == 2 + first  # what the server needs is remembered
    assert (row.text, row.tokens, row.finish) == (" is 4", (), "given")
    assert (row.logprobs, row.offsets, row.sampling_logprobs) == ((-2.0, -3.0), (0, 3), None)


async def test_score_of_a_token_across_the_border() -> None:
    with serving(echo(["The", " sum is", " 4"])) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.score("The sum", [" is 4"])
    assert (row.logprobs, row.offsets) == ((-1.0, -2.0), (0, 3))


async def test_score_with_a_start_token_that_is_no_text() -> None:
    with serving(echo(["The", " sum", " is"], shift="<s>", first=0)) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.score("The sum", [" is"])
    assert (row.logprobs, row.offsets) == ((-3.0,), (0,))


async def test_score_by_the_servers_offsets_where_tokens_do_not_spell_themselves() -> None:
    with serving(echo(["Ja", " grüß", " dich"], offsets=True, first=0)) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.score("Ja", [" grüß dich"])
    assert (row.logprobs, row.offsets) == ((-1.0, -2.0), (0, 5))


async def test_score_of_bytes() -> None:
    def respond(asked: Any, reply: Any) -> None:
        shape = {"tokens": ["a", r"bytes:\xc3", r"bytes:\xa9", "b"], "token_logprobs": [None, -1.0, -2.0, -3.0]}
        reply.json({"choices": [{"text": "aéb", "logprobs": shape}]})

    with serving(respond) as here:
        async with model_of(here.url) as lm:
            (row,) = await lm.score("a", ["éb"])
    assert (row.logprobs, row.offsets) == ((-1.0, -2.0, -3.0), (0, 0, 1))


async def test_score_without_a_number_for_the_first_token() -> None:
    with serving(echo(["The sum", " is"])) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(CapabilityError, match="longer prompt"):
                await lm.score("The", [" sum is"])


async def test_score_refused() -> None:
    foreign = {"tokens": ["The", "▁sum", "▁is"], "token_logprobs": [None, -1.0, -2.0]}
    cases: list[tuple[Callable[..., None], str]] = [
        (lambda asked, reply: reply.json({"choices": [{"text": "other"}]}), "does not return"),
        (lambda asked, reply: reply.json({"choices": [{"text": "The sum is", "logprobs": foreign}]}), "do not spell"),
        (fails(400, "echo is not supported"), "cannot score"),
        (fails(404, "Not Found"), "cannot score"),
        (fails(501, "not implemented"), "cannot score"),
    ]
    for respond, words in cases:
        with serving(respond) as here:
            async with model_of(here.url) as lm:
                with pytest.raises(CapabilityError, match=words):
                    await lm.score("The sum", [" is"])
                assert "score" not in lm.capabilities
    with serving(fails(400, "the context is too long")) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(BackendError, match="too long"):
                await lm.score("The sum", [" is"])
            assert "score" in lm.capabilities
            with pytest.raises(CapabilityError, match="chat"):
                await lm.score(CHAT, ["x"])
            with pytest.raises(UsageError, match="empty"):
                await lm.score("The sum", [" is", ""])


@pytest.mark.slow
async def test_embeddings_are_in_order_and_of_unit_length() -> None:
    def respond(asked: Any, reply: Any) -> None:
        texts = asked.body["input"]
        data = [{"index": i, "embedding": [3.0 * len(text), 4.0, 0.0]} for i, text in enumerate(texts)]
        reply.json({"data": data[::-1]})

    texts = ["x" * (1 + i % 5) for i in range(150)]
    with serving(respond) as here:
        async with model_of(here.url) as lm:
            vectors = await lm.embed(texts)
        assert len(here.bodies("/v1/embeddings")) == 3
    wanted = torch.tensor([[3.0 * len(text), 4.0, 0.0] for text in texts])
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, wanted / wanted.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"embedding": [1.0]}],
        [{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}],
        [{"embedding": [0.0]}, {"embedding": [1.0]}],
        [{"embedding": [float("nan")]}, {"embedding": [1.0]}],
        [{"embedding": [float("inf")]}, {"embedding": [1.0]}],
        [{"embedding": "AAAA"}, {"embedding": "AAAA"}],
        [{"embedding": 1}, {"embedding": 2}],
        [{}, {}],
        "x",
    ],
)
async def test_embeddings_that_are_none(data: Any) -> None:
    with serving(lambda asked, reply: reply.json({"data": data})) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(BackendError, match="2 vectors"):
                await lm.embed(["a", "b"])


async def test_embeddings_refused() -> None:
    for respond in (fails(501, "start it with --embeddings"), fails(404), fails(400, "does not support Embeddings")):
        with serving(respond) as here:
            async with model_of(here.url) as lm:
                with pytest.raises(CapabilityError, match="cannot embed"):
                    await lm.embed(["a"])
                assert "embed" not in lm.capabilities
                for wrong in ([], [""]):
                    with pytest.raises(UsageError):
                        await lm.embed(wrong)


def test_chunks_say_prompt_tokens_once() -> None:
    chunks: list[Chunk] = []

    async def run() -> None:
        with serving(say("a", "b")) as here:
            async with model_of(here.url) as lm:
                chunks.extend([chunk async for chunk in lm.stream("Once", [1, 2], Sampling())])

    asyncio.run(run())
    assert sum(chunk.prompt_tokens for chunk in chunks) == 14
    assert [chunk.finish for chunk in chunks if chunk.prompt_tokens] == ["stop", "stop"]


# --- penalties, bias, top log-probabilities, constraints ---

TOP = [{"token": "Fo", "bytes": [70, 111], "logprob": -0.5}, {"token": "?", "bytes": [240, 159], "logprob": -0.1}]


async def test_what_the_api_has_words_for_is_sent() -> None:
    schema = {"type": "object"}
    with serving(say("a")) as here:
        async with model_of(here.url) as lm:
            await lm.sample("Once", presence_penalty=0.5, frequency_penalty=-0.5, logit_bias={7: 2.0}, top_logprobs=4)
            await lm.sample(CHAT, top_logprobs=3, constraint=Constraint.json_schema(schema))
            await lm.sample("Once")
    text, plain = here.bodies("/v1/completions")
    assert (text["presence_penalty"], text["frequency_penalty"]) == (0.5, -0.5)
    assert (text["logit_bias"], text["logprobs"]) == ({"7": 2.0}, 4)
    (chat,) = here.bodies("/v1/chat/completions")
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)
    assert chat["response_format"]["json_schema"]["schema"] == schema
    assert not {"presence_penalty", "frequency_penalty", "logit_bias", "top_logprobs", "response_format"} & set(plain)


@pytest.mark.parametrize(
    "law", [{"repetition_penalty": 1.2}, {"constraint": Constraint.regex("a")}, {"constraint": Constraint.grammar("a")}]
)
async def test_what_the_api_has_no_words_for_is_refused(law: dict[str, Any]) -> None:
    with serving(say("a")) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(CapabilityError, match="lacks"):
                await lm.sample("Once", **law)
    assert here.bodies("/v1/completions") == []


@pytest.mark.parametrize("law", [{"presence_penalty": 1.0}, {"logit_bias": {1: 1.0}}, {"top_logprobs": 2}])
async def test_a_refused_law_is_never_dropped(law: dict[str, Any]) -> None:
    name = next(iter(law))
    with serving(knows_not(name)) as here:
        async with model_of(here.url) as lm:
            with pytest.raises(CapabilityError, match=f"refuses {name}="):
                await lm.sample(CHAT, **law)


def test_both_shapes_of_top_logprobs_are_read() -> None:
    chat = {"content": [{"token": "Fo", "logprob": -0.5, "top_logprobs": TOP}]}
    text = {"tokens": ["Fo"], "token_logprobs": [-0.5], "top_logprobs": [{"Fo": -0.5, "bytes:\\xf0\\x9f": -0.1}]}
    expected = [(TopLogprob(None, b"\xf0\x9f", -0.1), TopLogprob(None, b"Fo", -0.5))]
    assert top_entries(chat) == top_entries(text) == expected
    assert top_entries(None) == top_entries({"content": [{"token": "a", "logprob": -1.0}]}) == []
