"""Sequential revision: chains in which the model sees its earlier answers and writes the next one.

Source: Snell et al. (2024), arXiv:2408.03314, section 6. A budget of `chains` x `length` answers is spent side by
side and one after the other. Right answers get broken on the way (38% at each step in the paper), so the result is
chosen over the whole chain, never taken from its end: by the sum of the reward's scores for equal answers, within
each chain and then across chains, or by majority over all. The model of the paper is fine-tuned on such chains; any
other is asked in words.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from educe.core import Posterior, UsageError
from educe.lm import Message, Prompt, Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.reward import Aggregation, Reward, aggregate_scores, check_reward, make_reward, score_steps
from educe.reason.steps import Prefix, StepPolicy, draw_whole
from educe.reason.strategy import Strategy, register

__all__ = ["AGAIN", "Revise", "revision_prompt"]

AGAIN = "Check the answer above, and write a better one, in the same form."


def revision_prompt(question: Question, earlier: Sequence[str]) -> Prompt:
    """Ask for another answer after earlier ones, in words that any chat model understands.

    Parameters
    ----------
    question : Question
        What to answer.
    earlier : sequence of str
        Earlier answers, oldest first.

    Returns
    -------
    list of Message

    Examples
    --------
    >>> revision_prompt(Question("2 + 2 = ?", examples=()), ["5"])[-2:]
    [{'role': 'assistant', 'content': '5'}, {'role': 'user', 'content': 'Check the answer above, ... the same form.'}]
    """
    messages: list[Message] = question.messages()
    for text in earlier:
        messages.append({"role": "assistant", "content": text})
        messages.append({"role": "user", "content": AGAIN})
    return messages


@register("revise")
@dataclass(frozen=True, repr=False)
class Revise(Strategy):
    """Let the model revise its own answers, and choose over all of them.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1.
    length : int
        Answers of each chain, >= 1.
    context : int
        Earlier answers that the model sees, the most recent ones, >= 1.
    select : str
        ``"verifier"`` weights answers by the reward, within each chain and then across; ``"majority"`` counts them.
    steps : StepPolicy
        How answers are drawn and cut into steps for the reward.
    reward : str or Reward
        Judges steps; see `make_reward`.
    aggregation : str
        How the scores of an answer become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.
    prompt : callable
        ``prompt(question, earlier)`` returns what to send; for models that were trained on chains of another form.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(Revise(chains=2, length=2)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    chains: int = 4
    length: int = 4
    context: int = 4
    select: Literal["verifier", "majority"] = "verifier"
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    aggregation: Aggregation = "last"
    prompt: Callable[[Question, Sequence[str]], Prompt] = field(default=revision_prompt)

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if min(self.chains, self.length, self.context) < 1:
            raise UsageError(
                f"chains={self.chains}, length={self.length}, context={self.context} draw nothing. Give numbers >= 1."
            )

    @classmethod
    def fitted(cls, samples: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Chains times length draw the samples; what is open gets an even share."""
        if "length" in given:
            length = given["length"]
        else:
            length = max(1, samples // given["chains"] if "chains" in given else math.isqrt(samples))
        return {"length": length, "chains": max(1, samples // length)}

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*(make_reward(self.reward).requires if self.select == "verifier" else ()))
        chains: list[list[Prefix]] = [[] for _ in range(self.chains)]
        for _ in range(self.length):
            groups: dict[str, list[int]] = {}
            for number, chain in enumerate(chains):
                groups.setdefault("\0".join(prefix.text for prefix in chain[-self.context :]), []).append(number)
            await asyncio.gather(*(self._one(question, lm, chains, members) for members in groups.values()))
        if self.select == "verifier":
            flat = await score_steps(self.reward, question, [prefix for chain in chains for prefix in chain], lm)
            rest = iter(flat)
            chains = [[next(rest) for _ in chain] for chain in chains]
        return await self._concluded(question, lm, chains)

    async def _one(self, question: Question, lm: Session, chains: list[list[Prefix]], members: list[int]) -> None:
        """Draw the next answer of chains that have said the same so far."""
        if any(prefix.ended == "budget" for prefix in chains[members[0]]):
            return
        earlier = [prefix.text for prefix in chains[members[0]][-self.context :]]
        prompt = self.prompt(question, earlier) if earlier else question.messages()
        drawn = await draw_whole(question, lm, self.steps, len(members), prompt)
        for number, prefix in zip(members, drawn, strict=False):
            chains[number].append(prefix)

    async def _concluded(self, question: Question, lm: Session, chains: list[list[Prefix]]) -> Posterior[Answer]:
        rows = [(number, prefix) for number, chain in enumerate(chains) for prefix in chain]
        answers = await read_answers(question, [prefix.completion() for _, prefix in rows])
        read = [(number, answer, prefix) for (number, prefix), answer in zip(rows, answers, strict=True) if answer]
        scores = [aggregate_scores(prefix.scores, self.aggregation) for _, _, prefix in read]
        weights = [1.0] * len(read)
        if self.select == "verifier":
            # Within a chain the answer with the largest sum of scores stands for it; the others keep no weight.
            sums: dict[int, dict[Answer, float]] = {}
            for (number, answer, _), score in zip(read, scores, strict=True):
                of_chain = sums.setdefault(number, {})
                of_chain[answer] = of_chain.get(answer, 0.0) + score
            best = {number: max(of_chain, key=of_chain.__getitem__) for number, of_chain in sums.items()}
            weights = [
                score if best[number] == answer else 0.0
                for (number, answer, _), score in zip(read, scores, strict=True)
            ]
        texts: list[list[str | None]] = [[] for _ in chains]
        for (number, _), found in zip(rows, answers, strict=True):
            texts[number].append(None if found is None else found.text)
        return Posterior(
            [answer for _, answer, _ in read],
            [math.log(weight) if weight > 0 else -math.inf for weight in weights],  # type: ignore[arg-type]
            ledger=lm.ledger,
            details={"unread": len(rows) - len(read), "scores": scores, "chains": texts},
        )
