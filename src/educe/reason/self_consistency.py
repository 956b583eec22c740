"""Self-consistency: sample many reasoning paths, let the answers vote.

Source: Wang et al. (2022), Self-Consistency Improves Chain of Thought Reasoning in Language Models,
arXiv:2203.11171. The posterior over answers is the share of votes; its standard error is sqrt(p(1-p)/n).
Weighted and early-stopping variants are methods of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["SelfConsistency"]


@register("self-consistency")
@dataclass(frozen=True, repr=False)
class SelfConsistency(Strategy):
    """Majority vote over sampled answers.

    Parameters
    ----------
    n : int
        Number of samples, >= 1.
    temperature : float
        Sampling temperature, > 0; at 0 all samples would be one.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(SelfConsistency(n=4)(Question("How many legs do three spiders have?"), Session(lm))).confidence
    1.0
    """

    n: int = 16
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1:
            raise UsageError(f"n={self.n}, max_tokens={self.max_tokens} draw nothing. Give numbers >= 1.")
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all samples equal. Give temperature > 0.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        completions = await lm.sample(
            question.messages(),
            n=self.n,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
        )
        votes = [answer for answer in await read_answers(question, completions) if answer is not None]
        return Posterior.uniform(votes, ledger=lm.ledger, details={"unread": len(completions) - len(votes)})
