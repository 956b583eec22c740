"""Each architecture against `transformers`, on a tiny random model of its kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from educe.core.errors import DataError
from educe.lm.engine import Engine
from educe.lm.engine.policies import FullAttention, LocalLayers

PROMPT = "the cat sat on the mat and the hat"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "pad_token_id": None,
}
CASES = {
    "mistral": {"num_hidden_layers": 2, "sliding_window": 9, "head_dim": 16},
    "qwen2": {"num_hidden_layers": 2},
    "qwen2-window": {"num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    "qwen3": {"num_hidden_layers": 2, "head_dim": 32},
    "gemma3_text": {
        "num_hidden_layers": 3,
        "head_dim": 32,
        "sliding_window": 9,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "query_pre_attn_scalar": 24,
        "final_logit_softcapping": 5.0,
    },
}


def made(case: str, folder: Path, tiny_folder: Path) -> tuple[Path, torch.nn.Module]:
    from transformers import AutoConfig, AutoModelForCausalLM

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_folder / name, folder / name)
    given = json.loads((tiny_folder / "config.json").read_text())
    torch.manual_seed(1)
    config = AutoConfig.for_model(
        case.split("-")[0],
        **SIZES,
        **CASES[case],
        vocab_size=given["vocab_size"],
        eos_token_id=given["eos_token_id"],
    )
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:  # made as zeros or ones, which would hide mistakes
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    return folder, model


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_logprobs_equal_those_of_transformers(case: str, tmp_path: Path, tiny_folder: Path) -> None:
    folder, model = made(case, tmp_path, tiny_folder)
    engine = Engine(folder)
    row = engine.sample_sync(PROMPT, n=3, max_tokens=100, seed=3)[2]
    greedy = engine.sample_sync(PROMPT, max_tokens=24, temperature=0)[0]
    scored = engine.score_sync(PROMPT, [" the bat sat on the hat" * 6])[0]
    before = engine.tokenizer.encode(PROMPT)
    engine.close()
    for completion, given in ((row, before), (greedy, before), (scored, engine.tokenizer.encode(PROMPT))):
        whole = [*given, *completion.tokens]
        with torch.inference_mode():
            logits = model(torch.tensor([whole])).logits[0].float().log_softmax(-1)
        expected = logits[:-1].gather(-1, torch.tensor(whole[1:])[:, None])[len(given) - 1 :, 0]
        assert completion.logprobs is not None
        assert float((torch.tensor(completion.logprobs) - expected).abs().max()) < 2e-4
    place = len(before) - 1
    with torch.inference_mode():
        logits = model(torch.tensor([[*before, *greedy.tokens]])).logits[0]
    assert logits[place:-1].argmax(-1).tolist() == list(greedy.tokens)


@pytest.mark.parametrize(
    "settings",
    [
        {"attn_logit_softcapping": 50.0},
        {"rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}},
        {"hidden_activation": "relu"},
        {"use_bidirectional_attention": True},
    ],
)
def test_what_would_be_computed_otherwise_is_refused(
    settings: dict[str, object], tmp_path: Path, tiny_folder: Path
) -> None:
    folder, _ = made("gemma3_text", tmp_path, tiny_folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(DataError, match="does not support"):
        Engine(folder)


def test_a_window_holds_beside_another_policy() -> None:
    class Even:
        def kind(self, layer: int) -> str | None:
            return "even" if layer == 1 else None

        def visible(self, kind: object, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
            return (queries - keys) % 2 == 0

    policy = LocalLayers(Even(), frozenset({0, 1}), 3)
    queries, keys = torch.tensor([[5]]), torch.arange(6)
    assert policy.visible(policy.kind(0), queries, keys)[0].tolist() == [False] * 3 + [True] * 3
    assert policy.visible(policy.kind(1), queries, keys)[0].tolist() == [False] * 3 + [True, False, True]
    assert LocalLayers(FullAttention(), frozenset({0}), 3).kind(1) is None
