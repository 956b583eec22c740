"""Answers that a decoder draws to problems, marked by the problems' checkers: the labels of reward models.

All problems are put as the decoder was trained: the question by `question_text`, then the answer. Problems come from
the caller, who should take them from the training split alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers

from educe.core.seed import Seed
from educe.learn.batched_sampling import sample_batch
from educe.learn.word_tokenizer import END, token_id
from educe.lm.decoder import Decoder
from educe.tasks import Problem

__all__ = ["Rollout", "question_text", "roll_out"]


def question_text(question: str) -> str:
    """Put a question as the chat template of `educe.learn.train_tokenizer` does.

    Parameters
    ----------
    question : str
        Its text, options and instruction included.

    Examples
    --------
    >>> question_text("What is 2 + 2?")
    'Question: What is 2 + 2?\\nAnswer:\\n'
    """
    return f"Question: {question}\nAnswer:\n"


@dataclass(frozen=True)
class Rollout:
    """One answer.

    Parameters
    ----------
    problem : Problem
        What was asked.
    prompt : list of int
        The question in tokens.
    given : list of int
        The beginning of the answer that was given, in tokens.
    drawn : list of int
        What was drawn after it, without the end token.
    text : str
        The whole answer.
    right : bool
        Whether its final answer is.

    Examples
    --------
    >>> from educe.tasks import make
    >>> Rollout(make("letters", 1)[0], [1], [], [2], "no idea", False).right
    False
    """

    problem: Problem
    prompt: list[int]
    given: list[int]
    drawn: list[int]
    text: str
    right: bool


def roll_out(
    decoder: Decoder,
    tokenizer: tokenizers.Tokenizer,
    problems: Sequence[Problem],
    *,
    given: Sequence[Sequence[int]] | None = None,
    temperature: float = 1.0,
    max_tokens: int = 160,
    seed: int | Seed = 0,
) -> list[Rollout]:
    """Draw one answer to each problem; name a problem several times for several answers.

    Parameters
    ----------
    decoder : Decoder
        The model.
    tokenizer : tokenizers.Tokenizer
        Its tokenizer.
    problems : sequence of Problem
        What to ask.
    given : sequence of sequences of int, optional
        For each problem the beginning of an answer, in tokens.
    temperature : float
        Divides the logits, >= 0.
    max_tokens : int
        Most tokens drawn for an answer.
    seed : int or Seed
        Root of all draws.

    Returns
    -------
    list of Rollout
        In the order of the problems.

    Examples
    --------
    >>> roll_out(Decoder.load(folder), tokenizer, make("letters", 100, "train"))  # doctest: +SKIP
    """
    end = token_id(tokenizer, END)
    distinct: dict[int, list[int]] = {}
    for problem in problems:
        if id(problem) not in distinct:
            distinct[id(problem)] = tokenizer.encode(question_text(problem.prompt)).ids
    prompts = [distinct[id(problem)] for problem in problems]
    begun = [list(beginning) for beginning in given] if given is not None else [[] for _ in problems]
    rows = sample_batch(
        decoder,
        [[*prompt, *beginning] for prompt, beginning in zip(prompts, begun, strict=True)],
        end=end,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    results = []
    for problem, prompt, beginning, row in zip(problems, prompts, begun, rows, strict=True):
        drawn = row[:-1] if row[-1] == end else row
        text = tokenizer.decode([*beginning, *drawn], skip_special_tokens=True)
        results.append(Rollout(problem, prompt, beginning, drawn, text, problem.check(text)))
    return results
