"""Step-level best-of-N: draw N next steps, keep the best one, go on from it alone.

Source: Liu et al. (2025), arXiv:2502.07191, section 3 (there "greedy" search). What ends an answer is the model's own
end, not a phrase in its text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.conclusion import conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Aggregation, Reward, aggregate_scores, check_reward, make_reward, score_steps
from educe.reason.steps import Prefix, StepPolicy, extend
from educe.reason.strategy import Strategy, register

__all__ = ["StepBestOfN"]


@register("step-best-of-n")
@dataclass(frozen=True, repr=False)
class StepBestOfN(Strategy):
    """Go on from the best of N next steps, at every step.

    The posterior is the law of the winner among the answers that ended in the last round, see `winner_law`: one path
    was followed, so it says little about certainty.

    Parameters
    ----------
    n : int
        Candidates for each step, >= 1.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    aggregation : str
        How the scores of a path become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(StepBestOfN(n=4)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    n: int = 16
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    aggregation: Aggregation = "last"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 1:
            raise UsageError(f"n={self.n} draws nothing. Give n >= 1.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*make_reward(self.reward).requires)
        best, candidates = Prefix(), [Prefix()] * self.n
        while best.ended is None:
            # Rows that a budget denied at the first step are not drawn at later ones either.
            width = sum(prefix.ended != "budget" for prefix in candidates)
            grown = await extend(question, lm, self.steps, [best] * width)
            candidates = await score_steps(self.reward, question, grown, lm)
            # At the budget those candidates win that were not cut: an answer may be among them.
            uncut = [prefix for prefix in candidates if prefix.ended != "budget"]
            best = max(uncut or candidates, key=lambda prefix: aggregate_scores(prefix.scores, self.aggregation))
        ended = [prefix for prefix in candidates if prefix.ended is not None]
        return await conclude(question, ended, lm, final="best", aggregation=self.aggregation)
