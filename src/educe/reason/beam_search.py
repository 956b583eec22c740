"""Beam search over reasoning steps under a process reward, with look-ahead as an option; the core of all tree searches.

Source: Snell et al. (2024), arXiv:2408.03314, section 5.1. With n beams and width M: draw n first steps, score them,
keep the n/M best, go on from each with M continuations, and so on. Answers that end leave the beam and keep their
place among the n results, so the beam narrows and no more than n answers are ever paid for. With look-ahead k a step
is judged by the reward at the end of k further steps, drawn greedily and then thrown away.

Diverse verifier tree search is the same with the n answers dealt to independent beams (`search` with several groups).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.conclusion import Final, conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Aggregation, Reward, aggregate_scores, check_reward, make_reward, score_steps
from educe.reason.steps import Prefix, StepPolicy, extend
from educe.reason.strategy import Strategy, register

__all__ = ["BeamSearch", "look_ahead", "search"]

Width = int | Literal["sqrt"]


async def look_ahead(
    question: Question,
    lm: Session,
    steps: StepPolicy,
    reward: str | Reward,
    prefixes: Sequence[Prefix],
    ahead: int,
    first: bool = False,
) -> list[Prefix]:
    """Follow each prefix greedily for some steps, for the sake of its score alone.

    Parameters
    ----------
    question : Question
        What is being answered.
    lm : Session
        The model, metered.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges the steps that are added.
    prefixes : sequence of Prefix
        Equal ones are followed once.
    ahead : int
        How many steps, >= 0.
    first : bool
        Count the rows as samples; searches do so at the first step, so that look-ahead of k costs k further samples
        for each answer.

    Returns
    -------
    list of Prefix
        The rolled-out prefixes with their scores; where a budget left nothing, the prefix itself.
    """
    distinct = {prefix.text: prefix for prefix in prefixes}
    rolled = dict(distinct)
    for _ in range(ahead):
        grown = await extend(
            question, lm, steps, list(rolled.values()), temperature=0.0, key=("ahead",), continues=0 if first else 1
        )
        scored = await score_steps(reward, question, grown, lm)
        rolled = {
            text: new if new.ended != "budget" else rolled[text] for text, new in zip(rolled, scored, strict=True)
        }
    return [rolled[prefix.text] for prefix in prefixes]


async def search(
    question: Question,
    lm: Session,
    steps: StepPolicy,
    reward: str | Reward,
    groups: Sequence[int],
    width: int,
    *,
    aggregation: Aggregation = "last",
    ahead: int = 0,
) -> list[Prefix]:
    """Search several beams side by side; all that they wait for is one round of requests.

    Parameters
    ----------
    question : Question
        What is being answered.
    lm : Session
        The model, metered.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps.
    groups : sequence of int
        Answers of each beam.
    width : int
        Continuations of each prefix that is kept, >= 1.
    aggregation : str
        How the scores of a path become one.
    ahead : int
        Steps of look-ahead, >= 0.

    Returns
    -------
    list of Prefix
        All answers that ended, those cut by a budget included.
    """
    places = list(groups)
    live = [(group, Prefix()) for group, size in enumerate(groups) for _ in range(size)]
    done: list[Prefix] = []
    first = True
    while live:
        grown = await extend(question, lm, steps, [prefix for _, prefix in live])
        grown = await score_steps(reward, question, grown, lm)
        judged = await look_ahead(question, lm, steps, reward, grown, ahead, first) if ahead else grown
        first = False
        candidates: list[list[tuple[float, Prefix]]] = [[] for _ in groups]
        for (group, _), prefix, seen in zip(live, grown, judged, strict=True):
            if prefix.ended is None:
                candidates[group].append((aggregate_scores(seen.scores, aggregation), prefix))
            else:
                done.append(prefix)
                places[group] -= 1
        live = []
        for group, pairs in enumerate(candidates):
            if pairs:
                # Python's sort is stable: of equal scores the earlier row stays.
                kept = sorted(pairs, key=lambda pair: -pair[0])[: max(1, places[group] // width)]
                live += [(group, kept[place % len(kept)][1]) for place in range(places[group])]
    return done


@register("beam-search")
@dataclass(frozen=True, repr=False)
class BeamSearch(Strategy):
    """Keep the best prefixes at every step, branch each into several continuations.

    Parameters
    ----------
    n : int
        Answers under way at any time, >= 1.
    width : int or str
        Continuations of each prefix that is kept, >= 1; ``"sqrt"`` is the square root of `n`.
    lookahead : int
        Further steps, drawn greedily, at whose end a step is judged, >= 0.
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
    >>> run_sync(BeamSearch(n=4)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    n: int = 16
    width: Width = 4
    lookahead: int = 0
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    aggregation: Aggregation = "last"
    final: Final = "weighted"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 1 or self.lookahead < 0:
            raise UsageError(f"n={self.n}, lookahead={self.lookahead} search nothing. Give n >= 1 and lookahead >= 0.")
        if self.width != "sqrt" and not (isinstance(self.width, int) and self.width >= 1):
            raise UsageError(f"width={self.width!r} is no width. Give a whole number >= 1, or 'sqrt'.")

    @classmethod
    def fitted(cls, samples: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Look-ahead of k costs k further samples for each answer."""
        ahead = given.get("lookahead", cls.lookahead)
        return {"n": max(1, samples // (ahead + 1))}

    @property
    def branching(self) -> int:
        """The width as a number."""
        return max(1, round(math.sqrt(self.n))) if self.width == "sqrt" else int(self.width)

    def groups(self) -> list[int]:
        """How many answers each beam has: here all in one."""
        return [self.n]

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*make_reward(self.reward).requires)
        found = await search(
            question,
            lm,
            self.steps,
            self.reward,
            self.groups(),
            self.branching,
            aggregation=self.aggregation,
            ahead=self.lookahead,
        )
        return await conclude(question, found, lm, final=self.final, aggregation=self.aggregation)
