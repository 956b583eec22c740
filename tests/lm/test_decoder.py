"""The trainable decoder against transformers and against our engine, on the same weights."""

import json
import warnings

import pytest
import torch

from educe.core import DataError
from educe.lm.decoder import Decoder, DecoderConfig, padded_batch

TINY = DecoderConfig(vocabulary=50, layers=2, width=32, heads=4, feed_forward=48, context=64)


def test_equals_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    decoder = Decoder(TINY, seed=3)
    decoder.save(tmp_path, {"eos_token_id": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, torch_dtype=torch.float32).eval()
    tokens = torch.randint(0, 50, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours, wanted = decoder(tokens), theirs(tokens).logits
    assert (ours - wanted).abs().max() < 1e-4


def test_a_saved_decoder_is_read_back_bit_for_bit(tmp_path):
    decoder = Decoder(TINY, seed=3)
    decoder.save(tmp_path, {"eos_token_id": 0})
    again = Decoder.load(tmp_path)
    assert again.config == TINY
    for (name, weight), (other, same) in zip(decoder.named_parameters(), again.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(weight, same)


def test_weights_follow_from_the_seed():
    first, second, other = (Decoder(TINY, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.embedding.weight, second.embedding.weight)
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_padding_changes_nothing():
    decoder = Decoder(TINY).eval()
    rows = [[3, 4, 5, 6, 7], [8, 9]]
    with torch.inference_mode():
        together = decoder(padded_batch(rows))
        for place, row in enumerate(rows):
            alone = decoder(torch.tensor([row]))[0]
            assert (together[place, : len(row)] - alone).abs().max() < 1e-5


def test_the_loss_counts_targets_alone():
    decoder = Decoder(TINY).eval()
    tokens = torch.tensor([[3, 4, 5, 6]])
    targets = torch.tensor([[-100, 5, -100, 7]])
    with torch.inference_mode():
        logprobs = decoder(tokens).log_softmax(-1)[0]
        loss = decoder.loss(tokens, targets)
    assert float(loss) == pytest.approx(-float(logprobs[1, 5] + logprobs[3, 7]), abs=1e-5)


@pytest.mark.parametrize("spoil", ["missing", "text", "grouped"])
def test_an_unsound_folder_is_refused(tmp_path, spoil):
    Decoder(TINY).save(tmp_path, {})
    settings = json.loads((tmp_path / "config.json").read_text())
    if spoil == "missing":
        (tmp_path / "model.safetensors").unlink()
    if spoil == "text":
        (tmp_path / "model.safetensors").write_text("no tensors")
    if spoil == "grouped":
        (tmp_path / "config.json").write_text(json.dumps(settings | {"num_key_value_heads": 2}))
    with pytest.raises(DataError):
        Decoder.load(tmp_path)
