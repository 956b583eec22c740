"""The API in front of the engine and the default model: the same rows, log-probabilities, scores and vectors."""

from __future__ import annotations

import json
import math
from contextlib import closing

import openai
import pytest

import educe

CHAT = [{"role": "user", "content": "Name one animal that barks."}]
QUESTION = "How many legs do three spiders have?"


@pytest.mark.slow
def test_the_engine_over_the_api_is_the_engine(serve, real_model):
    with closing(educe.load("smollm2-135m")) as lm, serve({"smollm2-135m": lm}) as served:
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="k", timeout=300, max_retries=0) as client:
            options = {"model": "smollm2-135m", "messages": CHAT, "seed": 3, "max_tokens": 12, "logprobs": True}
            whole = client.chat.completions.create(**options, n=3)
            rows = lm.sample_sync(CHAT, n=3, seed=3, max_tokens=12)
            assert [choice.message.content for choice in whole.choices] == [row.text for row in rows]
            for choice, row in zip(whole.choices, rows, strict=True):
                told = choice.logprobs.content
                assert [token.logprob for token in told] == list(row.logprobs)
                assert "".join(token.token for token in told) == row.text
                assert choice.finish_reason == row.finish
            assert whole.usage.completion_tokens == sum(len(row.tokens) for row in rows)
            head, tail = lm.tokenizer.encode_prompt(CHAT)
            assert whole.usage.prompt_tokens == len([*head, *lm.tokenizer.encode(tail)])

            stream = client.chat.completions.create(**options, n=2, stream=True)
            said = ["", ""]
            for event in stream:
                for choice in event.choices:
                    said[choice.index] += choice.delta.content or ""
            assert said == [row.text for row in rows[:2]]

            voted = client.chat.completions.create(
                model="smollm2-135m@self-consistency:n=3,max_tokens=24",
                messages=[{"role": "user", "content": QUESTION}],
                seed=1,
            )
            posterior = educe.ask_sync(QUESTION, lm, "self-consistency:n=3,max_tokens=24", seed=1)
            assert voted.educe["posterior"] == posterior.to_json()["posterior"]
            assert voted.usage.completion_tokens == posterior.ledger.sampled_tokens

            vectors = client.embeddings.create(model="smollm2-135m", input=["a dog", "a cat"])
            local = lm.embed_sync(["a dog", "a cat"]).tolist()
            assert [entry.embedding for entry in vectors.data] == [pytest.approx(row, abs=1e-6) for row in local]
            assert vectors.usage.prompt_tokens == sum(len(lm.tokenizer.encode(text)) for text in ("a dog", "a cat"))

            for refused, param, code in (
                ({"logit_bias": {"999999": 1}}, "logit_bias", "invalid_value"),
                (
                    {"messages": [{"role": "user", "content": "word " * 10_000}]},
                    "messages",
                    "context_length_exceeded",
                ),
            ):
                with pytest.raises(openai.BadRequestError) as failure:
                    client.chat.completions.create(**options | refused)
                assert (failure.value.param, failure.value.code) == (param, code)

        with closing(educe.load(f"openai:{served.url}/v1#smollm2-135m")) as remote:
            (far,) = remote.score_sync("The capital of France is", [" Paris."])
            (near,) = lm.score_sync("The capital of France is", [" Paris."])
            assert far.logprobs == pytest.approx(near.logprobs, abs=1e-4)
            assert far.offsets == near.offsets


CAT = {
    "type": "object",
    "properties": {"name": {"enum": ["cat", "dog"]}, "legs": {"type": "integer", "minimum": 2, "maximum": 8}},
    "required": ["name", "legs"],
    "additionalProperties": False,
}


@pytest.mark.slow
def test_answers_in_a_form_and_the_most_probable_tokens(serve, real_model):
    pytest.importorskip("llguidance")
    with closing(educe.load("smollm2-135m")) as lm, serve({"smollm2-135m": lm}) as served:
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="k", timeout=300, max_retries=0) as client:
            form = {"type": "json_schema", "json_schema": {"name": "animal", "schema": CAT, "strict": True}}
            options = {"model": "smollm2-135m", "messages": CHAT, "seed": 3, "max_tokens": 60}
            formal = client.chat.completions.create(**options, n=2, response_format=form)
            for choice in formal.choices:
                # Whatever the model would have said: what ended is of the form.
                assert choice.finish_reason == "stop"
                said = json.loads(choice.message.content)
                assert set(said) == {"name", "legs"}
                assert said["name"] in ("cat", "dog")
                assert 2 <= said["legs"] <= 8
            stream = client.chat.completions.create(**options, response_format=form, stream=True)
            pieces = [choice.delta.content or "" for event in stream for choice in event.choices]
            assert "".join(pieces) == formal.choices[0].message.content
            wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "animal"}}}
            with pytest.raises(openai.BadRequestError) as failure:
                client.chat.completions.create(**options, response_format=wrong)
            assert failure.value.param == "response_format"

            greedy = {**options, "temperature": 0, "max_tokens": 8, "logprobs": True}
            told = client.chat.completions.create(**greedy, top_logprobs=5).choices[0].logprobs.content
            (row,) = lm.sample_sync(CHAT, n=1, temperature=0, max_tokens=8, top_logprobs=5)
            for token, top in zip(told, row.top_logprobs, strict=True):
                assert [entry.logprob for entry in token.top_logprobs] == [entry.logprob for entry in top]
                assert [bytes(entry.bytes) for entry in token.top_logprobs] == [entry.data for entry in top]
                # At temperature 0 the drawn token is the most probable one.
                assert token.top_logprobs[0].logprob == token.logprob
            text = client.completions.create(model="smollm2-135m", prompt="One, two,", max_tokens=4, logprobs=3, seed=1)
            tops = text.choices[0].logprobs.top_logprobs
            assert [len(top) for top in tops] == [3] * len(text.choices[0].logprobs.tokens)
            assert all(-1e-3 < sum(map(math.exp, top.values())) < 1 + 1e-6 for top in tops)

        with closing(educe.load(f"openai:{served.url}/v1#smollm2-135m")) as remote:
            (far,) = remote.sample_sync(CHAT, n=1, temperature=0, max_tokens=8, top_logprobs=5)
            assert [[entry.data for entry in top] for top in far.top_logprobs] == [
                [entry.data for entry in top] for top in row.top_logprobs
            ]
