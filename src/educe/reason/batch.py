"""Many questions, under any executor, with nothing lost: each answer is stored before the next is shown.

A unit of work is (method, question, seed, model, budget) under a content hash. Finished units are taken
from the store; what a killed run left unfinished is done again, with the same seeds, so the answers are those of
an unbroken run. A question that the method cannot take is answered with its error; a model that fails ends the batch.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from educe.core import (
    Budget,
    CapabilityError,
    Executor,
    Ledger,
    Store,
    StoredUnit,
    StoreError,
    UsageError,
    content_hash,
)
from educe.lm import LanguageModel, Session, load
from educe.reason.asking import DEFAULT_METHOD, ask, result_json
from educe.reason.question import Question
from educe.reason.strategy import make_method

__all__ = ["Unit", "read_questions", "solve", "solve_all"]

_models: dict[tuple[str, str], LanguageModel] = {}


@dataclass(frozen=True)
class Unit:
    """One question to answer in one way; plain data, so that it can travel to another process.

    Parameters
    ----------
    question : Question
        What to answer.
    method : str
        Text for `make_method`.
    lm, dtype : str
        Arguments for `educe.load`.
    seed : int
        Root of all draws.
    budget : Budget
        Limits of this question.
    """

    question: Question
    method: str = DEFAULT_METHOD
    lm: str = ""
    dtype: str = "float32"
    seed: int = 0
    budget: Budget = field(default_factory=Budget)

    def digest(self, fingerprint: str) -> str:
        """Return the content hash under which the answer is stored.

        Parameters
        ----------
        fingerprint : str
            What tells the model's weights from all others'.
        """
        strategy = make_method(self.method, self.budget)
        return content_hash(
            "answer", strategy.to_json(), self.question.to_json(), fingerprint, self.seed, self.budget.limits()
        )


def read_questions(lines: Iterable[str]) -> list[Question]:
    """Read questions from JSON lines, all of them before any work begins.

    Parameters
    ----------
    lines : iterable of str
        One object a line: ``question``, and perhaps ``id``, ``kind``, ``choices``, ``examples``, ``instruction``. Blank
        lines are passed over; a question without an id gets its line number.

    Returns
    -------
    list of Question

    Raises
    ------
    UsageError
        A line is malformed, an id occurs twice, or there is no question; the message names the line.

    Examples
    --------
    >>> read_questions(['{"id": "a", "question": "Is ice cold?"}'])[0].id
    'a'
    """
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            question = Question.from_json(json.loads(line))
        except (json.JSONDecodeError, RecursionError) as error:
            raise UsageError(f"Line {number} is no JSON: {error}. Write one object a line.") from None
        except UsageError as error:
            raise UsageError(f"Line {number}: {error}") from None
        if question.id is None:
            question = replace(question, id=str(number))
        identity = str(question.id)
        if identity in seen:
            raise UsageError(f"Line {number}: the id {identity!r} is that of line {seen[identity]}. Use distinct ids.")
        seen[identity] = number
        questions.append(question)
    if not questions:
        raise UsageError('There is no question in the input. Give JSON lines like {"id": "1", "question": "..."}.')
    return questions


async def solve(unit: Unit) -> dict[str, Any]:
    """Answer one unit; runs here or in a worker process.

    Parameters
    ----------
    unit : Unit
        What to do. The model is loaded once per process.

    Returns
    -------
    dict
        ``result`` (as printed, without id), ``ledger``, and ``error`` where the method cannot take the question.
    """
    lm = _models.get((unit.lm, unit.dtype))
    if lm is None:
        lm = _models[unit.lm, unit.dtype] = load(unit.lm, dtype=unit.dtype)
    question = replace(unit.question, id=None)
    method = make_method(unit.method, unit.budget)
    session = Session(lm, unit.budget, unit.seed)
    try:
        posterior = await ask(question, session, method)
    except (UsageError, CapabilityError) as error:
        return {"result": None, "ledger": session.ledger.to_json(), "error": str(error)}
    result = result_json(question, posterior, method=unit.method, lm=unit.lm, seed=unit.seed, seconds=False)
    return {"result": result, "ledger": posterior.ledger.to_json(), "error": None}


def _line(unit: Unit, solved: dict[str, Any]) -> dict[str, Any]:
    if solved["error"] is not None:
        return {"id": unit.question.id, "question": unit.question.text, "error": solved["error"]}
    return {"id": unit.question.id, **solved["result"]}


def _stored(unit: Unit, digest: str, solved: dict[str, Any]) -> StoredUnit:
    ledger = Ledger.from_json(solved["ledger"])
    return StoredUnit(
        hash=digest,
        kind="answer",
        method=unit.method,
        item=unit.question.to_json(),
        seed=unit.seed,
        lm=unit.lm,
        status="done" if solved["error"] is None else "failed",
        result=solved["result"],
        ledger=ledger,
        error=solved["error"],
        seconds=ledger.seconds,
    )


async def solve_all(
    units: Sequence[Unit],
    lm: LanguageModel,
    executor: Executor,
    store: Store,
    *,
    limit: int | None = None,
    fresh: bool = False,
) -> AsyncGenerator[dict[str, Any], None]:
    """Answer many units and yield their output objects in input order, each as soon as those before it are done.

    Parameters
    ----------
    units : sequence of Unit
        All of one model.
    lm : LanguageModel
        That model, loaded; workers of this process use it as it is.
    executor : Executor
        Where the work runs.
    store : Store
        Where finished answers lie.
    limit : int, optional
        Most units in flight.
    fresh : bool
        Do everything again, whatever the store holds.

    Yields
    ------
    dict
        See `result_json`, without wall times; ``id``, ``question`` and ``error`` for a question that failed.

    Raises
    ------
    BackendError, StoreError
        The model failed or an answer cannot be kept; all earlier answers are in the store.
    """
    _models.update({(unit.lm, unit.dtype): lm for unit in units})
    digests = [unit.digest(lm.fingerprint) for unit in units]
    ready: dict[str, dict[str, Any]] = {}
    # Equal questions are one unit of work with several ids.
    owners = {digest: index for index, digest in reversed(list(enumerate(digests)))}
    for digest in owners if not fresh else ():
        kept = store.get(digest)
        if kept is not None and kept.status == "done":
            ready[digest] = {"result": kept.result, "ledger": kept.ledger.to_json(), "error": None}
    todo = [index for digest, index in owners.items() if digest not in ready]
    todo.sort()
    position = 0
    while position < len(units) and digests[position] in ready:
        yield _line(units[position], ready[digests[position]])
        position += 1
    results = executor.map(solve, [units[index] for index in todo], limit=limit)
    async for place, solved in results:
        index = todo[place]
        ready[digests[index]] = solved
        failure: StoreError | None = None
        try:
            store.put(_stored(units[index], digests[index], solved))
        except StoreError as error:
            # What can be shown is shown before the batch ends: a full disk must not cost a finished answer.
            failure = error
        while position < len(units) and digests[position] in ready:
            yield _line(units[position], ready[digests[position]])
            position += 1
        if failure is not None:
            raise failure
