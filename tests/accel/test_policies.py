"""Policies inside the engine: drafts change nothing but the number of passes; windows equal a masked full pass."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from educe.accel import PromptLookup, SlidingWindow
from educe.core.errors import UsageError
from educe.lm import Session
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine import Engine, Policies
from educe.lm.engine.policies import AllLayers, AsStored

PROMPT = "the cat sat on the mat and the cat sat on the hat and the cat"


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights, and a tokenizer of bytes."""
    import tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([*alphabet, "<|im_end|>"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=vocabulary["<|im_end|>"],
        bos_token_id=None,
        pad_token_id=None,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def engine(tiny_folder: Path) -> Iterator[object]:
    made: list[Engine] = []

    def make(**policies: object) -> Engine:
        made.append(Engine(tiny_folder, policies=Policies(**policies)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def drawn(engine: Engine, prompt: str, seeds: Sequence[int], sampling: Sampling) -> tuple[list[Completion], int]:
    """Rows, and how many tokens were drafted."""

    async def collect() -> tuple[list[Completion], int]:
        rows: list[list[Chunk]] = [[] for _ in seeds]
        async for chunk in engine.stream(prompt, seeds, sampling):
            rows[chunk.row].append(chunk)
        return [Completion.of_chunks(row) for row in rows], sum(chunk.draft_tokens for row in rows for chunk in row)

    return asyncio.run(collect())


class Oracle:
    """Drafts what the row is going to say, right for a while and then wrong."""

    def __init__(self, text: Sequence[int], right: int) -> None:
        self.text, self.right = list(text), right

    def propose(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        known = self.text[len(tokens) : len(tokens) + self.right]
        return [*known, 1, 1][:most]


def counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    passes: list[int] = []
    original = engine.model.hidden

    def hidden(*arguments: object) -> torch.Tensor:
        passes.append(1)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.model, "hidden", hidden)
    return passes


# --- drafts ---


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("right", [0, 1, 3])
def test_drafts_change_the_number_of_passes_alone(engine, monkeypatch, temperature: float, right: int) -> None:
    sampling = Sampling(max_tokens=40, temperature=temperature)
    plain = engine()
    (expected, *_), drafted = drawn(plain, PROMPT, [5], sampling)
    assert drafted == 0
    policy = Oracle([*plain.tokenizer.encode(PROMPT), *expected.tokens], right)
    drafting = engine(draft=policy)
    passes = counted(drafting, monkeypatch)
    (row,), drafted = drawn(drafting, PROMPT, [5], sampling)
    assert row == expected
    assert drafted > 0
    assert len(passes) <= -(-len(row.tokens) // (1 + right)) + 2


@pytest.mark.slow
def test_lookup_is_lossless_in_a_batch(engine) -> None:
    for sampling in (Sampling(max_tokens=60, temperature=0.3), Sampling(max_tokens=60, temperature=0, stop=("at",))):
        rows, drafted = drawn(engine(draft=PromptLookup(shortest=1)), PROMPT, range(7), sampling)
        assert rows == drawn(engine(), PROMPT, range(7), sampling)[0]
        assert drafted > 0


def test_a_session_counts_drafts(engine) -> None:
    session = Session(engine(draft=PromptLookup(shortest=1)))
    rows = session.sample_sync(PROMPT, n=2, max_tokens=30, temperature=0.3)
    assert session.ledger.draft_tokens > 0
    assert session.ledger.sampled_tokens == sum(len(row.tokens) for row in rows)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 8))
def test_lookup_continues_an_occurrence(tokens: list[int], most: int) -> None:
    policy = PromptLookup(longest=3, shortest=2, draft=5)
    draft = list(policy.propose(tokens, most))
    assert len(draft) <= min(most, 5)
    runs = [size for size in (3, 2) if any(tokens[i : i + size] == tokens[-size:] for i in range(len(tokens) - size))]
    assert bool(draft) == bool(runs)
    if draft:
        size, length = runs[0], len(draft)
        found = [i for i in range(len(tokens) - size) if tokens[i : i + size] == tokens[-size:]]
        assert draft == tokens[found[-1] + size : found[-1] + size + length]


# --- attention ---


def masked_logprobs(folder: Path, tokens: list[int], window: int, sinks: int, full: frozenset[int]) -> torch.Tensor:
    """A plain pass of transformers with a mask of its own for each layer."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    query, key = torch.arange(len(tokens))[:, None], torch.arange(len(tokens))
    for number, layer in enumerate(model.model.layers):
        seen = key <= query
        if number not in full:
            seen = seen & ((key > query - window) | (key < sinks))
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]
        original = layer.self_attn.forward

        def forward(*args: object, original=original, mask=mask, **options: object) -> object:
            return original(*args, **(options | {"attention_mask": mask}))

        layer.self_attn.forward = forward
    with torch.inference_mode():
        logits = model(torch.tensor([tokens])).logits[0]
    return logits[:-1].log_softmax(-1).gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("full", [frozenset(), frozenset({1})])
def test_a_window_equals_a_masked_pass(engine, tiny_folder: Path, full: frozenset[int]) -> None:
    policy = SlidingWindow(window=20, sinks=3, full_layers=full)
    windowed = engine(attention=policy)
    prompt = PROMPT * 5  # three blocks of its own, and rows that share them
    rows, _ = drawn(windowed, prompt, range(9), Sampling(max_tokens=70))
    before = windowed.tokenizer.encode(prompt)
    for row in rows[::4]:
        expected = masked_logprobs(tiny_folder, [*before, *row.tokens], 20, 3, full)[len(before) - 1 :]
        assert float((torch.tensor(row.logprobs) - expected).abs().max()) < 1e-4
    assert rows[3] == drawn(windowed, prompt, [3], Sampling(max_tokens=70))[0][0]
    assert rows != drawn(engine(), prompt, range(9), Sampling(max_tokens=70))[0]
    wide = engine(attention=dataclasses.replace(policy, window=10_000))
    assert drawn(wide, prompt, [1], Sampling(max_tokens=9)) == drawn(engine(), prompt, [1], Sampling(max_tokens=9))


def test_policies_refuse_what_cannot_be_meant() -> None:
    for make in (
        lambda: SlidingWindow(window=0),
        lambda: SlidingWindow(window=3, sinks=-1),
        lambda: PromptLookup(longest=1, shortest=2),
        lambda: PromptLookup(draft=0),
    ):
        with pytest.raises(UsageError):
            make()


# --- exits and weights ---


class ExitAfter(AllLayers):
    """Leave after a layer: all positions, or those with an even place in the step."""

    def __init__(self, layer: int, every: int = 1) -> None:
        self.layer, self.every = layer, every

    def leaves(self, layer: int, states: torch.Tensor) -> torch.Tensor | None:
        return torch.arange(len(states)) % self.every == 0 if layer == self.layer else None


def test_who_leaves_after_the_last_layer_loses_nothing(engine) -> None:
    assert drawn(engine(exit=ExitAfter(2)), PROMPT, [1], Sampling(max_tokens=20)) == drawn(
        engine(), PROMPT, [1], Sampling(max_tokens=20)
    )


def test_who_leaves_early_has_the_state_of_that_layer(engine, tiny_folder: Path) -> None:
    """Against the first layers of transformers; also where only some positions of a step leave."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    model.model.layers = model.model.layers[:2]
    leaving = engine(exit=ExitAfter(1))
    (row,), _ = drawn(leaving, PROMPT, [1], Sampling(max_tokens=20, temperature=0))
    tokens = [*leaving.tokenizer.encode(PROMPT), *row.tokens]
    with torch.inference_mode():
        logits = model(torch.tensor([tokens])).logits[0]
    assert logits[-len(row.tokens) - 1 : -1].argmax(-1).tolist() == list(row.tokens)
    some, _ = drawn(engine(exit=ExitAfter(0, every=2)), PROMPT, [1, 2], Sampling(max_tokens=20))
    assert all(len(row.tokens) > 0 for row in some)


class Doubled(AsStored):
    """A transform that a test can see: it notes the names, and doubles the output matrix."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        self.names.append(name)
        return 2 * weight if name == "output" else weight


def test_weights_are_transformed_before_they_are_packed(engine) -> None:
    """Twice the logits are half the temperature."""
    transform = Doubled()
    doubled, plain = engine(weights=transform), engine()
    assert len(transform.names) == 3 * 4 + 1
    assert "layers.2.gate_up" in transform.names
    warm = Sampling(max_tokens=30, temperature=1.0)
    cool = Sampling(max_tokens=30, temperature=0.5)
    assert [row.tokens for row in drawn(doubled, PROMPT, range(4), warm)[0]] == [
        row.tokens for row in drawn(plain, PROMPT, range(4), cool)[0]
    ]
