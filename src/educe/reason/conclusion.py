"""From finished paths with scores to a posterior over answers: weighted vote, best path, or plain vote.

Sources: Li et al. (2023), arXiv:2206.02336 (answers weighted by a verifier's scores, summed over equal answers); Efron
(1979) for the law of the best of n, see `winner_law`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from educe.core import Posterior
from educe.lm import Session
from educe.reason.best_of_n import winner_law
from educe.reason.question import Answer, Question, read_answers
from educe.reason.reward import Aggregation, aggregate_scores
from educe.reason.steps import Prefix

__all__ = ["Final", "conclude"]

Final = Literal["weighted", "best", "majority"]


async def conclude(
    question: Question,
    prefixes: Sequence[Prefix],
    lm: Session,
    *,
    final: Final = "weighted",
    aggregation: Aggregation = "last",
    details: Mapping[str, Any] | None = None,
) -> Posterior[Answer]:
    """Turn finished answers into a posterior.

    Parameters
    ----------
    question : Question
        What was asked.
    prefixes : sequence of Prefix
        Answers with their scores. Those that a budget has cut do not count.
    lm : Session
        Gives the ledger.
    final : str
        ``"weighted"`` sums the scores of equal answers, ``"best"`` takes the law of the best path, ``"majority"``
        counts.
    aggregation : str
        How the scores of a path become one; see `aggregate_scores`.
    details : mapping, optional
        Added to the posterior's own: ``unread``, ``scores``, ``steps``, ``texts``.

    Returns
    -------
    Posterior of Answer
        One value per path whose answer could be read.
    """
    whole = [prefix for prefix in prefixes if prefix.complete]
    answers = await read_answers(question, [prefix.completion() for prefix in whole])
    read = [(answer, prefix) for answer, prefix in zip(answers, whole, strict=True) if answer is not None]
    scores = [aggregate_scores(prefix.scores, aggregation) for _, prefix in read]
    weights = {"weighted": scores, "best": winner_law(scores), "majority": [1.0] * len(scores)}[final]
    return Posterior(
        [answer for answer, _ in read],
        [math.log(weight) if weight > 0 else -math.inf for weight in weights],  # type: ignore[arg-type]
        ledger=lm.ledger,
        details={
            "unread": len(prefixes) - len(read),
            "scores": scores,
            "steps": [len(prefix.steps) for _, prefix in read],
            "texts": [prefix.text for _, prefix in read],
            **(details or {}),
        },
    )
