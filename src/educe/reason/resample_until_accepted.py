"""Resample until a verifier accepts: draw one sample after the other, stop at the first that passes.

Source: Stroebl, Kapoor and Narayanan (2024), Inference Scaling fLaws, arXiv:2411.17501.
What comes out is right with the verifier's precision, however many attempts were allowed; `resampling_ceiling` measures
it and `two_type_attempts` says how many attempts pay. The number of attempts until the first acceptance allows no
unbiased estimate of the acceptance rate, so the posterior carries no evidence; `RepeatedSampling` gives one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.repeated_sampling import Verifier, judge, readable
from educe.reason.strategy import Strategy, register
from educe.verify.answers import AnswerKind, Verdict

__all__ = ["ABSTAIN", "ResampleUntilAccepted"]

ABSTAIN = Answer("no answer", AnswerKind.TEXT)


@register("resample-until-accepted")
@dataclass(frozen=True, repr=False)
class ResampleUntilAccepted(Strategy):
    """Answer with the first sample that a verifier accepts, or not at all.

    Parameters
    ----------
    n : int
        Most attempts, >= 1.
    temperature : float
        Sampling temperature, > 0.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.
    verifier : callable
        As for `RepeatedSampling`: called with the question and the completion. The default accepts whatever can
        be read.
    precision : float
        Probability that an accepted sample is right, in (0, 1]; `estimate_error_rates` and
        `precision_after_acceptance` give it. The accepted answer gets this mass, `ABSTAIN` the rest.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(["The answer is 24.", "The answer is 18."])
    >>> method = ResampleUntilAccepted(verifier=lambda question, row: "24" in row.text, precision=0.75)
    >>> posterior = run_sync(method(Question("3 x 8 = ?"), Session(lm)))
    >>> posterior.mode().text, round(posterior.confidence, 2)
    ('24', 0.75)
    """

    n: int = 16
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256
    verifier: Verifier = readable
    precision: float = 1.0

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1:
            raise UsageError(f"n={self.n}, max_tokens={self.max_tokens} draw nothing. Give numbers >= 1.")
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all samples equal. Give temperature > 0.")
        if not 0 < self.precision <= 1:
            raise UsageError(f"precision={self.precision} is no probability of being right. Give a number in (0, 1].")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        details = {"attempts": 0, "unread": 0, "undecided": 0}
        for _ in range(self.n):
            completions = await lm.sample(
                question.messages(),
                n=1,
                temperature=self.temperature,
                top_p=self.top_p,
                max_tokens=self.max_tokens,
            )
            if not completions:
                break  # the budget is spent
            details["attempts"] += 1
            answer = (await read_answers(question, completions))[0]
            if answer is None:
                details["unread"] += 1
                continue
            verdict = await judge(self.verifier, question, completions[0])
            details["undecided"] += verdict is Verdict.LIMIT_HIT
            if verdict is Verdict.PROVED:
                masses = torch.tensor([self.precision, 1 - self.precision], dtype=torch.float64)
                values = [answer, ABSTAIN] if self.precision < 1 else [answer]
                return Posterior(values, masses.log()[: len(values)], ledger=lm.ledger, details=details)
        return Posterior.uniform([], ledger=lm.ledger, details=details)
