"""Perplexity consistency and RPC: weigh each answer by the model's own probability of its distinct paths.

Source: Zhou et al. (2025), Bridging Internal Probability and Self-Consistency for Effective and Efficient LLM
Reasoning, arXiv:2502.00511. A vote estimates an answer's probability with an error of order 1/n. Adding up the
probabilities of the distinct paths that were seen is exact as soon as all of them were, so its error falls
exponentially, except for answers whose paths are many and tiny; pruning removes those (RPC).

The target is the model at temperature 1. Samples drawn at another temperature reach other paths, not other
weights, while a vote over them estimates another law. Confidence is the share of the explored mass. Where the
theory speaks of whole-path probabilities, the authors' program takes geometric means; `aggregation` says when which
is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from educe.core import Posterior, UsageError, nearest
from educe.lm import Session
from educe.reason.aggregation import PROBABILITIES, aggregate
from educe.reason.bank_row import BankRow
from educe.reason.question import Answer, Question, read_answers
from educe.reason.strategy import Strategy, register

__all__ = ["RPC", "PerplexityConsistency"]


@register("perplexity-consistency")
@dataclass(frozen=True, repr=False)
class PerplexityConsistency(Strategy):
    """Add up the model's probabilities of each answer's distinct paths.

    Parameters
    ----------
    n : int
        Number of samples, >= 1.
    prob : str
        ``"sequence"`` (whole path), ``"geometric"`` (mean per token) or ``"auto"`` (see `aggregate`).
    temperature : float
        Sampling temperature, > 0. The weights are those of temperature 1 whatever it is.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.
    equal : callable, optional
        Takes two answers and tells whether they are one, beyond what their canonical forms tell.

    Examples
    --------
    >>> from educe.lm import Session, TabularLM
    >>> from educe.core import run_sync
    >>> lm = TabularLM({"": {"The answer is 4.": 0.75, "The answer is 5.": 0.25}})
    >>> posterior = run_sync(PerplexityConsistency(n=20)(Question("2 + 2 = ?"), Session(lm)))
    >>> posterior.mode().text, round(posterior.confidence, 6)
    ('4', 0.75)
    """

    requires: ClassVar[tuple[str, ...]] = ("logprobs",)
    how: ClassVar[str] = "pc"
    n: int = 16
    prob: Literal["auto", "sequence", "geometric"] = "auto"
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    equal: Callable[[Answer, Answer], bool] | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1:
            raise UsageError(f"n={self.n}, max_tokens={self.max_tokens} draw nothing. Give numbers >= 1.")
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all samples equal. Give temperature > 0.")
        if self.prob not in PROBABILITIES:
            raise UsageError(f"prob={self.prob!r} is unknown; {nearest(self.prob, PROBABILITIES)}")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        completions = await lm.sample(
            question.messages(),
            n=self.n,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
        )
        row = BankRow.of(completions, await read_answers(question, completions))
        return aggregate(row, self.how, prob=self.prob, equal=self.equal, ledger=lm.ledger)


@register("rpc")
@dataclass(frozen=True, repr=False)
class RPC(PerplexityConsistency):
    """Perplexity consistency after pruning the paths that a Weibull mixture finds improbable.

    Parameters
    ----------
    n : int
        Number of samples, >= 1. Fewer than 8 are not pruned.
    prob : str
        ``"sequence"`` (whole path), ``"geometric"`` (mean per token) or ``"auto"`` (see `aggregate`).
    temperature : float
        Sampling temperature, > 0. The weights are those of temperature 1 whatever it is.
    top_p : float
        Nucleus mass, in (0, 1].
    max_tokens : int
        Most tokens of a sample, >= 1.
    equal : callable, optional
        Takes two answers and tells whether they are one, beyond what their canonical forms tell.
    prune : str or None
        ``"weibull"``; None makes it `PerplexityConsistency`.

    Examples
    --------
    >>> RPC(n=32, prune=None)
    RPC(n=32, prune=None)
    """

    prune: Literal["weibull"] | None = "weibull"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prune not in ("weibull", None):
            raise UsageError(f"prune={self.prune!r} is unknown. Give 'weibull' or None.")

    @property
    def how(self) -> str:  # type: ignore[override]
        """Name of the aggregation."""
        return "rpc" if self.prune else "pc"
