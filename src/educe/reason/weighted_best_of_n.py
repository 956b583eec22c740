"""Weighted best-of-N: score whole answers by a process reward, sum the scores of equal ones, take the largest.

Sources: Li et al. (2023), arXiv:2206.02336; Snell et al. (2024), arXiv:2408.03314, section 5.1. With a constant
reward it is a majority vote; with ``final="best"`` it is best-of-N.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.conclusion import Final, conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Aggregation, Reward, check_reward, make_reward, score_steps
from educe.reason.steps import StepPolicy, draw_whole
from educe.reason.strategy import Strategy, register

__all__ = ["WeightedBestOfN"]


@register("weighted-best-of-n")
@dataclass(frozen=True, repr=False)
class WeightedBestOfN(Strategy):
    """Let the answers of N samples vote with the scores of their paths.

    Parameters
    ----------
    n : int
        Number of samples, >= 1.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    aggregation : str
        How the scores of a path become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.
    final : str
        How the `n` answers become one: ``"weighted"``, ``"best"`` or ``"majority"``.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(WeightedBestOfN(n=4)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    n: int = 16
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    aggregation: Aggregation = "last"
    final: Final = "weighted"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 1:
            raise UsageError(f"n={self.n} draws nothing. Give n >= 1.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*make_reward(self.reward).requires)
        drawn = await draw_whole(question, lm, self.steps, self.n)
        scored = await score_steps(self.reward, question, drawn, lm)
        return await conclude(question, scored, lm, final=self.final, aggregation=self.aggregation)
