"""Three independent clients against a real server: the official one, litellm, and this library's own."""

from __future__ import annotations

import base64
import math
import struct
import warnings

import httpx
import openai
import pytest

import educe
from educe.core import Seed
from educe.lm import FakeLM

CHAT = [{"role": "user", "content": "How many legs do three spiders and a cat have?"}]
KEYLESS = "not-needed"


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEYLESS, max_retries=0) as made:
        yield made


@pytest.fixture
async def aclient(served):
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=KEYLESS, max_retries=0) as made:
        yield made


def texts(answer):
    return [choice.message.content for choice in answer.choices]


def drawn(lm, prompt, n, seed):
    """What the library draws for a seed, row by row."""
    return [lm.sample_sync(prompt, n=n, seed=Seed(seed), temperature=1.0)[row].text for row in range(n)]


# --- the official client ---------------------------------------------------------------------------------------------


def test_models_are_listed_and_described(client):
    assert [model.id for model in client.models.list()] == ["fake", "coin", "texts"]
    assert client.models.retrieve("fake@self-consistency:16").id == "fake@self-consistency:16"
    with pytest.raises(openai.NotFoundError) as failure:
        client.models.retrieve("fkae")
    assert failure.value.code == "model_not_found"
    assert "did you mean 'fake'" in str(failure.value)


def test_a_chat_is_answered_with_the_librarys_own_rows(client):
    answer = client.chat.completions.create(model="texts", messages=CHAT, n=8, seed=5)
    assert texts(answer) == drawn(educe.load("fake:red apple|green pear|blue plum|grey stone"), CHAT, 8, 5)
    assert [choice.index for choice in answer.choices] == list(range(8))
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    # FakeLM's tokens are bytes and an end token; its prompt is the chat as text.
    assert answer.usage.completion_tokens == sum(len(text) + 1 for text in texts(answer))
    assert answer.usage.prompt_tokens == len(f"user: {CHAT[0]['content']}\nassistant:")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.system_fingerprint.startswith("fp_")


def test_a_rows_sample_depends_on_its_seed_alone(client):
    def ask(**options):
        return texts(client.chat.completions.create(model="texts", messages=CHAT, **options))

    assert ask(n=8, seed=3)[:3] == ask(n=3, seed=3)
    assert ask(n=8, seed=-(2**63)) == ask(n=8, seed=-(2**63))
    # Eight rows of four equally likely texts: other seeds agree by chance with probability 4^-8, here on fixed seeds.
    assert ask(n=8, seed=3) != ask(n=8, seed=4)


def test_without_a_seed_rows_differ_from_call_to_call(client):
    def ask():
        return texts(client.chat.completions.create(model="texts", messages=CHAT, n=64))

    assert ask() != ask()  # false alarm with probability 4^-64


def test_a_stream_says_the_same_as_the_whole_answer(client):
    options = {"model": "texts", "messages": CHAT, "n": 3, "seed": 11, "logprobs": True}
    whole = client.chat.completions.create(**options)
    said, tokens, finish, usages = {}, {}, {}, []
    with client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}) as stream:
        for event in stream:
            usages.append(event.usage)
            for choice in event.choices:
                piece = choice.delta.content or ""
                said[choice.index] = said.get(choice.index, "") + piece
                if choice.logprobs:
                    named = [token.token for token in choice.logprobs.content]
                    assert "".join(named) == piece
                    tokens.setdefault(choice.index, []).extend(choice.logprobs.content)
                finish[choice.index] = choice.finish_reason or finish.get(choice.index)
    assert [said[row] for row in range(3)] == texts(whole)
    assert [tokens[row] for row in range(3)] == [choice.logprobs.content for choice in whole.choices]
    assert finish == dict.fromkeys(range(3), "stop")
    assert usages[:-1] == [None] * (len(usages) - 1)
    assert usages[-1] == whole.usage


async def test_the_asynchronous_client_whole_and_streamed(aclient):
    whole = await aclient.chat.completions.create(model="texts", messages=CHAT, seed=2)
    stream = await aclient.chat.completions.create(model="texts", messages=CHAT, seed=2, stream=True)
    pieces = [choice.delta.content or "" async for event in stream for choice in event.choices]
    assert "".join(pieces) == texts(whole)[0]


