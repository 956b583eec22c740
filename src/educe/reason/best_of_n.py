"""Best-of-N: sample N answers, keep the one with the highest score.

Which sample wins depends on the draw. Resampling the N scores with replacement (Efron 1979) gives the law
of the winner in closed form: with scores ranked from 1 (lowest) to N, sample r wins with probability
(r/N)^N - ((r-1)/N)^N; ties share. The posterior carries these weights, so the best sample stays the mode
with mass 1 - (1-1/N)^N, at least 0.632, and an answer that several good samples share gets more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from educe.core import Posterior, UsageError
from educe.lm import Completion, Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["BestOfN", "mean_logprob", "winner_law"]

Scorer = Callable[[Question, Completion], float]


def mean_logprob(question: Question, completion: Completion) -> float:
    """Score a completion by its mean token log-probability at temperature 1.

    Parameters
    ----------
    question : Question
        Not looked at.
    completion : Completion
        With log-probabilities.

    Returns
    -------
    float
        In nats per token, <= 0; -inf for an empty completion.
    """
    count = len(completion.logprobs or ())
    return completion.logprob / count if count else -math.inf


def winner_law(scores: Sequence[float]) -> list[float]:
    """Probability that each sample wins when the scores are resampled with replacement.

    Parameters
    ----------
    scores : sequence of float
        Higher is better; NaN counts as -inf.

    Returns
    -------
    list of float
        Same order as the scores, summing to one; empty for no score.

    Examples
    --------
    >>> winner_law([0.1, 0.9])
    [0.25, 0.75]
    """
    n = len(scores)
    clean = [-math.inf if math.isnan(score) else score for score in scores]
    law = []
    for score in clean:
        below = sum(other < score for other in clean)
        ties = clean.count(score)
        law.append((((below + ties) / n) ** n - (below / n) ** n) / ties)
    return law


@register("best-of-n")
@dataclass(frozen=True, repr=False)
class BestOfN(Strategy):
    """Keep the best of N samples by a scorer.

    Parameters
    ----------
    n : int
        Number of samples, >= 1.
    temperature : float
        Sampling temperature, > 0.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.
    scorer : callable
        ``scorer(question, completion)`` returns a number, higher is better.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(BestOfN(n=4)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("logprobs",)
    n: int = 16
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256
    scorer: Scorer = mean_logprob

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
        pairs = [
            (answer, self.scorer(question, completion))
            for answer, completion in zip(await read_answers(question, completions), completions, strict=True)
            if answer is not None
        ]
        law = winner_law([score for _, score in pairs])
        return Posterior(
            [answer for answer, _ in pairs],
            [math.log(probability) if probability > 0 else -math.inf for probability in law],  # type: ignore[arg-type]
            ledger=lm.ledger,
            details={"unread": len(completions) - len(pairs), "scores": [score for _, score in pairs]},
        )
