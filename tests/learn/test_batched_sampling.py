"""Batched sampling against a plain loop over one prompt, and against the exact law of a tiny decoder."""

import pytest
import torch

from educe.core import UsageError
from educe.learn.batched_sampling import sample_batch
from educe.lm.decoder import Decoder, DecoderConfig

TINY = DecoderConfig(vocabulary=12, layers=2, width=16, heads=2, feed_forward=24, context=40)
PROMPTS = [[1], [2, 3, 4, 5, 6], [7, 8], [1, 2, 3]]


@pytest.fixture
def decoder():
    model = Decoder(TINY, seed=4)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def one_by_one(decoder, prompt, end, most):
    row = list(prompt)
    with torch.inference_mode():
        while len(row) < len(prompt) + most:
            row.append(int(decoder(torch.tensor([row]))[0, -1].argmax()))
            if row[-1] == end:
                break
    return row[len(prompt) :]


@pytest.mark.parametrize("end", [99, 0, 5])
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_greedy_rows_are_those_of_a_plain_loop(decoder, end, rows):
    drawn = sample_batch(decoder, PROMPTS, end=end, max_tokens=9, temperature=0, rows_at_once=rows)
    assert drawn == [one_by_one(decoder, prompt, end, 9) for prompt in PROMPTS]


def test_samples_follow_the_law(decoder):
    # 20000 draws; a chi-square of 11 degrees exceeds 60 with probability 1e-8.
    n = 20000
    drawn = sample_batch(decoder, [[3, 1, 4]] * n, end=99, max_tokens=1, temperature=0.7, seed=1, rows_at_once=5000)
    counts = torch.bincount(torch.tensor(drawn)[:, 0], minlength=12).double()
    with torch.inference_mode():
        expected = n * (decoder(torch.tensor([[3, 1, 4]]))[0, -1].double() / 0.7).softmax(-1)
    assert float(((counts - expected) ** 2 / expected.clamp_min(1e-9)).sum()) < 60


def test_the_same_seed_gives_the_same_rows(decoder):
    first, again, other = (sample_batch(decoder, PROMPTS, end=0, max_tokens=9, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_what_does_not_fit_the_context_is_refused(decoder):
    with pytest.raises(UsageError, match="exceed the context"):
        sample_batch(decoder, PROMPTS, end=0, max_tokens=40)
