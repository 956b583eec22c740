"""Operations against a count by hand, and the sizes of our own engine against its file."""

import pytest
import torch

from educe.core import CapabilityError, UsageError
from educe.lm import FakeLM, ModelSize, flops, model_size
from educe.lm.engine.weights import LayerWeights, ModelConfig, Weights


def by_hand(size, prompt, generated, samples, shared):
    total = 0
    for sample in range(samples):
        start = prompt if shared and sample else 0
        for position in range(start, prompt + generated):
            total += 2 * size.parameters + 4 * size.layers * size.width * (position + 1)
    return total


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("prompt", "generated", "samples"), [(0, 5, 2), (7, 0, 3), (7, 5, 1), (7, 5, 4), (7, 5, 0)])
def test_operations_are_those_counted_token_by_token(prompt, generated, samples, shared):
    size = ModelSize(1000, 3, 16)
    expected = by_hand(size, prompt, generated, samples, shared)
    assert flops(size, prompt, generated, samples=samples, shared_prefix=shared) == pytest.approx(expected)


def test_an_engine_tells_its_sizes():
    config = ModelConfig(2, 8, 2, 1, 4, 16, 32, 1e-5, 1e4)
    layer = LayerWeights(
        torch.zeros(8), torch.zeros(16, 8), torch.zeros(8, 8), torch.zeros(8), torch.zeros(32, 8), torch.zeros(8, 16)
    )
    embedding = torch.zeros(10, 8)
    holder = type("Model", (), {"weights": Weights(config, embedding, (layer, layer), torch.zeros(8), embedding)})()
    lm = type("Engine", (), {"model": holder, "name": "toy"})()
    assert model_size(lm) == ModelSize(2 * (128 + 64 + 256 + 128) + 80, 2, 8)


def test_bad_requests_are_refused():
    with pytest.raises(CapabilityError, match="does not tell its sizes"):
        flops(FakeLM(["a"]), 1, 1)
    with pytest.raises(UsageError, match="-1 prompt tokens"):
        flops(ModelSize(10), -1, 1)
    for bad in ((0,), (1, -1), (1, 1, -1)):
        with pytest.raises(UsageError):
            ModelSize(*bad)
