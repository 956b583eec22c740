"""Training of the two judges on answers whose true rates are known."""

import numpy as np
import pytest
import torch

from educe.core import UsageError
from educe.learn.process_reward import step_ends, train_process_reward
from educe.learn.rollouts import Rollout, question_text, roll_out
from educe.learn.self_evaluation import train_self_eval
from educe.learn.word_tokenizer import CHECK, END, token_id, train_tokenizer
from educe.lm.decoder import Decoder, DecoderConfig, padded_batch
from educe.tasks import make

RATES = {"good": 0.9, "fair": 0.5, "bad": 0.1}


@pytest.fixture
def world(tmp_path):
    """A tokenizer, a fresh decoder, and answers of three sorts that are right at known rates."""
    problem = make("letters", 1, "train")[0]
    prompt = question_text("What?")
    tokenizer = train_tokenizer([prompt + "good\nfair\nbad\n yes no"] * 20, 140, tmp_path)
    sizes = DecoderConfig(tokenizer.get_vocab_size(), layers=1, width=32, heads=2, feed_forward=32)
    decoder = Decoder(sizes, seed=1)
    # A fresh decoder passes its tokens through unmixed, and a frozen one would show the head no more than the last.
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    rng = np.random.default_rng(3)
    rollouts = []
    for number in range(600):
        word = list(RATES)[number % 3]
        text = f"{word}\n{'bad' if rng.random() < 0.5 else 'good'}"
        ids = tokenizer.encode(text).ids
        right = bool(rng.random() < RATES[word])
        rollouts.append(Rollout(problem, tokenizer.encode(prompt).ids, [], ids, text, right))

    def draw(seed, n):
        return [(rollouts[0].prompt, [*rollouts[0].drawn, token_id(tokenizer, END)])] * n

    return tokenizer, decoder, rollouts, draw


def shares(rollouts):
    """The rate of right answers in the data, by first word: what a judge can know at best."""
    return {word: np.mean([rollout.right for rollout in rollouts if rollout.text.startswith(word)]) for word in RATES}


@pytest.mark.slow
def test_self_evaluation_learns_the_rates(world):
    tokenizer, decoder, rollouts, draw = world
    curve = train_self_eval(
        decoder, tokenizer, rollouts, draw, steps=250, batch=48, replay=2, learning_rate=5e-3, seed=1
    )
    assert curve[-1]["loss"] < curve[0]["loss"]
    yes, no, check = (tokenizer.encode(text).ids[0] for text in (" yes", " no", CHECK))
    for word, rate in shares(rollouts).items():
        row = [*rollouts[0].prompt, *tokenizer.encode(f"{word}\ngood").ids, check]
        with torch.inference_mode():
            logits = decoder(torch.tensor([row]))[0, -1]
        assert float((logits[yes] - logits[no]).sigmoid()) == pytest.approx(rate, abs=0.12)


@pytest.mark.slow
def test_the_head_learns_the_rates_at_every_step(world):
    tokenizer, decoder, rollouts, _ = world
    before = [weight.clone() for weight in decoder.parameters()]
    head = train_process_reward(decoder, tokenizer, rollouts, further=0, epochs=30, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(before, decoder.parameters(), strict=True))
    for word, rate in shares(rollouts).items():
        prompt, line = rollouts[0].prompt, tokenizer.encode(word).ids
        with torch.inference_mode():
            score = head(decoder.hidden(padded_batch([[*prompt, *line]]))[0, -1])
        assert float(score) == pytest.approx(rate, abs=0.12)


def test_further_rollouts_join_the_label(world, monkeypatch):
    """With every further roll-out right and the answers themselves wrong, a step's label is 2/3, and the last one's 0."""
    tokenizer, decoder, rollouts, _ = world
    wrong = [Rollout(r.problem, r.prompt, [], r.drawn, r.text, False) for r in rollouts[:60]]

    def always_right(decoder, tokenizer, problems, *, given, seed):
        return [Rollout(p, [], list(g), [], "", True) for p, g in zip(problems, given, strict=True)]

    monkeypatch.setattr("educe.learn.process_reward.roll_out", always_right)
    head = train_process_reward(decoder, tokenizer, wrong, further=2, epochs=150, seed=1)
    row = [*wrong[0].prompt, *wrong[0].drawn]
    with torch.inference_mode():
        scores = head(decoder.hidden(torch.tensor([row]))[0])
    ends = [len(wrong[0].prompt) + end for end in step_ends(wrong[0].drawn, token_id(tokenizer, "\u010a"))]
    assert float(scores[ends[0]]) == pytest.approx(2 / 3, abs=0.1)
    assert float(scores[ends[1]]) < 0.1


def test_steps_end_before_line_breaks_and_at_the_end():
    assert step_ends([], 0) == []
    assert step_ends([5], 0) == [0]
    assert step_ends([5, 0], 0) == [0]
    assert step_ends([0, 5, 0, 0, 6, 7], 0) == [1, 5]


def test_roll_outs_go_on_from_what_is_given_and_are_marked(world):
    tokenizer, decoder, _, _ = world
    problems = make("letters", 2, "train")
    given = [tokenizer.encode(problem.solution).ids for problem in problems]
    drawn = roll_out(decoder, tokenizer, problems, given=given, max_tokens=1, temperature=0, seed=3)
    for rollout, problem in zip(drawn, problems, strict=True):
        assert rollout.problem is problem
        assert rollout.text.startswith(tokenizer.decode(given[0])[:3])
        assert rollout.right == problem.check(rollout.text)


def test_nothing_to_learn_from_is_refused(world):
    tokenizer, decoder, _, draw = world
    with pytest.raises(UsageError, match="no answer"):
        train_self_eval(decoder, tokenizer, [], draw)
    with pytest.raises(UsageError, match="no step"):
        train_process_reward(decoder, tokenizer, [])