def test_the_clients_own_accumulator_takes_the_stream(client):
    options = {"model": "texts", "messages": CHAT, "seed": 2}
    with client.chat.completions.stream(**options) as stream:
        final = stream.get_final_completion()
    assert texts(final) == texts(client.chat.completions.create(**options))


def test_stop_texts_and_token_limits(client):
    def ask(**options):
        return client.chat.completions.create(model="fake", messages=CHAT, seed=0, **options).choices[0]

    assert ask(stop=" is").message.content == "The answer"
    assert ask(stop=["zzz", "answer"]).message.content == "The "
    cut = ask(max_completion_tokens=5)
    assert (cut.message.content, cut.finish_reason) == ("The a", "length")
    assert ask(max_tokens=3).message.content == "The"


def test_logprobs_are_those_of_the_model(client):
    answer = client.chat.completions.create(model="coin", messages=CHAT, n=16, seed=1, logprobs=True)
    law = {"heads": math.log(0.25), "tails": math.log(0.75)}
    for choice in answer.choices:
        first, end = choice.logprobs.content
        assert first.token == choice.message.content
        assert bytes(first.bytes).decode() == first.token
        assert first.logprob == pytest.approx(law[first.token])
        assert (end.token, end.logprob) == ("", 0.0)
    assert set(texts(answer)) == set(law)  # one side alone with probability 0.75^16 = 1%, on a fixed seed


def test_content_parts_and_a_replayed_answer_are_taken(client):
    first = client.chat.completions.create(model="fake@greedy", messages=CHAT, seed=0)
    parts = [{"type": "text", "text": "And "}, {"type": "text", "text": "now?"}]
    history = [*CHAT, first.choices[0].message.model_dump(), {"role": "user", "content": parts}]
    assert client.chat.completions.create(model="fake", messages=history, seed=0).choices[0].message.content


def test_text_completions(client):
    answer = client.completions.create(model="texts", prompt=["a", "b"], n=2, seed=9, max_tokens=30)
    expected = drawn(educe.load("fake:red apple|green pear|blue plum|grey stone"), "a", 2, 9)
    assert [choice.text for choice in answer.choices] == expected * 2
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    # The API's default is 16 tokens.
    assert len(client.completions.create(model="fake", prompt="a", seed=0).choices[0].text) == 16
    stream = client.completions.create(model="texts", prompt=["a", "b"], n=2, seed=9, max_tokens=30, stream=True)
    said = [""] * 4
    for event in stream:
        for choice in event.choices:
            said[choice.index] += choice.text
    assert said == expected * 2


def test_echo_and_scores_of_given_text(client):
    answer = client.completions.create(model="fake", prompt="2+2", max_tokens=0, echo=True, logprobs=1).choices[0]
    assert (answer.text, answer.finish_reason) == ("2+2", "length")
    assert answer.logprobs.tokens == ["2", "+", "2"]
    assert answer.logprobs.token_logprobs == [None, -1.0, -1.0]
    assert answer.logprobs.text_offset == [0, 1, 2]
    both = client.completions.create(model="fake", prompt="2+2", max_tokens=3, echo=True, logprobs=0, seed=0)
    assert both.choices[0].text == "2+2The"
    assert both.choices[0].logprobs.text_offset == [0, 1, 2, 3, 4, 5]
    assert both.usage.prompt_tokens == 3


def test_embeddings_in_both_encodings(client, served):
    vectors = client.embeddings.create(model="fake", input=["ab", "a"])  # the client asks for base64
    body = {"model": "fake", "input": ["ab", "a"], "encoding_format": "float"}
    plain = httpx.post(f"{served.url}/v1/embeddings", json=body).json()
    assert [entry.embedding for entry in vectors.data] == [entry["embedding"] for entry in plain["data"]]
    assert vectors.data[0].embedding[97] == pytest.approx(2**-0.5)
    assert vectors.usage.prompt_tokens == 3
    raw = httpx.post(f"{served.url}/v1/embeddings", json=body | {"encoding_format": "base64"}).json()
    packed = base64.b64decode(raw["data"][1]["embedding"])
    assert struct.unpack(f"<{len(packed) // 4}f", packed)[97] == 1.0


