"""Greedy decoding: the single most probable token at each step. The cheapest baseline.

Its posterior holds one answer, so its confidence is 1 by construction and says nothing; the mean
token log-probability in ``details`` is what there is to read.
"""

from __future__ import annotations

from dataclasses import dataclass

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["Greedy"]


@register("greedy")
@dataclass(frozen=True, repr=False)
class Greedy(Strategy):
    """Take the most probable token at each step, once.

    Parameters
    ----------
    max_tokens : int
        Most tokens of the answer, >= 1.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> run_sync(Greedy()(Question("2 + 2 = ?"), Session(FakeLM(["The answer is 4."])))).mode().text
    '4'
    """

    max_tokens: int = 256

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens={self.max_tokens} leaves no room for an answer. Give max_tokens >= 1.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        completions = await lm.sample(question.messages(), n=1, temperature=0.0, max_tokens=self.max_tokens)
        found = [answer for answer in await read_answers(question, completions) if answer is not None]
        details: dict[str, object] = {"unread": len(completions) - len(found)}
        if completions and completions[0].logprobs:
            details["mean_logprob"] = completions[0].logprob / len(completions[0].logprobs)
        return Posterior.uniform(found, ledger=lm.ledger, details=details)
