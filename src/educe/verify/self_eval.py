"""`SelfEval`: the model's own probability, asked by one special token, that its answer is or will be right.

After a whole or unfinished answer stands the token ``<|check|>``; what counts is the probability of `` yes`` against
`` no`` as the next token. The model is trained on its own answers, marked by a checker, and on beginnings of them.
Source: Manvi et al. (2024), arXiv:2410.02725 (one token, also mid-way); Kadavath et al. (2022), arXiv:2207.05221.

What this file does not do: train it (`educe.learn.train_self_eval`), or work on a model that was not so trained.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from educe.core.errors import UsageError
from educe.lm import LanguageModel, Message, Session

__all__ = ["SelfEval"]


@dataclass(frozen=True)
class SelfEval:
    """Self-evaluation, as a reward for all searchers and on its own.

    Parameters
    ----------
    check : str
        The token that asks.
    yes, no : str
        The two replies.

    Examples
    --------
    >>> import educe
    >>> from educe.tasks import make
    >>> problem = make("chain_arithmetic", 1)[0]
    >>> probability, = SelfEval().score(educe.load("abacus"), problem.prompt, [problem.solution])
    >>> 0 < probability < 1
    True
    """

    name: ClassVar[str] = "self-eval-token"
    requires: ClassVar[tuple[str, ...]] = ("score",)
    check: str = "<|check|>"
    yes: str = " yes"
    no: str = " no"

    async def probability(self, messages: Sequence[Message], text: str, lm: LanguageModel | Session) -> float | None:
        """Return the probability that an answer is or will be right, in (0, 1).

        Parameters
        ----------
        messages : sequence of Message
            The chat that asks the question.
        text : str
            The answer, whole or up to any place.
        lm : LanguageModel or Session
            The model; a session is charged for the question and the answer, read once.

        Returns
        -------
        float or None
            None where the budget forbids the request.
        """
        if not messages:
            raise UsageError("The chat has no message. Give the question.")
        begun = Message(role="assistant", content=text.rstrip("\n") + self.check)
        rows = await lm.score([*messages, begun], [self.yes, self.no])
        if len(rows) < 2:
            return None
        return 1.0 / (1.0 + math.exp(min(700.0, rows[1].logprob - rows[0].logprob)))

    def score(
        self, lm: LanguageModel | Session, question: str | Sequence[Message], texts: Sequence[str]
    ) -> list[float]:
        """`probability` of several answers, for ordinary code; NaN where the budget forbade it.

        Parameters
        ----------
        lm : LanguageModel or Session
            The model.
        question : str or sequence of Message
            The question, or the chat that asks it.
        texts : sequence of str
            Answers, whole or in part.

        Returns
        -------
        list of float
        """
        from educe.core.sync import run_sync

        messages = [Message(role="user", content=question)] if isinstance(question, str) else question

        async def all_of_them() -> list[float | None]:
            return list(await asyncio.gather(*(self.probability(messages, text, lm) for text in texts)))

        return [math.nan if value is None else value for value in run_sync(all_of_them())]

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
        texts = [
            ["".join(step.text for step in prefix.steps[: place + 1]) for place in _unscored(prefix)]
            for prefix in prefixes
        ]
        distinct = list(dict.fromkeys(text for group in texts for text in group))
        messages = question.messages()
        values = await asyncio.gather(*(self.probability(messages, text, lm) for text in distinct))
        found = dict(zip(distinct, values, strict=True))
        results: list[list[float] | None] = []
        for group in texts:
            scores = [value for text in group if (value := found[text]) is not None]
            results.append(scores if len(scores) == len(group) else None)
        return results


def _unscored(prefix: Any) -> range:
    return range(len(prefix.scores), len(prefix.steps))