# --- methods ---------------------------------------------------------------------------------------------------------


def test_a_method_in_the_models_name(client):
    answer = client.chat.completions.create(model="fake@self-consistency:16", messages=CHAT, seed=1)
    expected = educe.ask_sync(CHAT[0]["content"], _fake(), "self-consistency:16", seed=1)
    assert answer.choices[0].message.content == str(expected.mode()) == "24"
    told = answer.educe
    assert told["confidence"] == expected.confidence
    assert told["posterior"] == expected.to_json()["posterior"]
    assert (told["ledger"]["samples"], told["ledger"]["calls"]) == (16, 1)
    assert (told["method"], told["lm"], told["seed"]) == ("self-consistency:16", "fake", 1)
    assert answer.usage.completion_tokens == told["ledger"]["sampled_tokens"]
    assert answer.usage.prompt_tokens == told["ledger"]["prompt_tokens"]


def _fake():
    return FakeLM(lambda prompt, seed: "The answer is 24." if seed % 4 else "The answer is 25.")


def test_a_method_in_the_body(client):
    by_name = client.chat.completions.create(model="fake@self-consistency:8", messages=CHAT, seed=4)
    options = {"method": "self-consistency", "budget": "samples=8"}
    by_body = client.chat.completions.create(model="fake", messages=CHAT, seed=4, extra_body={"educe": options})
    assert by_body.educe["posterior"] == by_name.educe["posterior"]
    options["budget"] = {"samples": 8}
    again = client.chat.completions.create(model="fake", messages=CHAT, seed=4, extra_body={"educe": options})
    assert again.educe["posterior"] == by_name.educe["posterior"]


def test_a_methods_temperature_is_the_requests(client):
    answer = client.chat.completions.create(model="fake@self-consistency:2", messages=CHAT, temperature=0.25, seed=0)
    assert answer.choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError) as failure:
        client.chat.completions.create(model="fake@self-consistency:2", messages=CHAT, temperature=0)
    assert failure.value.param == "temperature"


def test_a_budget_ends_a_method_softly(client):
    options = {"method": "self-consistency:64", "budget": {"tokens": 400}}
    answer = client.chat.completions.create(model="fake", messages=CHAT, seed=4, extra_body={"educe": options})
    assert answer.educe["ledger"]["stopped_by"] == "tokens"
    assert answer.choices[0].finish_reason == "length"


def test_without_an_answer_the_content_is_null(client):
    question = [{"role": "user", "content": "How many?"}]
    answer = client.chat.completions.create(model="texts@self-consistency:4", messages=question, seed=0)
    assert answer.choices[0].message.content is None
    assert answer.educe["answer"] is None
    assert answer.educe["posterior"] == []


@pytest.mark.slow
def test_a_stream_with_a_method_tells_of_progress(serve):
    models = {"slow": FakeLM(lambda prompt, seed: "The answer is 24.", delay=0.4, chunk_tokens=9)}
    with serve(models) as served, openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEYLESS) as client:
        stream = client.chat.completions.create(
            model="slow@self-consistency:3", messages=CHAT, stream=True, stream_options={"include_usage": True}
        )
        events = list(stream)
    told = [event.educe for event in events if event.choices and hasattr(event, "educe")]
    assert len(told) >= 2
    assert all("progress" in item for item in told[:-1])
    assert (told[-1]["answer"], told[-1]["confidence"]) == ("24", 1.0)
    assert "".join(choice.delta.content or "" for event in events for choice in event.choices) == "24"
    assert [choice.finish_reason for event in events for choice in event.choices][-1] == "stop"
    assert events[-1].usage.completion_tokens == told[-1]["ledger"]["sampled_tokens"]


def test_earlier_turns_and_the_system_message_reach_the_model(serve):
    lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How many eyes has a cat?"},
        {"role": "assistant", "content": "2"},
        *CHAT,
    ]
    with serve({"fake": lm}) as served, openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEYLESS) as client:
        client.chat.completions.create(model="fake@self-consistency:2", messages=chat)
    assert lm.prompts == [
        f"user: How many eyes has a cat?\nassistant: 2\nuser: {CHAT[0]['content']}\nBe brief.\nassistant:"
    ]


