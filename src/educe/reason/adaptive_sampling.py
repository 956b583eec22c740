"""Adaptive sampling: draw another answer only while a better one is likely, and start with the surest.

Source: Manvi, Singh, Ermon (2024), Adaptive Inference-Time Compute: LLMs Can Predict if They Can Do Better, Even
Mid-Generation, arXiv:2410.02725. After each answer a score tells how probably starting over would not do better;
sampling ends as soon as the best score reaches a threshold, and the best-scored answer is kept. The temperature rises
from 0 with each sample (1 - 2^-(k-1)), so that few samples exploit and many explore; that schedule is recalled, not
read.

With the model's own self-evaluation token as the score no second model is asked. The score that stops the loop also
chooses, so it is too high on what is chosen; a threshold for a wanted number of samples must be set on other
questions. Where every answer is wrong, a score that means "no better is to come" is high, and the loop stops at once:
that saves samples and says nothing about being right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.adaptive_self_consistency import round_sizes
from educe.reason.conclusion import conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Reward, check_reward, make_reward, score_steps
from educe.reason.steps import Prefix, Step, StepPolicy, draw_whole
from educe.reason.strategy import Strategy, register

__all__ = ["AdaptiveSampling", "annealed", "as_one_step", "win_or_tie"]


def annealed(number: int) -> float:
    """Temperature of the given sample, counted from 1: 0, 0.5, 0.75, 0.875, ...

    Parameters
    ----------
    number : int
        Which sample, >= 1.

    Examples
    --------
    >>> [annealed(number) for number in (1, 2, 3)]
    [0.0, 0.5, 0.75]
    """
    return 1.0 - 2.0 ** (1 - number)


def as_one_step(prefix: Prefix) -> Prefix:
    """Return an answer so far as a single unscored step, so that a reward looks at it once and as a whole.

    Parameters
    ----------
    prefix : Prefix
        What was written so far.
    """
    known = [step.logprob for step in prefix.steps if step.logprob is not None]
    total = sum(known) if len(known) == len(prefix.steps) else None
    return Prefix((Step(prefix.text, prefix.tokens, total),), (), prefix.ended)


def win_or_tie(rewards: Sequence[float], tie: float = 0.0) -> list[float]:
    """For each answer, the share of the other answers to the same question that are no better: the paper's label.

    It is the mean of the labels of all its pairs, and measures an answer against what the model does on this question:
    where all answers are wrong, each of them wins or ties always.

    Parameters
    ----------
    rewards : sequence of float
        Rewards of answers drawn alike, at least two.
    tie : float
        Rewards that differ by no more than this tie, >= 0.

    Returns
    -------
    list of float
        In [0, 1], in the same order.

    Raises
    ------
    UsageError
        There are fewer than two rewards, one is NaN, or `tie` is negative.

    Examples
    --------
    >>> win_or_tie([1.0, 0.0, 0.0])
    [1.0, 0.5, 0.5]
    """
    if len(rewards) < 2 or any(math.isnan(reward) for reward in rewards) or not tie >= 0:
        raise UsageError(f"Rewards {list(rewards)} with tie={tie} do not compare. Give two numbers or more, tie >= 0.")
    return [
        sum(other <= mine + tie for place, other in enumerate(rewards) if place != own) / (len(rewards) - 1)
        for own, mine in enumerate(rewards)
    ]


@register("adaptive-sampling")
@dataclass(frozen=True, repr=False)
class AdaptiveSampling(Strategy):
    """Sample until the best score reaches a threshold.

    Parameters
    ----------
    n : int
        Most samples, >= 1.
    reward : str or Reward
        Scores an answer as a whole; see `make_reward`. ``"self-eval-token"`` is the paper's, for models trained on it.
    threshold : float
        Stop as soon as a score is at least this; at 0 there is one sample, above 1 there are `n`.
    schedule : str or callable
        Temperature of sample k: ``"anneal"`` (0, 0.5, 0.75, ...), ``"constant"`` (the policy's), or a function of k.
    rounds : str
        ``"sequential"`` or ``"doubling"`` (1, 1, 2, 4, ... at once, for lower latency).
    steps : StepPolicy
        How answers are drawn.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: ("The answer is 24.", -0.1))
    >>> posterior = run_sync(AdaptiveSampling(threshold=0.9)(Question("3 x 8 = ?"), Session(lm)))
    >>> posterior.mode().text, posterior.ledger.samples
    ('24', 1)
    """

    n: int = 16
    reward: str | Reward = "logprob"
    threshold: float = 0.98
    schedule: Literal["anneal", "constant"] | Callable[[int], float] = "anneal"
    rounds: Literal["sequential", "doubling"] = "sequential"
    steps: StepPolicy = field(default_factory=StepPolicy)

    def __post_init__(self) -> None:
        check_reward(self.reward)
        if self.n < 1:
            raise UsageError(f"n={self.n} draws nothing. Give n >= 1.")
        if not self.threshold >= 0:
            raise UsageError(f"threshold={self.threshold} is no threshold. Give a number >= 0.")
        if not callable(self.schedule) and self.schedule not in ("anneal", "constant"):
            raise UsageError(f"schedule={self.schedule!r} is unknown. Give 'anneal', 'constant', or a function.")
        round_sizes(self.rounds, 1)

    def temperature(self, number: int) -> float:
        """Temperature of the given sample, counted from 1."""
        if callable(self.schedule):
            return self.schedule(number)
        return annealed(number) if self.schedule == "anneal" else self.steps.temperature

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*make_reward(self.reward).requires)
        scored: list[Prefix] = []
        for size in round_sizes(self.rounds, self.n):
            drawn: list[Prefix] = []
            for number in range(len(scored) + 1, len(scored) + size + 1):
                drawn += await draw_whole(question, lm, self.steps, 1, temperature=self.temperature(number))
            scored += await score_steps(self.reward, question, [as_one_step(prefix) for prefix in drawn], lm)
            best = max((prefix.scores[-1] for prefix in scored if prefix.scores), default=0.0)
            if lm.stopped is not None or best >= self.threshold:
                break
        return await conclude(question, scored, lm, final="best")
