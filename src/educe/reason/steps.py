"""Reasoning step by step: what ends a step (`StepPolicy`), a partial answer (`Prefix`), and drawing many next steps.

A partial answer is put to the model as the beginning of its own turn, so the next step is drawn from the same law as
if the model had never been stopped. Steps that go on from one text are rows of one request, different texts are
requests at one moment. What this file does not do: judge steps; that is `educe.reason.reward`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from educe.core import UsageError
from educe.lm import Completion, Message, Prompt, Session
from educe.reason.question import Question

__all__ = ["Prefix", "Step", "StepPolicy", "draw_whole", "extend"]

# Used only for servers that do not tell a stop text from the model's own end.
_ANNOUNCED = re.compile(r"\banswer is\b|\\boxed\{|^#### ", re.I | re.M)


class Step(NamedTuple):
    """One step: its text with the boundary that ends it, how many tokens, and their log-probability where known."""

    text: str
    tokens: int = 0
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Prefix:
    """An answer under way: steps, and the scores that a reward gave to them.

    Parameters
    ----------
    steps : tuple of Step
        What is written so far.
    scores : tuple of float
        One per step that was scored, in order.
    ended : str or None
        None while the answer can go on; ``"stop"`` when the model ended it, ``"length"`` when it ran out of steps or
        tokens, ``"budget"`` when the session cut it.

    Examples
    --------
    >>> Prefix((Step("2 + 2 = 4.\\n"), Step("The answer is 4."))).text
    '2 + 2 = 4.\\nThe answer is 4.'
    """

    steps: tuple[Step, ...] = ()
    scores: tuple[float, ...] = ()
    ended: str | None = None

    @property
    def text(self) -> str:
        """All steps together."""
        return "".join(step.text for step in self.steps)

    @property
    def tokens(self) -> int:
        """Tokens of all steps."""
        return sum(step.tokens for step in self.steps)

    @property
    def complete(self) -> bool:
        """Whether it has ended and was not cut by a budget."""
        return self.ended in ("stop", "length")

    def completion(self) -> Completion:
        """Return it as a row, for reading its answer."""
        return Completion(self.text, finish=self.ended or "budget")

    def cut(self) -> Prefix:
        """Return it as one that the budget has cut."""
        return replace(self, ended="budget")


@dataclass(frozen=True)
class StepPolicy:
    r"""What a step is, how many an answer may have, and how they are drawn.

    Parameters
    ----------
    boundary : str
        The text that ends a step and belongs to it. Models told to separate steps by blank lines need ``"\n\n"``.
    max_steps : int
        Most steps of an answer, >= 1.
    max_tokens : int
        Most tokens of an answer, all steps together, >= 1. A step that never ends runs to this limit.
    temperature : float
        Sampling temperature of steps, > 0; at 0 copies of one prefix would go on identically.
    top_p : float
        Nucleus mass, in (0, 1].

    Examples
    --------
    >>> StepPolicy().split("one\ntwo")
    ['one\n', 'two']
    """

    boundary: str = "\n"
    max_steps: int = 40
    max_tokens: int = 256
    temperature: float = 0.8
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.boundary, str) or not self.boundary:
            raise UsageError(f"boundary={self.boundary!r} ends no step. Give a text, for instance a line break.")
        if self.max_steps < 1 or self.max_tokens < 1:
            raise UsageError(
                f"max_steps={self.max_steps}, max_tokens={self.max_tokens} leave no room. Give numbers >= 1."
            )
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} makes all steps equal. Give temperature > 0.")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p={self.top_p} is out of range. Give a number in (0, 1].")

    def split(self, text: str) -> list[str]:
        """Cut a whole answer into steps, each with the boundary that ends it.

        Parameters
        ----------
        text : str
            What the model wrote.
        """
        parts = text.split(self.boundary)
        steps = [part + self.boundary for part in parts[:-1]]
        return [*steps, parts[-1]] if parts[-1] or not steps else steps

    def grown(self, prefix: Prefix, row: Completion) -> Prefix:
        """Return a prefix with a row as its next step.

        Parameters
        ----------
        prefix : Prefix
            What came before.
        row : Completion
            Drawn with the boundary as its stop text.
        """
        text, ended = row.text, None
        unknown = row.stopped_at == "" and not _ANNOUNCED.search(row.text)
        if row.finish == "stop" and (row.stopped_at or (unknown and text)):
            text += self.boundary
        else:
            ended = row.finish
        logprob = row.logprob if row.logprobs is not None else None
        # Servers name no token ids; a piece of four characters is then a fair guess for the limit on length.
        tokens = len(row.tokens) or len(row.logprobs or ()) or len(text) // 4 + 1
        grown = Prefix((*prefix.steps, Step(text, tokens, logprob)), prefix.scores, ended)
        if ended is None and (len(grown.steps) >= self.max_steps or grown.tokens >= self.max_tokens):
            grown = replace(grown, ended="length")
        return grown


def continued(question: Question, prefix: Prefix) -> list[Message]:
    """Put a question with the beginning of its answer as chat messages."""
    messages = question.messages()
    if prefix.steps:
        messages.append({"role": "assistant", "content": prefix.text})
    return messages


async def extend(
    question: Question,
    lm: Session,
    policy: StepPolicy,
    prefixes: Sequence[Prefix],
    *,
    temperature: float | None = None,
    key: Sequence[str | int] = (),
    continues: int | None = None,
) -> list[Prefix]:
    """Draw one more step for each prefix, all at the same moment.

    Parameters
    ----------
    question : Question
        What is being answered.
    lm : Session
        The model, metered.
    policy : StepPolicy
        What a step is.
    prefixes : sequence of Prefix
        Those that have ended come back as they are.
    temperature : float, optional
        Instead of the policy's; 0 is allowed here.
    key : sequence of str or int
        Further labels for the seeds.
    continues : int, optional
        How many rows of each distinct prefix go on with samples that are counted already; when left out, all do but
        first steps.

    Returns
    -------
    list of Prefix
        In the same order. Where the budget left no row, or half a row, ``ended`` is ``"budget"``.
    """
    groups: dict[str, list[int]] = {}
    for index, prefix in enumerate(prefixes):
        if prefix.ended is None:
            groups.setdefault(prefix.text, []).append(index)
    results = list(prefixes)

    async def one(members: list[int]) -> None:
        first = prefixes[members[0]]
        rows = await lm.sample(
            continued(question, first),
            n=len(members),
            max_tokens=max(1, policy.max_tokens - max(prefixes[index].tokens for index in members)),
            temperature=policy.temperature if temperature is None else temperature,
            top_p=policy.top_p,
            stop=policy.boundary,
            key=key,
            continues=continues if continues is not None else len(members) if first.steps else 0,
        )
        for place, index in enumerate(members):
            prefix = prefixes[index]
            results[index] = policy.grown(prefix, rows[place]) if place < len(rows) else prefix.cut()

    await asyncio.gather(*(one(members) for members in groups.values()))
    return results


async def draw_whole(
    question: Question,
    lm: Session,
    policy: StepPolicy,
    n: int,
    prompt: Prompt | None = None,
    *,
    temperature: float | None = None,
) -> list[Prefix]:
    """Draw whole answers in one request and cut them into steps afterwards.

    Parameters
    ----------
    question : Question
        What is being answered.
    lm : Session
        The model, metered.
    policy : StepPolicy
        What a step is; its limit on steps does not end these rows.
    n : int
        How many answers, >= 1.
    prompt : str or sequence of Message, optional
        What to send instead of the question alone.
    temperature : float, optional
        Instead of the policy's; 0 is allowed here.

    Returns
    -------
    list of Prefix
        Fewer than `n` at the budget.
    """
    rows = await lm.sample(
        question.messages() if prompt is None else prompt,
        n=n,
        max_tokens=policy.max_tokens,
        temperature=policy.temperature if temperature is None else temperature,
        top_p=policy.top_p,
    )
    return [_cut_up(policy, row) for row in rows]


def _cut_up(policy: StepPolicy, row: Completion) -> Prefix:
    steps, start = [], 0
    texts = policy.split(row.text)
    for number, text in enumerate(texts, start=1):
        end = start + len(text)
        last = number == len(texts)
        logprob = row.logprob_of(start, None if last else end) if row.logprobs is not None else None
        inside = sum(start <= offset and (last or offset < end) for offset in row.offsets)
        steps.append(Step(text, inside, logprob))
        start = end
    return Prefix(tuple(steps), (), row.finish)
