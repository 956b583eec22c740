"""Repeated sampling with a verifier: draw N samples, keep those that it accepts.

Source: Brown et al. (2024), Large Language Monkeys: Scaling Inference Compute with Repeated Sampling, arXiv:2407.21787.
With a verifier the accuracy is the coverage of N samples. The posterior is uniform over the accepted samples, which
is rejection sampling from the model given acceptance; the evidence is the share accepted, an unbiased estimate of the
probability that the model passes the verifier. A verifier that runs out of time has not accepted.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from educe.core import EvidenceKind, Posterior, UsageError
from educe.lm import Completion, Session
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register
from educe.verify.answers import Verdict

__all__ = ["RepeatedSampling", "readable"]

Verifier = Callable[[Question, Completion], Verdict | bool | Awaitable[Verdict | bool]]


def readable(question: Question, completion: Completion) -> bool:
    """Accept every completion whose answer can be read: the verifier of those who have none.

    Parameters
    ----------
    question : Question
        Not looked at.
    completion : Completion
        Not looked at; unreadable ones are never asked about.

    Returns
    -------
    bool
        True.
    """
    return True


async def judge(verifier: Verifier, question: Question, completion: Completion) -> Verdict:
    """Ask a verifier, whatever form its answer takes; one that runs out of time has not decided."""
    try:
        found = verifier(question, completion)
        verdict = await found if inspect.isawaitable(found) else found
    except TimeoutError:
        return Verdict.LIMIT_HIT
    if isinstance(verdict, Verdict):
        return verdict
    return Verdict.PROVED if verdict else Verdict.REFUTED


@register("repeated-sampling")
@dataclass(frozen=True, repr=False)
class RepeatedSampling(Strategy):
    """Draw N samples and keep those that a verifier accepts.

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
    verifier : callable
        ``verifier(question, completion)`` returns a `Verdict` or a truth value, or a coroutine of one. Raising
        TimeoutError is `Verdict.LIMIT_HIT`: not accepted, and counted. It is asked only where an answer can be read.
        The default accepts all of those, which makes the method a plain vote.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(["The answer is 24.", "The answer is 18."])
    >>> even = RepeatedSampling(n=20, verifier=lambda question, row: "24" in row.text)
    >>> posterior = run_sync(even(Question("3 x 8 = ?"), Session(lm)))
    >>> posterior.mode().text, posterior.confidence, posterior.evidence_kind.value
    ('24', 1.0, 'unbiased')
    """

    n: int = 16
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256
    verifier: Verifier = readable

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
        answers = await read_answers(question, completions)
        verdicts = [
            None if answer is None else await judge(self.verifier, question, completion)
            for answer, completion in zip(answers, completions, strict=True)
        ]
        accepted = [
            answer for answer, verdict in zip(answers, verdicts, strict=True) if answer and verdict is Verdict.PROVED
        ]
        details = {
            "unread": sum(answer is None for answer in answers),
            "accepted": len(accepted),
            "undecided": sum(verdict is Verdict.LIMIT_HIT for verdict in verdicts),
        }
        if not completions:
            return Posterior.uniform(accepted, ledger=lm.ledger, details=details)
        evidence = math.log(len(accepted) / len(completions)) if accepted else -math.inf
        return Posterior.uniform(
            accepted, log_evidence=evidence, evidence_kind=EvidenceKind.UNBIASED, ledger=lm.ledger, details=details
        )
