"""Train a head that tells, at the end of each step, how probable a right final answer is; the decoder stays frozen.

Labels are Monte-Carlo: the share of right answers among the answer that the step was taken from and further roll-outs
drawn from that step. Source: Wang et al. (2024), arXiv:2312.08935, "soft estimation".
"""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
import torch
from torch.nn import functional

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.learn.rollouts import Rollout, roll_out
from educe.learn.word_tokenizer import LINE_BREAK, token_id
from educe.lm.decoder import Decoder, padded_batch
from educe.verify.process_reward import StepHead

__all__ = ["step_ends", "train_process_reward"]

ROWS_AT_ONCE = 128


def step_ends(answer: Sequence[int], line_break: int) -> list[int]:
    """Return the places of an answer's tokens that end a step: those before line breaks, and the last one.

    Parameters
    ----------
    answer : sequence of int
        Its tokens.
    line_break : int
        The token that separates steps.

    Examples
    --------
    >>> step_ends([5, 6, 0, 7], line_break=0)
    [1, 3]
    """
    ends = [i - 1 for i, token in enumerate(answer) if token == line_break and i and answer[i - 1] != line_break]
    return ends if not answer or answer[-1] == line_break else [*ends, len(answer) - 1]


def train_process_reward(
    decoder: Decoder,
    tokenizer: tokenizers.Tokenizer,
    rollouts: Sequence[Rollout],
    *,
    further: int = 2,
    inner: int = 128,
    epochs: int = 15,
    seed: int | Seed = 0,
) -> StepHead:
    """Train a head on the steps of some answers.

    Parameters
    ----------
    decoder : Decoder
        The frozen model.
    tokenizer : tokenizers.Tokenizer
        Its tokenizer.
    rollouts : sequence of Rollout
        Its own whole answers, marked; from the training split.
    further : int
        Roll-outs drawn from each step that is not the last, >= 0; the answer itself counts as one more.
    inner : int
        Width of the head.
    epochs : int
        Passes over the steps.
    seed : int or Seed
        Root of all draws.

    Returns
    -------
    StepHead

    Raises
    ------
    UsageError
        There is no answer to learn from.

    Examples
    --------
    >>> train_process_reward(decoder, tokenizer, roll_out(decoder, tokenizer, problems))  # doctest: +SKIP
    """
    seed = Seed.of(seed).child("process-reward")
    line_break = token_id(tokenizer, LINE_BREAK)
    answers = [[*rollout.given, *rollout.drawn] for rollout in rollouts]
    ends = [step_ends(answer, line_break) for answer in answers]
    if not any(ends):
        raise UsageError("There is no step to learn from. Draw some answers with roll_out.")
    forks = [(number, end) for number, places in enumerate(ends) for end in places[:-1]]
    drawn = roll_out(
        decoder,
        tokenizer,
        [rollouts[number].problem for number, _ in forks for _ in range(further)],
        given=[[*answers[number][: end + 1], line_break] for number, end in forks for _ in range(further)],
        seed=seed.child("further"),
    )
    right = {fork: float(rollouts[fork[0]].right) for fork in forks}
    for place, rollout in enumerate(drawn):
        right[forks[place // further]] += rollout.right
    labels = [
        right[number, end] / (1 + further) if end != places[-1] else float(rollouts[number].right)
        for number, places in enumerate(ends)
        for end in places
    ]
    hidden = _hidden_at(decoder, [rollout.prompt for rollout in rollouts], answers, ends)
    return _fit_head(hidden, torch.tensor(labels), inner, epochs, seed)


@torch.inference_mode()
def _hidden_at(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    ends: Sequence[Sequence[int]],
) -> torch.Tensor:
    """Hidden states at the ends of all steps, (steps, width)."""
    order = sorted(range(len(answers)), key=lambda number: len(prompts[number]) + len(answers[number]))
    states: list[torch.Tensor] = [torch.empty(0)] * len(answers)
    for begin in range(0, len(order), ROWS_AT_ONCE):
        chosen = order[begin : begin + ROWS_AT_ONCE]
        hidden = decoder.hidden(padded_batch([[*prompts[number], *answers[number]] for number in chosen]))
        for row, number in enumerate(chosen):
            states[number] = hidden[row, [len(prompts[number]) + end for end in ends[number]]]
    return torch.cat(states)


def _fit_head(hidden: torch.Tensor, labels: torch.Tensor, inner: int, epochs: int, seed: Seed) -> StepHead:
    generator = seed.child("head").torch()
    width = hidden.shape[1]
    hidden = hidden.clone()  # out of inference mode
    parts = {
        "inner": torch.randn(inner, width, generator=generator) * width**-0.5,
        "inner_bias": torch.zeros(inner),
        "outer": torch.randn(inner, generator=generator) * inner**-0.5,
        "outer_bias": torch.tensor(0.0),
    }
    head = StepHead(**{name: part.requires_grad_() for name, part in parts.items()})
    optimizer = torch.optim.AdamW(list(parts.values()), lr=2e-3, weight_decay=0.01)
    batch = 512
    total = epochs * -(-len(labels) // batch)
    done = 0
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(labels), generator=generator), batch):
            loss = functional.binary_cross_entropy_with_logits(head.log_odds(hidden[chosen]), labels[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - done / total)
            optimizer.step()
            optimizer.zero_grad()
            done += 1
    return StepHead(**{name: part.detach() for name, part in parts.items()})
