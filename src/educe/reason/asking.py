"""`ask`: one question, one method, one model, one budget; a posterior and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from educe.core import Budget, Ledger, Posterior, Seed, UsageError, run_sync
from educe.lm import Chunk, LanguageModel, Session, load
from educe.lm.packaged import ASKED_BARE
from educe.reason.question import Answer, Question
from educe.reason.strategy import Strategy, make_method

__all__ = ["ask", "ask_sync", "result_json"]

DEFAULT_METHOD = "self-consistency"


async def ask(
    question: Question | str,
    lm: LanguageModel | Session | str | None = None,
    method: Strategy | str = DEFAULT_METHOD,
    *,
    budget: Budget | None = None,
    seed: int | Seed = 0,
    on_chunk: Callable[[Chunk, Ledger], None] | None = None,
) -> Posterior[Answer]:
    """Answer a question.

    A model that was trained on bare questions gets no examples of ours, and no instruction, where the question leaves
    both open.

    Parameters
    ----------
    question : Question or str
        What to answer.
    lm : LanguageModel, Session or str, optional
        The model, its name for `educe.load`, or a session that already has budget and seed. The default model when
        left out.
    method : Strategy or str
        The method, or its text for `make_method`.
    budget : Budget, optional
        Limits; none when left out.
    seed : int or Seed
        Root of all draws.
    on_chunk : callable, optional
        For progress displays, see `Session`.

    Returns
    -------
    Posterior of Answer
        With the ledger of the whole run; without mass when no answer could be read.

    Raises
    ------
    UsageError
        The question, method or model is unknown or malformed, or a session is given with budget or seed.
    CapabilityError
        The model lacks what the method needs.
    BackendError
        The model or server failed.

    Examples
    --------
    >>> import asyncio
    >>> posterior = asyncio.run(ask("How many legs do three spiders have?", "fake:The answer is 24."))
    >>> posterior.mode().text, posterior.ledger.samples
    ('24', 16)
    """
    asked = Question(question) if isinstance(question, str) else question
    strategy = make_method(method, budget) if isinstance(method, str) else method
    if isinstance(lm, Session):
        if budget is not None or on_chunk is not None:
            raise UsageError("A session has its own budget and display. Give them to the session.")
        session = lm
    else:
        model = lm if isinstance(lm, LanguageModel) else load(lm)
        session = Session(model, budget, seed, on_chunk=on_chunk)
    session.lm.require(*strategy.requires)
    if session.lm.name in ASKED_BARE and asked.examples is None and asked.instruction is None:
        asked = replace(asked, examples=(), instruction="")
    return await strategy(asked, session)


def ask_sync(question: Question | str, *arguments: Any, **options: Any) -> Posterior[Answer]:
    """`ask` for ordinary code; also works inside a running loop (notebooks).

    Parameters
    ----------
    question : Question or str
        What to answer.
    *arguments, **options
        As for `ask`.

    Examples
    --------
    >>> ask_sync("Is ice cold?", "fake:The answer is yes.", "greedy").mode().text
    'yes'
    """
    return run_sync(ask(question, *arguments, **options))


def result_json(
    question: Question,
    posterior: Posterior[Answer],
    *,
    method: Strategy | str,
    lm: str,
    seed: int,
    seconds: bool = True,
) -> dict[str, Any]:
    """Return the object that ``--json`` prints.

    Parameters
    ----------
    question : Question
        What was asked.
    posterior : Posterior of Answer
        What came out.
    method : Strategy or str
        What was used.
    lm : str
        Name of the model.
    seed : int
        Root of all draws.
    seconds : bool
        Keep in the ledger what differs between equal runs: wall times, and what a cache happened to hold. Batch files
        leave both out, so that equal runs give equal files.

    Returns
    -------
    dict
        ``id`` (where given), ``question``, ``answer`` (null without mass), ``confidence``, ``posterior`` (answers and
        probabilities, most probable first), ``ledger``, ``seed``, ``method``, ``lm``.
    """
    shown = posterior.to_json()
    ledger = shown["ledger"]
    if not seconds:
        ledger = {name: value for name, value in ledger.items() if "seconds" not in name and name != "cached_tokens"}
    return {
        **({} if question.id is None else {"id": question.id}),
        "question": question.text,
        "answer": shown["posterior"][0]["answer"] if shown["posterior"] and posterior.confidence else None,
        "confidence": posterior.confidence,
        "posterior": shown["posterior"],
        "ledger": ledger,
        "seed": seed,
        "method": str(method),
        "lm": lm,
    }
