"""Weighted self-consistency: votes that count by the model's confidence in their path, or by a score.

Source: Wang et al. (2022), arXiv:2203.11171, section 3.1: the weighted sum with length-normalised probabilities. They
found it no better than the plain vote, because the model finds its paths about equally probable; with a scorer that
knows more (a reward, a verifier) it is the weighted vote of Li et al. (2022), arXiv:2206.02336. Repeated paths
count each time; `PerplexityConsistency` counts them once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.best_of_n import Scorer, mean_logprob
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["WeightedSelfConsistency", "geometric_mean"]


def geometric_mean(question: Question, completion: object) -> float:
    """Geometric mean of a completion's token probabilities at temperature 1.

    Parameters
    ----------
    question : Question
        Not looked at.
    completion : Completion
        With log-probabilities.

    Returns
    -------
    float
        In [0, 1]; 0 for an empty completion.
    """
    return math.exp(mean_logprob(question, completion))  # type: ignore[arg-type]


@register("weighted-self-consistency")
@dataclass(frozen=True, repr=False)
class WeightedSelfConsistency(Strategy):
    """A vote in which each sample counts by its score.

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
        ``scorer(question, completion)`` returns a weight >= 0; NaN counts as 0. The default needs a model with
        log-probabilities.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: ("The answer is 24.", -1.0))
    >>> run_sync(WeightedSelfConsistency(n=4)(Question("3 x 8 = ?"), Session(lm))).mode().text
    '24'
    """

    n: int = 16
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256
    scorer: Scorer = geometric_mean

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1:
            raise UsageError(f"n={self.n}, max_tokens={self.max_tokens} draw nothing. Give numbers >= 1.")
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all samples equal. Give temperature > 0.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        if self.scorer is geometric_mean:
            lm.lm.require("logprobs")
        completions = await lm.sample(
            question.messages(),
            n=self.n,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
        )
        answers = await read_answers(question, completions)
        pairs = [
            (answer, _weight(self.scorer(question, completion)))
            for answer, completion in zip(answers, completions, strict=True)
            if answer is not None
        ]
        return Posterior(
            [answer for answer, _ in pairs],
            [math.log(weight) if weight > 0 else -math.inf for _, weight in pairs],  # type: ignore[arg-type]
            ledger=lm.ledger,
            details={"unread": len(completions) - len(pairs)},
        )


def _weight(score: float) -> float:
    if math.isnan(score):
        return 0.0
    if score < 0 or math.isinf(score):
        raise UsageError(f"The scorer gave {score}, which is no weight. Let it return finite numbers >= 0.")
    return score