def test_a_method_answers_a_text_completion_too(client):
    answer = client.completions.create(model="fake@self-consistency:8", prompt="How many legs has a spider?", seed=1)
    assert answer.choices[0].text == answer.educe["answer"]


# --- litellm ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def litellm():
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it looks for prices on the internet
        warnings.simplefilter("ignore")
        yield pytest.importorskip("litellm")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_litellm_whole_streamed_and_refused(litellm, served):
    options = {"api_base": f"{served.url}/v1", "api_key": KEYLESS, "messages": CHAT, "seed": 6}
    answer = litellm.completion(model="openai/texts", n=2, logprobs=True, **options)
    assert texts(answer) == drawn(educe.load("fake:red apple|green pear|blue plum|grey stone"), CHAT, 2, 6)
    assert answer.usage.prompt_tokens > 0
    pieces = litellm.completion(model="openai/texts", stream=True, **options)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == texts(answer)[0]
    voted = litellm.completion(model="openai/fake@self-consistency:8", **options)
    assert voted.choices[0].message.content == "24"
    vectors = litellm.embedding(
        model="openai/fake", input=["ab"], api_base=f"{served.url}/v1", api_key=KEYLESS, encoding_format="float"
    )
    assert vectors.data[0]["embedding"][97] == pytest.approx(2**-0.5)
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/none", **options)


# --- this library's own client ---------------------------------------------------------------------------------------


def test_our_own_client_gets_the_same_rows_and_logprobs(served):
    with_served = educe.load(f"openai:{served.url}/v1#coin")
    local = {"heads": math.log(0.25), "tails": math.log(0.75)}
    try:
        for prompt in ("toss", [{"role": "user", "content": "toss"}]):
            rows = with_served.sample_sync(prompt, n=12, seed=3)
            for row in rows:
                assert row.logprob == pytest.approx(local[row.text])
                assert row.logprob_of(0, len(row.text)) == pytest.approx(local[row.text])
                assert (row.finish, row.stopped_at) == ("stop", None)
            assert {row.text for row in rows} == set(local)
        assert {"logprobs", "chat", "text"} <= with_served.capabilities
    finally:
        with_served.close()


def test_our_own_client_scores_embeds_stops_and_goes_on(served):
    lm = educe.load(f"openai:{served.url}/v1#fake")
    try:
        (scored,) = lm.score_sync("2 + 2 =", [" 4"])
        assert (scored.logprobs, scored.offsets) == ((-1.0, -1.0), (0, 1))
        assert lm.embed_sync(["ab"])[0, 97].item() == pytest.approx(2**-0.5)
        (row,) = lm.sample_sync("q", stop=[" is"], seed=1)
        assert (row.text, row.stopped_at) == ("The answer", " is")
        began = [*CHAT, {"role": "assistant", "content": "Well: "}]
        assert lm.sample_sync(began, seed=1)[0].text.startswith("The answer")
    finally:
        lm.close()


def test_a_method_over_our_own_client_and_over_the_server_agree(served):
    lm = educe.load(f"openai:{served.url}/v1#fake")
    try:
        posterior = educe.ask_sync(CHAT[0]["content"], lm, "self-consistency:16", seed=1)
        assert posterior.mode().text == "24"
        assert posterior.ledger.samples == 16
    finally:
        lm.close()


def test_the_server_may_stand_before_another_server(served, serve):
    upstream = {"far": f"openai:{served.url}/v1#texts", "lost": "openai:http://127.0.0.1:9/v1#none"}
    with serve(upstream) as front, openai.OpenAI(base_url=f"{front.url}/v1", api_key="k", max_retries=0) as client:
        answer = client.chat.completions.create(model="far", messages=CHAT, n=3, seed=5)
        assert set(texts(answer)) <= {"red apple", "green pear", "blue plum", "grey stone"}
        assert answer.usage.completion_tokens == sum(len(text) + 1 for text in texts(answer))
        voted = client.chat.completions.create(model="far@self-consistency:4", messages=CHAT, seed=5)
        assert voted.educe["lm"] == "far"
