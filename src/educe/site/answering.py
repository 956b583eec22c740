"""Answers one question of the page, and writes down what readers see meanwhile: samples, the tally, the ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from educe.core import Budget, EduceError, Ledger, Posterior, UsageError
from educe.lm import Chunk, LanguageModel, Session, load
from educe.reason import Question, ask, make_method, result_json
from educe.site.config import Limits
from educe.site.queue import report_progress, wanted_cancel
from educe.site.schema import Answered
from educe.site.state import Site
from educe.verify.answers import extract

__all__ = ["Samples", "answer_question", "check_question"]

INTERVAL = 0.25
MOST_SHOWN = 64
MOST_TEXT = 400


class Samples:
    """Gathers the samples of one question as they come; fits `Session`'s ``on_chunk``.

    Parameters
    ----------
    question : Question
        Tells how to read an answer.

    Examples
    --------
    >>> samples = Samples(Question("2 + 2?"))
    >>> samples(Chunk(0, "The answer is 4.", finish="stop"), Ledger(samples=1))
    >>> samples.shown()["tally"]
    [['4', 1]]
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._open: dict[int, str] = {}
        self._done: list[dict[str, Any]] = []
        self._tally: Counter[str] = Counter()
        self._unread = 0
        self._ledger = Ledger()
        self.changed = False

    def __call__(self, chunk: Chunk, ledger: Ledger) -> None:
        """Take one chunk."""
        self._ledger, self.changed = ledger, True
        text = self._open.get(chunk.row, "") + chunk.text
        if chunk.finish is None:
            self._open[chunk.row] = text
            return
        self._open.pop(chunk.row, None)
        answer = extract(text, self._question.answer_kind, self._question.choices)
        if answer is None:
            self._unread += 1
        else:
            self._tally[answer] += 1
        if len(self._done) < MOST_SHOWN:
            self._done.append({"text": text[-MOST_TEXT:], "answer": answer})

    def shown(self) -> dict[str, Any]:
        """Return what readers see: finished samples, the newest text, the tally, what it cost so far."""
        newest = next(reversed(self._open.values()), "")
        return {
            "samples": self._done,
            "newest": newest[-MOST_TEXT:],
            "tally": [[answer, count] for answer, count in self._tally.most_common(8)],
            "unread": self._unread,
            "ledger": self._ledger.to_json(),
        }


def check_question(limits: Limits, row: Answered, models: tuple[str, ...]) -> tuple[Question, Any, Budget]:
    """Read a question's parts, and refuse what is malformed or beyond the limits.

    Parameters
    ----------
    limits : Limits
        Caps on samples, tokens and seconds.
    row : Answered
        The question.
    models : tuple of str
        Names that are served.

    Returns
    -------
    tuple
        Question, method and budget.

    Raises
    ------
    UsageError
        Something is unknown, malformed, or asks for too much.
    """
    if row.lm not in models and not row.lm.startswith("fake:"):
        raise UsageError(f"Model {row.lm[:60]!r} is not served here. Served: {', '.join(models)}; and fake:TEXT.")
    choices = tuple(row.question.get("choices") or ())
    question = Question(row.question["text"], row.question.get("kind") or None, choices)
    budget = Budget.parse(row.budget)
    caps = {"samples": limits.samples, "tokens": limits.tokens, "seconds": limits.answer_seconds}
    for name, most in caps.items():
        wanted = getattr(budget, name)
        if wanted is not None and wanted > most:
            raise UsageError(f"Budget {name}={wanted} is above this page's limit of {most:g}. Ask for less.")
    method = make_method(row.method, budget)
    drawn = getattr(method, "n", None)
    if isinstance(drawn, int) and drawn > limits.samples:
        raise UsageError(f"n={drawn} is above this page's limit of {limits.samples} samples. Ask for fewer.")
    whole = {**caps, **budget.limits()}
    return question, method, Budget(**whole)  # type: ignore[arg-type]


async def answer_question(site: Site, row: Answered) -> tuple[str, dict[str, Any]]:
    """Answer a question of the queue.

    Parameters
    ----------
    site : Site
        Models and database.
    row : Answered
        The question.

    Returns
    -------
    tuple
        The state it ended in and further columns: ``progress``, ``result`` or ``error``.
    """
    samples: Samples | None = None
    try:
        question, method, budget = check_question(site.config.limits, row, site.pool.names)
        samples = Samples(question)
        if row.lm.startswith("fake:"):
            result, cancelled = await _ask(site, row, load(row.lm), question, method, budget, samples)
        else:
            async with site.pool.lease(row.lm) as lm:
                result, cancelled = await _ask(site, row, lm, question, method, budget, samples)
    except EduceError as error:
        values: dict[str, Any] = {"error": " ".join(str(error).split())}
        return "failed", {**values, **({"progress": samples.shown()} if samples else {})}
    except Exception as error:
        site.log.event("answer", error=error)
        return "failed", {"error": f"{type(error).__name__} in the server."}
    return ("cancelled" if cancelled else "finished"), {"result": result, "progress": samples.shown()}


async def _ask(
    site: Site, row: Answered, lm: LanguageModel, question: Question, method: Any, budget: Budget, samples: Samples
) -> tuple[dict[str, Any], bool]:
    session = Session(lm, budget, row.seed, on_chunk=samples)
    task = asyncio.create_task(ask(question, session, method))
    cancelled = False
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=INTERVAL)
            if samples.changed and not task.done():
                samples.changed = False
                await asyncio.to_thread(report_progress, site.database, Answered, row.id, samples.shown())
            if not cancelled and await asyncio.to_thread(wanted_cancel, site.database, Answered, row.id):
                cancelled = True
                session.stop()  # Softly: what was drawn by now is the answer.
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    posterior: Posterior[Any] = task.result()
    return result_json(
        question, posterior, method=method, lm=row.lm, seed=row.seed
    ), posterior.ledger.stopped_by == "interrupt"
