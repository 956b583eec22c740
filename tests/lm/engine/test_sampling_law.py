"""Penalties, bias, top log-probabilities and constraints, against transformers' processors and independent readers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from educe.core.errors import CapabilityError, UsageError
from educe.lm import Constraint, FakeLM, Sampling
from educe.lm.engine import Engine
from educe.lm.engine.policies import Policies
from educe.lm.engine.sampling import adjusted, draw, most_probable

PROMPT = "the cat sat on"


def random_logits(rows: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * 3


# --- the law ---


@given(st.lists(st.integers(0, 49), min_size=1, max_size=40), st.floats(0.2, 3), st.integers(0, 99))
def test_repetition_penalty_is_that_of_transformers(seen: list[int], penalty: float, seed: int) -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = random_logits(1, 50, seed)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([seen]), logits.clone())
    cut = seed % len(seen)
    got = adjusted(logits, Sampling(repetition_penalty=penalty), [seen[:cut]], [seen[cut:]])
    assert torch.allclose(got, expected)


@given(st.lists(st.integers(0, 9), max_size=30), st.floats(-2, 2), st.floats(-2, 2))
def test_presence_and_frequency_follow_their_formula(drawn: list[int], presence: float, frequency: float) -> None:
    logits = random_logits(1, 12, 1)
    sampling = Sampling(presence_penalty=presence, frequency_penalty=frequency)
    got = adjusted(logits, sampling, [[1, 2, 11]], [drawn])[0]
    for token in range(12):
        count = drawn.count(token)
        assert float(got[token]) == pytest.approx(
            float(logits[0, token]) - count * frequency - (count > 0) * presence, abs=1e-5
        )


def test_bias_is_that_of_transformers() -> None:
    from transformers import SequenceBiasLogitsProcessor

    logits, bias = random_logits(3, 20, 2), {4: -100.0, 7: 2.5, 19: 100.0}
    expected = SequenceBiasLogitsProcessor({(token,): value for token, value in bias.items()})(
        torch.zeros(3, 1, dtype=torch.int64), logits.clone()
    )
    got = adjusted(logits, Sampling(logit_bias=tuple(bias.items())), [[0]] * 3, [[]] * 3)
    assert torch.allclose(got, expected)


def test_draws_follow_the_adjusted_law_and_logprobs_the_model() -> None:
    """Over evenly spaced uniform numbers each token comes out as often as its probability says."""
    logits = random_logits(1, 6, 3)
    law = adjusted(logits, Sampling(logit_bias=((0, 1.5), (3, -100.0))), [[]], [[]])
    rows = 4000
    drawn = draw(logits.expand(rows, -1), range(rows), [0] * rows, Sampling(), law.expand(rows, -1))
    share = torch.bincount(drawn.tokens, minlength=6) / rows
    # Five standard deviations of a share over 4,000 draws: six shares fail by chance with probability 4e-6 of one in six.
    assert float((share - law.softmax(-1)[0]).abs().max()) < 5.5 * 0.5 / rows**0.5
    assert share[3] == 0
    assert torch.allclose(drawn.logprobs, logits.log_softmax(-1)[0, drawn.tokens], atol=1e-5)
    assert torch.allclose(drawn.sampling_logprobs, law.log_softmax(-1)[0, drawn.tokens], atol=1e-5)


def test_most_probable_tokens_equal_a_plain_sort() -> None:
    logits = random_logits(4, 700, 4)
    tokens, values = most_probable(logits, 5)
    expected = logits.log_softmax(-1).sort(descending=True)
    assert torch.equal(tokens, expected.indices[:, :5])
    assert torch.allclose(values, expected.values[:, :5], atol=1e-5)
    assert torch.equal(most_probable(logits[2:3], 5)[1], values[2:3])


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 0.0},
        {"presence_penalty": 2.5},
        {"frequency_penalty": -3.0},
        {"logit_bias": ((-1, 1.0),)},
        {"logit_bias": ((1, 101.0),)},
        {"top_logprobs": 21},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Sampling(**options)  # type: ignore[arg-type]


# --- the engine ---


def test_penalised_greedy_rows_equal_those_of_transformers(tiny: Engine, tiny_reference: SimpleNamespace) -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    row = tiny.sample_sync(PROMPT, max_tokens=40, temperature=0, repetition_penalty=1.7)[0]
    plain = tiny.sample_sync(PROMPT, max_tokens=40, temperature=0)[0]
    assert row.tokens != plain.tokens
    before = tiny.tokenizer.encode(PROMPT)
    whole = [*before, *row.tokens]
    with torch.inference_mode():
        logits = tiny_reference.model(torch.tensor([whole])).logits[0]
    processor = RepetitionPenaltyLogitsProcessor(1.7)
    for place, token in enumerate(row.tokens, len(before)):
        assert int(processor(torch.tensor([whole[:place]]), logits[place - 1 : place].clone()).argmax()) == token
        assert row.logprobs is not None
        expected = logits[place - 1].log_softmax(-1)[token]
        assert row.logprobs[place - len(before)] == pytest.approx(float(expected), abs=1e-4)


LAWS = [
    {"presence_penalty": 1.0, "frequency_penalty": 0.5},
    {"repetition_penalty": 1.3, "top_p": 0.9},
    {"logit_bias": {5: -100.0, 7: 3.0}},
    {"top_logprobs": 4},
    {"constraint": Constraint.regex("[a-z ]{20,40}")},
]


@pytest.mark.parametrize("options", LAWS, ids=lambda options: next(iter(options)))
def test_rows_under_a_law_do_not_depend_on_their_neighbours(tiny: Engine, options: dict[str, object]) -> None:
    together = tiny.sample_sync(PROMPT, n=5, max_tokens=30, seed=7, **options)
    assert tiny.sample_sync(PROMPT, n=1, max_tokens=30, seed=7, **options)[0] == together[0]
    assert len({row.tokens for row in together}) == 5


def test_a_forbidden_token_is_never_drawn(tiny: Engine) -> None:
    ends = dict.fromkeys(tiny.tokenizer.stop, -100.0)
    rows = tiny.sample_sync(PROMPT, n=8, max_tokens=60, seed=1, logit_bias=ends)
    assert {row.finish for row in rows} == {"length"}


def test_top_logprobs_tell_the_best_tokens_of_each_place(tiny: Engine, tiny_reference: SimpleNamespace) -> None:
    row = tiny.sample_sync(PROMPT, max_tokens=20, seed=3, top_logprobs=3, stop="zzz")[0]
    before = tiny.tokenizer.encode(PROMPT)
    with torch.inference_mode():
        logits = tiny_reference.model(torch.tensor([[*before, *row.tokens]])).logits[0].log_softmax(-1)
    assert len(row.top_logprobs) == len(row.tokens)
    for place, top in enumerate(row.top_logprobs, len(before) - 1):
        values, tokens = logits[place].topk(3)
        assert [entry.token for entry in top] == tokens.tolist()
        assert [entry.logprob for entry in top] == pytest.approx(values.tolist(), abs=1e-4)
        assert all(entry.data == tiny.tokenizer.spelling(entry.token) for entry in top if entry.token is not None)
    assert tiny.sample_sync(PROMPT, max_tokens=5)[0].top_logprobs == ()


class Eager:
    """Drafts what nobody would draw."""

    def propose(self, tokens: list[int], most: int) -> list[int]:
        return [3] * most


@pytest.mark.parametrize("options", LAWS[-2:], ids=lambda options: next(iter(options)))
def test_drafts_change_nothing(tiny: Engine, tiny_folder: Path, options: dict[str, object]) -> None:
    drafting = Engine(tiny_folder, policies=Policies(draft=Eager()))
    expected = tiny.sample_sync(PROMPT, n=3, max_tokens=24, seed=2, **options)
    assert drafting.sample_sync(PROMPT, n=3, max_tokens=24, seed=2, **options) == expected
    drafting.close()


# --- constraints ---


def test_a_regular_expression_holds(tiny: Engine) -> None:
    pattern = "(yes|no), [0-9]{1,3} (cats?|hats?)"
    rows = tiny.sample_sync(PROMPT, n=12, max_tokens=60, seed=4, constraint=Constraint.regex(pattern))
    assert len({row.text for row in rows}) > 6
    for row in rows:
        assert row.finish == "stop"
        assert re.fullmatch(pattern, row.text)
        assert row.tokens[-1] in tiny.tokenizer.stop


def test_json_of_a_schema_holds(tiny: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["cat", "é"]}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    for row in tiny.sample_sync(PROMPT, n=8, max_tokens=120, seed=5, constraint=Constraint.json_schema(schema)):
        if row.finish == "stop":
            found = json.loads(row.text)
            assert set(found) == {"name", "age"}
            assert found["name"] in {"cat", "é"}
            assert 0 <= found["age"] <= 120
    assert row.finish in {"stop", "length"}


def test_a_grammar_holds_where_no_regular_expression_could(tiny: Engine) -> None:
    grammar = Constraint.grammar('start: "(" start ")" | "x"')
    rows = tiny.sample_sync(PROMPT, n=8, max_tokens=60, seed=6, constraint=grammar, logit_bias={5: 0.5})
    for row in rows:
        if row.finish == "stop":
            depth = row.text.count("(")
            assert row.text == "(" * depth + "x" + ")" * depth
    assert {row.finish for row in rows} & {"stop"}


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint.regex("(unclosed"),
        Constraint.grammar("start: missing"),
        Constraint.json_schema({"type": "no such type"}),
    ],
)
def test_an_unsound_constraint_is_refused_before_any_work(tiny: Engine, constraint: Constraint) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        tiny.sample_sync(PROMPT, constraint=constraint)
    assert len(tiny.sample_sync(PROMPT, max_tokens=2)) == 1


def test_a_bias_beyond_the_vocabulary_is_refused(tiny: Engine) -> None:
    with pytest.raises(UsageError, match="names token 99999"):
        tiny.sample_sync(PROMPT, logit_bias={99999: 1.0})


@pytest.mark.parametrize("text", ["", "[1, 2]", "{"])
def test_no_schema_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Constraint.json_schema(text)


def test_a_model_without_the_capability_refuses() -> None:
    lm = FakeLM(["4"])
    with pytest.raises(CapabilityError, match="lacks penalties, regex"):
        lm.sample_sync("2 + 2", presence_penalty=1.0, constraint=Constraint.regex("4"))
    with pytest.raises(CapabilityError, match="top_logprobs"):
        lm.session().sample_sync("2 + 2", top_logprobs=2)
