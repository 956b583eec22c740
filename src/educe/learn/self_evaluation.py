"""Teach a decoder to judge its own answers by one token, while it goes on learning its tasks.

Each example is a question, an answer that the model drew (whole, or cut at a step or anywhere), the token
``<|check|>``, and `` yes`` or `` no`` by the checker. Batches of the first training run with along, so that the model's
answers stay what they were; how far they do is for the caller to measure. Source: Manvi et al. (2024),
arXiv:2410.02725 (a token that asks, mid-way too); Kadavath et al. (2022), arXiv:2207.05221 (trained on own samples).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tokenizers
import torch

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.learn.decoder_training import Example, examples_in_batches
from educe.learn.rollouts import Rollout
from educe.learn.word_tokenizer import CHECK, LINE_BREAK, token_id
from educe.lm.decoder import IGNORED, Decoder, padded_batch

__all__ = ["train_self_eval"]


def train_self_eval(
    decoder: Decoder,
    tokenizer: tokenizers.Tokenizer,
    rollouts: Sequence[Rollout],
    draw: Callable[[Seed, int], Sequence[Example]],
    *,
    steps: int = 400,
    batch: int = 64,
    replay: int = 16,
    learning_rate: float = 5e-4,
    seed: int | Seed = 0,
    told: Callable[[Mapping[str, Any]], None] | None = None,
) -> list[dict[str, float]]:
    """Train a decoder's self-evaluation in place; `educe.verify.SelfEval` then reads it.

    Parameters
    ----------
    decoder : Decoder
        The model, trained on its tasks.
    tokenizer : tokenizers.Tokenizer
        Its tokenizer, which must know ``<|check|>``, `` yes`` and `` no`` as one token each.
    rollouts : sequence of Rollout
        Its own answers, marked; from the training split.
    draw : callable
        Examples of its tasks, as for `pretrain_decoder`.
    steps : int
        Number of updates, >= 1.
    batch : int
        Judged answers per update.
    replay : int
        Examples of the tasks per update.
    learning_rate : float
        At the beginning; it falls linearly to 0.
    seed : int or Seed
        Root of all draws.
    told : callable, optional
        Given the step and the mean loss of the judgements, every 50 steps.

    Returns
    -------
    list of dict
        The curve: ``step`` and ``loss``.

    Raises
    ------
    UsageError
        There is no answer to learn from, or the tokenizer lacks a token.

    Examples
    --------
    >>> train_self_eval(decoder, tokenizer, roll_out(decoder, tokenizer, problems), draw)  # doctest: +SKIP
    """
    if not rollouts:
        raise UsageError("There is no answer to learn from. Draw some with roll_out.")
    ids = [tokenizer.encode(text).ids for text in (CHECK, " yes", " no")]
    if any(len(tokens) != 1 for tokens in ids):
        raise UsageError(f"The tokenizer cuts {CHECK!r}, ' yes' or ' no' into pieces. Train it with these words.")
    (check,), (yes,), (no,) = ids
    line_break = token_id(tokenizer, LINE_BREAK)
    seed = Seed.of(seed).child("self-eval")
    rng = seed.child("cuts").numpy()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, weight_decay=0.0)
    lessons = examples_in_batches(draw, seed.child("replay"), replay)
    curve: list[dict[str, float]] = []
    total = 0.0
    for step in range(steps):
        rows, replies = [], []
        for number in rng.integers(len(rollouts), size=batch):
            rollout = rollouts[int(number)]
            answer = _cut([*rollout.given, *rollout.drawn], line_break, float(rng.random()), float(rng.random()))
            rows.append([*rollout.prompt, *answer, check])
            replies.append(yes if rollout.right else no)
        tokens = padded_batch(rows)
        targets = torch.full_like(tokens, IGNORED)
        for place, row in enumerate(rows):
            targets[place, len(row) - 1] = replies[place]
        judged = decoder.loss(tokens, targets) / batch
        (judged + _lesson_loss(decoder, *next(lessons))).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
        total += float(judged.detach())
        if (step + 1) % 50 == 0:
            curve.append({"step": step + 1, "loss": total / 50})
            total = 0.0
            if told is not None:
                told(curve[-1])
    return curve


def _lesson_loss(decoder: Decoder, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return decoder.loss(tokens, targets) / int((targets != IGNORED).sum())


def _cut(answer: list[int], line_break: int, kind: float, place: float) -> list[int]:
    """The whole answer, or its beginning up to the end of a step, or up to anywhere."""
    if kind < 0.5:
        return answer
    if kind < 0.75:
        ends = [i for i, token in enumerate(answer) if token == line_break]
        return answer[: ends[int(place * len(ends))]] if ends else answer
    return answer[: int(place * (len(answer) + 1))]
