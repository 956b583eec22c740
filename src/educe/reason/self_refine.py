"""Self-refine: the model criticises its answer and rewrites it, until it finds no error.

Source: Madaan et al. (2023), arXiv:2303.17651; rounds and stop as in Liu et al. (2025), arXiv:2502.07191, section 3.
Every chain's last answer is a vote, so with ``n=1`` the confidence is 1 by construction and says nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from educe.core import Posterior, UsageError
from educe.lm import Completion, Message, Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["SelfRefine"]

CRITICISE = "Is there an error in the answer above? Name it in one sentence, or write 'No error'."
REWRITE = "Write the answer again without that error, in the same form."
DONE = "no error"


@register("self-refine")
@dataclass(frozen=True, repr=False)
class SelfRefine(Strategy):
    """Answer, criticise, rewrite.

    Parameters
    ----------
    n : int
        Chains side by side, >= 1.
    rounds : int
        Most rewrites of a chain, >= 0.
    temperature : float
        Sampling temperature, > 0.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of each answer and criticism, >= 1.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "No error." if "error" in prompt else "The answer is 24.")
    >>> run_sync(SelfRefine()(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    n: int = 1
    rounds: int = 3
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if self.n < 1 or self.rounds < 0 or self.max_tokens < 1:
            raise UsageError(
                f"n={self.n}, rounds={self.rounds}, max_tokens={self.max_tokens} draw nothing. "
                "Give n, max_tokens >= 1 and rounds >= 0."
            )
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all chains equal. Give temperature > 0.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        first = await self._ask(lm, question.messages(), self.n)
        chains = await asyncio.gather(*(self._refined(question, lm, row, place) for place, row in enumerate(first)))
        answers = await read_answers(question, [row for row, _ in chains])
        votes = [answer for answer in answers if answer is not None]
        return Posterior.uniform(
            votes,
            ledger=lm.ledger,
            details={"unread": len(chains) - len(votes), "rewrites": [rewrites for _, rewrites in chains]},
        )

    async def _ask(self, lm: Session, messages: list[Message], n: int = 1, chain: int = 0) -> list[Completion]:
        # Chains may have said the same; their seeds must not depend on which of them asks first.
        return await lm.sample(
            messages,
            n=n,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            key=("chain", chain),
        )

    async def _refined(self, question: Question, lm: Session, row: Completion, chain: int) -> tuple[Completion, int]:
        """Follow one chain; a rewrite that the budget cut leaves the answer before it."""
        for rewrites in range(self.rounds):
            asked: list[Message] = [
                *question.messages(),
                {"role": "assistant", "content": row.text},
                {"role": "user", "content": CRITICISE},
            ]
            said = await self._ask(lm, asked, chain=chain)
            if not said or said[0].finish == "budget" or DONE in said[0].text.lower():
                return row, rewrites
            asked += [{"role": "assistant", "content": said[0].text}, {"role": "user", "content": REWRITE}]
            again = await self._ask(lm, asked, chain=chain)
            if not again or again[0].finish == "budget":
                return row, rewrites
            row = again[0]
        return row, self.rounds
