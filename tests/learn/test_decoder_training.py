"""Pretraining: batches by number, the same weights after a kill, a loss that falls to what is possible."""

import math

import pytest
import torch

from educe.core import Seed, UsageError
from educe.learn.decoder_training import Pretraining, examples_in_batches, pretrain_decoder
from educe.lm.decoder import Decoder, DecoderConfig

TINY = DecoderConfig(vocabulary=24, layers=1, width=16, heads=2, feed_forward=16)


def draw(seed, n):
    """Count on from a number, then say at random one of two tokens: ln 2 of the loss cannot be learned."""
    rng = seed.numpy()
    return [([a] * (1 + a % 3), [a + 1, a + 2, 20 + int(rng.integers(2))]) for a in rng.integers(0, 10, n).tolist()]


class Killed(Exception):
    pass


def test_thirty_steps_after_a_kill_are_the_same_thirty_steps(tmp_path):
    settings = Pretraining(steps=30, batch=4, warmup=5, checkpoint_every=7)
    whole, again, killed = (Decoder(TINY, seed=1) for _ in range(3))
    curve = pretrain_decoder(whole, draw, settings, seed=5)
    pretrain_decoder(again, draw, settings, seed=5)

    seen = []

    def killing(seed, n):
        # The second shard of 16 batches is drawn after step 16: the run dies there, two steps past a checkpoint.
        seen.append(seed)
        if len(seen) == 2:
            raise Killed
        return draw(seed, n)

    with pytest.raises(Killed):
        pretrain_decoder(killed, killing, settings, seed=5, folder=tmp_path)
    fresh = Decoder(TINY, seed=99)  # whatever it holds, the checkpoint replaces it
    resumed = pretrain_decoder(fresh, draw, settings, seed=5, folder=tmp_path)
    assert resumed[-1]["step"] == curve[-1]["step"] == 30
    for a, b, c in zip(whole.parameters(), again.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_another_seed_gives_other_weights():
    settings = Pretraining(steps=3, batch=4, warmup=1)
    first, second = Decoder(TINY), Decoder(TINY)
    pretrain_decoder(first, draw, settings, seed=1)
    pretrain_decoder(second, draw, settings, seed=2)
    assert not torch.equal(first.embedding.weight, second.embedding.weight)


def test_a_batch_depends_on_its_number_alone():
    def batches(first):
        source = examples_in_batches(draw, Seed(3), 4, first)
        return [next(source) for _ in range(40 - first)]

    everything = batches(0)
    for first in (1, 15, 16, 17, 33):
        for (tokens, targets), (same, equal) in zip(everything[first:], batches(first), strict=True):
            assert torch.equal(tokens, same)
            assert torch.equal(targets, equal)


def test_targets_are_the_solutions_one_place_early():
    tokens, targets = next(examples_in_batches(lambda seed, n: [([7, 8], [9, 10])] * n, Seed(0), 2))
    assert tokens.tolist() == [[7, 8, 9, 10]] * 2
    assert targets.tolist() == [[-100, 9, 10, -100]] * 2


@pytest.mark.slow
def test_the_loss_falls_to_the_entropy_of_the_data():
    decoder = Decoder(TINY)
    curve = pretrain_decoder(decoder, draw, Pretraining(steps=400, batch=16, warmup=20, learning_rate=1e-2))
    # Two of three tokens are certain, the third is one of two: (0 + 0 + ln 2) / 3 per token.
    assert math.log(2) / 3 - 0.01 < curve[-1]["loss"] < math.log(2) / 3 + 0.05


def test_the_rate_rises_then_falls():
    settings = Pretraining(steps=100, warmup=10, learning_rate=1.0, floor=0.1)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert settings.rate(100) == pytest.approx(0.1)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    pretrain_decoder(Decoder(TINY), draw, Pretraining(steps=5, batch=2, warmup=1, checkpoint_every=2), folder=tmp_path)
    with pytest.raises(UsageError, match="another run"):
        pretrain_decoder(
            Decoder(TINY), draw, Pretraining(steps=6, batch=2, warmup=1, checkpoint_every=2), folder=tmp_path
        )


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 0}, {"learning_rate": 0}, {"floor": 2}, {"clip": 0}, {"checkpoint_every": 0}]
)
def test_bad_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Pretraining(**wrong)
