"""Best-of-N that gives up early on answers that begin badly.

Source: Manvi, Singh, Ermon (2024), arXiv:2410.02725, early pruning: start N answers, look at each after some tokens,
finish only those whose score is best, keep the best of these. The saving is about the share pruned times the share of
the answer that was still to come. Going on from a beginning reads its text anew, so with tokenizers that join across
the cut the rest is drawn from a slightly different law.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace

from educe.core import Posterior, UsageError
from educe.lm import Completion, Session
from educe.reason.adaptive_sampling import as_one_step
from educe.reason.conclusion import conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Reward, check_reward, make_reward, score_steps
from educe.reason.steps import Prefix, Step, StepPolicy, continued
from educe.reason.strategy import Strategy, register

__all__ = ["PrunedBestOfN", "kept"]


def kept(scores: list[float], share: float) -> list[int]:
    """Positions of the best scores, at least one, in their order; the earlier one of a tie.

    Parameters
    ----------
    scores : list of float
        Higher is better.
    share : float
        Share to keep, in (0, 1]; rounded up.

    Examples
    --------
    >>> kept([0.1, 0.9, 0.5, 0.7], 0.5)
    [1, 3]
    """
    count = max(1, math.ceil(share * len(scores)))
    return sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])


@register("pruned-best-of-n")
@dataclass(frozen=True, repr=False)
class PrunedBestOfN(Strategy):
    """Best-of-N with looks at which the worse beginnings are dropped.

    Parameters
    ----------
    n : int
        Answers begun, >= 1.
    checkpoints : tuple of (float, float)
        Looks in order: after how many tokens of an answer, and which share of the open answers goes on. For `replay`
        alone, a number of tokens below 1 is a share of the answer's whole length.
    reward : str or Reward
        Scores an answer so far as a whole; see `make_reward`.
    steps : StepPolicy
        How answers are drawn.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: ("The answer is 24.", -0.1))
    >>> run_sync(PrunedBestOfN(n=4)(Question("3 x 8 = ?"), Session(lm))).mode().text
    '24'
    """

    n: int = 16
    checkpoints: tuple[tuple[float, float], ...] = ((64, 0.5),)
    reward: str | Reward = "logprob"
    steps: StepPolicy = field(default_factory=StepPolicy)

    def __post_init__(self) -> None:
        check_reward(self.reward)
        if self.n < 1:
            raise UsageError(f"n={self.n} draws nothing. Give n >= 1.")
        object.__setattr__(self, "checkpoints", tuple((at, share) for at, share in self.checkpoints))
        places = [at for at, _ in self.checkpoints]
        if places != sorted(set(places)) or any(at <= 0 for at in places):
            raise UsageError(f"Checkpoints after {places} tokens are in no order. Give rising numbers above 0.")
        if not all(0 < share <= 1 for _, share in self.checkpoints):
            raise UsageError(f"Checkpoints {self.checkpoints} keep an impossible share. Give shares in (0, 1].")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        if any(at < 1 for at, _ in self.checkpoints):
            raise UsageError(f"Checkpoints {self.checkpoints} lie at shares of lengths not known. Give tokens.")
        lm.lm.require(*make_reward(self.reward).requires)
        open_rows = [Prefix() for _ in range(self.n)]
        ended: list[Prefix] = []
        pruned = 0
        for look, (at, share) in enumerate(self.checkpoints):
            limit = min(int(at), self.steps.max_tokens)
            grown = await self._grow(question, lm, open_rows, limit, look)
            ended += [prefix for prefix in grown if prefix.ended is not None]
            open_rows = [prefix for prefix in grown if prefix.ended is None]
            if not open_rows:
                break
            seen = await score_steps(self.reward, question, [as_one_step(prefix) for prefix in open_rows], lm)
            # A beginning that the budget left without a score cannot be compared; nothing goes on after that anyway.
            places = kept([prefix.scores[-1] if prefix.scores else 0.0 for prefix in seen], share)
            pruned += len(open_rows) - len(places)
            open_rows = [open_rows[place] for place in places]
        ended += await self._grow(question, lm, open_rows, self.steps.max_tokens, len(self.checkpoints))
        final = [as_one_step(prefix) for prefix in ended if prefix.ended is not None]
        scored = await score_steps(self.reward, question, final, lm)
        return await conclude(question, scored, lm, final="best", details={"pruned": pruned})

    async def _grow(
        self, question: Question, lm: Session, prefixes: list[Prefix], limit: int, look: int
    ) -> list[Prefix]:
        """Go on with each beginning up to so many tokens; rows of one text are one request."""
        groups: dict[str, list[int]] = {}
        for place, prefix in enumerate(prefixes):
            groups.setdefault(prefix.text, []).append(place)
        results = list(prefixes)

        async def one(members: list[int]) -> None:
            first = prefixes[members[0]]
            rows = await lm.sample(
                continued(question, first),
                n=len(members),
                max_tokens=max(1, limit - first.tokens),
                temperature=self.steps.temperature,
                top_p=self.steps.top_p,
                key=("pruning", look) if look else (),
                continues=len(members) if first.steps else 0,
            )
            for number, place in enumerate(members):
                found = rows[number] if number < len(rows) else None
                results[place] = prefixes[place].cut() if found is None else self._joined(prefixes[place], found, limit)

        await asyncio.gather(*(one(members) for members in groups.values()))
        return results

    def _joined(self, prefix: Prefix, row: Completion, limit: int) -> Prefix:
        tokens = len(row.tokens) or len(row.logprobs or ()) or len(row.text) // 4 + 1
        grown = Prefix((*prefix.steps, Step(row.text, tokens, row.logprob if row.logprobs is not None else None)))
        ended = None if row.finish == "length" and limit < self.steps.max_tokens else row.finish
        return replace(grown, ended=ended)
