"""Search where it pays: a few samples tell how hard a question is, and the rest of the budget goes to what suits it.

Source: Snell et al. (2024), arXiv:2408.03314, section 3.2, with the samples that measure difficulty charged, which
the paper leaves out of its budget. Bounds and methods come from `educe.reason.ComputeOptimal` on questions of your own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import ClassVar

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.beam_search import BeamSearch
from educe.reason.conclusion import conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Aggregation, Reward, aggregate_scores, check_reward, make_reward, score_steps
from educe.reason.steps import StepPolicy, draw_whole
from educe.reason.strategy import Strategy, register
from educe.reason.weighted_best_of_n import WeightedBestOfN

__all__ = ["RoutedByDifficulty"]


@register("compute-optimal")
@dataclass(frozen=True, repr=False)
class RoutedByDifficulty(Strategy):
    """Draw a few samples, judge by their scores how hard the question is, and search only where it is hard.

    Parameters
    ----------
    n : int
        Answers in all, >= 1, those that measure difficulty included.
    probes : int
        Answers that measure difficulty, >= 1; with fewer than two left afterwards they alone vote.
    edges : sequence of float
        Mean final scores at which a question is as easy as a bin's bound, falling; from `difficulty` of your own bank.
    methods : sequence of Strategy
        One per bin, the easiest first, with an ``n`` that is replaced by what is left of the budget. When left out,
        weighted best-of-N in the easier half and beam search in the harder, as in the paper.
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
    >>> question = Question("How many legs do three spiders have?")
    >>> run_sync(RoutedByDifficulty(n=8)(question, Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    n: int = 16
    probes: int = 4
    edges: tuple[float, ...] = (0.8, 0.6, 0.4, 0.2)
    methods: tuple[Strategy, ...] = ()
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    aggregation: Aggregation = "last"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 1 or self.probes < 1:
            raise UsageError(f"n={self.n}, probes={self.probes} draw nothing. Give numbers >= 1.")
        if list(self.edges) != sorted(self.edges, reverse=True):
            raise UsageError(f"edges={self.edges} do not fall. Give the bounds of the easiest bin first.")
        if self.methods and len(self.methods) != len(self.edges) + 1:
            raise UsageError(f"{len(self.methods)} methods do not fit {len(self.edges) + 1} bins. Give one per bin.")

    def method(self, bin: int, n: int) -> Strategy:
        """The method for a bin.

        Parameters
        ----------
        bin : int
            From 1, the easiest.
        n : int
            Answers it may draw.
        """
        if self.methods:
            return replace(self.methods[bin - 1], n=n)  # type: ignore[call-arg]
        easy = bin <= (len(self.edges) + 1) / 2
        cls = WeightedBestOfN if easy else BeamSearch
        return cls(n=n, steps=self.steps, reward=self.reward, aggregation=self.aggregation)

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*make_reward(self.reward).requires)
        probes = min(self.probes, self.n)
        drawn = await score_steps(self.reward, question, await draw_whole(question, lm, self.steps, probes), lm)
        scores = [aggregate_scores(prefix.scores, self.aggregation) for prefix in drawn if prefix.complete]
        ease = fmean(scores) if scores else 0.0
        bin = 1 + sum(ease <= edge for edge in self.edges)
        details = {"bin": bin, "ease": ease}
        left = self.n - probes
        found = None if left < 2 or lm.stopped else await self.method(bin, left)(question, lm)
        if found is None or found.confidence == 0.0:
            return await conclude(question, drawn, lm, aggregation=self.aggregation, details=details)
        return Posterior(
            found.values,
            found.log_weights,
            found.log_evidence,
            found.evidence_kind,
            lm.ledger,
            {**found.details, **details, "method": repr(self.method(bin, left))},
        )
