"""P(True): ask the model whether a proposed answer is right, and read the probability of "true".

Source: Kadavath et al. (2022), Language Models (Mostly) Know What They Know, arXiv:2207.05221, sections 3 and 4. The
model sees the question, perhaps some of its own samples as brainstormed ideas, the proposed answer, and two lettered
options; P(True) is the share of the letter of "True". Asking in both orders and averaging removes the bias towards a
letter or towards what comes first.

Untrained small models sit near one half and are poorly calibrated here; examples (`shots`) help large ones.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch

from educe.core import Posterior, UsageError, run_sync
from educe.lm import LanguageModel, Session

__all__ = ["Judgement", "PTrueScorer", "Shot", "judge", "p_true", "reweigh"]

T = TypeVar("T")


class Shot(NamedTuple):
    """A worked example: a question, a proposed answer, whether it is right, and other ideas."""

    question: str
    answer: str
    right: bool
    others: tuple[str, ...] = ()


class Judgement(NamedTuple):
    """P(True), the probability that the two letters got together, and how much the order of the options moved it."""

    probability: float
    mass: float
    swing: float


def _block(question: str, answer: str, others: Sequence[str], true_first: bool) -> str:
    ideas = ["Here are some brainstormed ideas:", *others] if others else []
    options = ("(A) True", "(B) False") if true_first else ("(A) False", "(B) True")
    return "\n".join(
        [
            f"Question: {question}",
            *ideas,
            f"Proposed Answer: {answer}",
            "Is the proposed answer:",
            *options,
            "The proposed answer is:",
        ]
    )


async def judge(
    model: LanguageModel | Session,
    question: str,
    answer: str,
    others: Sequence[str] = (),
    shots: Sequence[Shot] = (),
    *,
    swap: bool = True,
) -> Judgement | None:
    """Ask whether an answer is right.

    Parameters
    ----------
    model : LanguageModel or Session
        A model that scores given text.
    question, answer : str
        What was asked, and the answer proposed.
    others : sequence of str
        Other answers of the model to the same question, shown as ideas.
    shots : sequence of Shot
        Worked examples, shown first.
    swap : bool
        Ask in both orders of the options and average.

    Returns
    -------
    Judgement or None
        None where the budget forbids a request.

    Raises
    ------
    UsageError
        The question or the answer is empty.
    CapabilityError
        The model does not score given text.
    """
    if not question.strip() or not answer.strip():
        raise UsageError("The question or the proposed answer is empty. Give both as texts.")
    lm = model.lm if isinstance(model, Session) else model
    lm.require("score")
    found, masses = [], []
    for true_first in (True, False) if swap else (True,):
        letter = "A" if true_first else "B"
        parts = [
            f"{_block(shot.question, shot.answer, shot.others, true_first)} "
            f"({letter if shot.right else ('B' if true_first else 'A')})"
            for shot in shots
        ]
        prompt = "\n\n".join([*parts, _block(question, answer, others, true_first)])
        rows = await model.score(prompt, [" (A)", " (B)"])
        if len(rows) < 2:
            return None
        first, second = (row.logprob for row in rows)
        share = 1.0 / (1.0 + math.exp(min(700.0, second - first)))
        found.append(share if true_first else 1.0 - share)
        masses.append(math.exp(first) + math.exp(second))
    return Judgement(sum(found) / len(found), sum(masses) / len(masses), max(found) - min(found))


def p_true(
    model: LanguageModel | Session,
    question: str,
    answer: str,
    others: Sequence[str] = (),
    shots: Sequence[Shot] = (),
    *,
    swap: bool = True,
) -> float:
    """Probability, in the model's own judgement, that an answer is right.

    Parameters
    ----------
    model, question, answer, others, shots, swap
        See `judge`.

    Returns
    -------
    float
        In [0, 1]; NaN where a session's budget forbade the request.

    Raises
    ------
    UsageError, CapabilityError
        As in `judge`.

    Examples
    --------
    >>> from educe.lm import TabularLM
    >>> def law(prompt, text):
    ...     true = "A" if "(A) True" in prompt.rpartition("Is the")[2] else "B"
    ...     return {"": 1.0} if text else {" (A)": 0.8, " (B)": 0.2} if true == "A" else {" (A)": 0.4, " (B)": 0.6}
    >>> round(p_true(TabularLM(law), "2 + 2 = ?", "4"), 6)
    0.7
    """
    found = run_sync(judge(model, question, answer, others, shots, swap=swap))
    return math.nan if found is None else found.probability


@dataclass(frozen=True)
class PTrueScorer:
    """P(True) as a reward for the searchers and samplers of `educe.reason`.

    Parameters
    ----------
    n_others : int
        Own samples of the same question to show as ideas, >= 0. They are drawn once per call and charged to the
        session.
    shots : tuple of Shot
        Worked examples.
    swap : bool
        Ask in both orders of the options.
    temperature : float
        Of the other samples, > 0.
    max_tokens : int
        Most tokens of one, >= 1.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> PTrueScorer(n_others=5).requires
    ('score',)
    """

    name: ClassVar[str] = "p-true"
    requires: ClassVar[tuple[str, ...]] = ("score",)
    n_others: int = 0
    shots: tuple[Shot, ...] = ()
    swap: bool = True
    temperature: float = 1.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if self.n_others < 0 or self.max_tokens < 1 or not self.temperature > 0:
            raise UsageError(
                f"n_others={self.n_others}, max_tokens={self.max_tokens}, temperature={self.temperature} is out of "
                "range. Give n_others >= 0 and the others above 0."
            )

    async def __call__(self, question: Any, prefixes: Sequence[Any], lm: Session) -> list[list[float] | None]:
        """Score the steps that have no score yet; see `educe.reason.Reward`. Equal texts are asked about once.

        Parameters
        ----------
        question : Question
            What is being answered.
        prefixes : sequence of Prefix
            Each lacks scores for ``steps[len(scores):]``.
        lm : Session
            The model, metered.
        """
        others: tuple[str, ...] = ()
        if self.n_others:
            rows = await lm.sample(
                question.messages(),
                n=self.n_others,
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                key=("p-true",),
            )
            others = tuple(row.text.strip() for row in rows if row.text.strip())
        texts = [_so_far(prefix) for prefix in prefixes]
        distinct = [text for text in dict.fromkeys(text for group in texts for text in group) if text.strip()]
        found = await asyncio.gather(
            *(judge(lm, question.text, text.strip(), others, self.shots, swap=self.swap) for text in distinct)
        )
        known = {text: one.probability for text, one in zip(distinct, found, strict=True) if one is not None}
        results: list[list[float] | None] = []
        for group in texts:
            # An empty answer is no answer, and is not asked about.
            values = [known.get(text) if text.strip() else 0.0 for text in group]
            scores = [value for value in values if value is not None]
            results.append(scores if len(scores) == len(values) else None)
        return results


def _so_far(prefix: Any) -> list[str]:
    """The answer as far as each step that has no score."""
    texts = [step.text for step in prefix.steps]
    return ["".join(texts[: place + 1]) for place in range(len(prefix.scores), len(texts))]


def reweigh(posterior: Posterior[T], score: Callable[[T], float]) -> Posterior[T]:
    """Multiply a posterior's weights by a score of its values, such as P(True).

    Parameters
    ----------
    posterior : Posterior
        Answers.
    score : callable
        ``score(value)`` returns a number >= 0; NaN counts as 0. It is asked once per distinct value.

    Returns
    -------
    Posterior
        One value per distinct value; the evidence is dropped, since the target is another.

    Raises
    ------
    UsageError
        A score is negative or infinite.

    Examples
    --------
    >>> votes = Posterior.uniform(["4", "5", "5"])
    >>> reweigh(votes, {"4": 0.9, "5": 0.1}.get).mode()
    '4'
    """
    distinct: Posterior[T] = posterior.marginal()
    logs = []
    for value in distinct.values:
        found = score(value)  # type: ignore[arg-type]
        if found < 0 or math.isinf(found):
            raise UsageError(f"The score {found} of {value!r} is no weight. Let it be a finite number >= 0.")
        logs.append(math.log(found) if found > 0 else -math.inf)
    weights = distinct.log_weights + torch.tensor(logs, dtype=torch.float64)
    return Posterior(distinct.values, weights, ledger=posterior.ledger, details=posterior.details)
