"""`ProcessReward`: after each step, how probable it is that the answer will turn out right.

A small network on the last hidden state of the token that ends a step, with the decoder itself frozen. It is trained on
roll-outs: a prefix's label is the share of its continuations that end right, so no person labels anything.
Source: Wang et al. (2024), arXiv:2312.08935 (roll-outs as labels), and Lightman et al. (2023), arXiv:2305.20050
(rewards per step). It is a judge of one model's steps: on another model's, or on other tasks, it is off its ground.

What this file does not do: train it (`educe.learn.train_process_reward`), or aggregate the scores of a path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import safetensors.torch
import torch
from torch.nn import functional

from educe.core.errors import DataError
from educe.core.ledger import Ledger
from educe.lm import Message, Session
from educe.lm.decoder import Decoder, padded_batch
from educe.lm.engine.tokenizer import Tokenizer
from educe.lm.packaged import packaged_folder

__all__ = ["ProcessReward", "StepHead"]

ROWS_AT_ONCE = 64
FILE = "heads/process_reward.safetensors"


class _Step(Protocol):
    @property
    def text(self) -> str: ...


class _Prefix(Protocol):
    @property
    def steps(self) -> Sequence[_Step]: ...

    @property
    def scores(self) -> Sequence[float]: ...


class _Question(Protocol):
    def messages(self) -> list[Message]: ...


@dataclass(frozen=True)
class StepHead:
    """Two layers from a hidden state to a log-odds.

    Parameters
    ----------
    inner, inner_bias : Tensor
        (inner, width) and (inner,).
    outer, outer_bias : Tensor
        (inner,) and ().

    Examples
    --------
    >>> head = StepHead(torch.zeros(4, 8), torch.zeros(4), torch.zeros(4), torch.tensor(0.0))
    >>> head(torch.zeros(3, 8)).tolist()
    [0.5, 0.5, 0.5]
    """

    inner: torch.Tensor
    inner_bias: torch.Tensor
    outer: torch.Tensor
    outer_bias: torch.Tensor

    def log_odds(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the log-odds of hidden states, (..., width) to (...)."""
        return functional.silu(functional.linear(hidden, self.inner, self.inner_bias)) @ self.outer + self.outer_bias

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of hidden states, (..., width) to (...)."""
        return self.log_odds(hidden).sigmoid()

    def save(self, file: Path) -> None:
        """Write the head as safetensors."""
        file.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: getattr(self, name).detach().clone().contiguous() for name in self.__dataclass_fields__}
        safetensors.torch.save_file(parts, file)

    @classmethod
    def load(cls, file: Path, width: int) -> StepHead:
        """Read a head for hidden states of a width.

        Raises
        ------
        DataError
            It is missing, unsound, or for another width.
        """
        try:
            head = cls(**safetensors.torch.load_file(file))
        except (OSError, TypeError, safetensors.SafetensorError) as error:
            raise DataError(f"{file} holds no step head: {error}. Train one, or name another folder.") from error
        inner = len(head.inner)
        shapes = [tuple(part.shape) for part in (head.inner, head.inner_bias, head.outer, head.outer_bias)]
        if shapes != [(inner, width), (inner,), (inner,), ()]:
            raise DataError(f"{file} is a head of shapes {shapes}, not for width {width}. Train one for this model.")
        return head


class ProcessReward:
    """A reward for the steps of one model, as all searchers use it.

    Parameters
    ----------
    decoder : Decoder
        The model whose hidden states are read.
    tokenizer : Tokenizer
        Its tokenizer, with the chat template.
    head : StepHead
        The trained head.

    Examples
    --------
    >>> from educe.tasks import make
    >>> reward, problem = ProcessReward.load("abacus"), make("chain_arithmetic", 1)[0]
    >>> scores = reward.score(problem.prompt, [problem.solution])
    >>> len(scores[0]) == len(problem.steps) + 1
    True
    """

    name: ClassVar[str] = "process-reward"
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, head: StepHead) -> None:
        self.decoder, self.tokenizer, self.head = decoder.eval(), tokenizer, head

    @classmethod
    def load(cls, name: str | Path = "abacus") -> ProcessReward:
        """Load a model together with its head.

        Parameters
        ----------
        name : str or Path
            A model that ships with educe, or a folder with ``heads/process_reward.safetensors``.

        Raises
        ------
        DataError
            The folder has no such head, or is not sound.
        """
        folder = packaged_folder(name)
        decoder = Decoder.load(folder)
        return cls(decoder, Tokenizer.from_folder(folder, ()), StepHead.load(folder / FILE, decoder.config.width))

    def score(self, question: str | Sequence[Message], texts: Sequence[str]) -> list[list[float]]:
        """Score every step of some answers.

        Parameters
        ----------
        question : str or sequence of Message
            The question, or the chat that asks it.
        texts : sequence of str
            Answers, whole or in part, of lines.

        Returns
        -------
        list of list of float
            For each answer one score per line that is not blank: the probability, given what is written up to there,
            that the final answer will be right.
        """
        messages = [Message(role="user", content=question)] if isinstance(question, str) else question
        lines = [[line + "\n" for line in text.split("\n") if line.strip()] for text in texts]
        return self._scores(messages, lines)[0]

    def _scores(self, messages: Sequence[Message], answers: Sequence[Sequence[str]]) -> tuple[list[list[float]], int]:
        """Score the steps of answers, and count the tokens read."""
        head, tail = self.tokenizer.encode_prompt(messages)
        prompt = [*head, *self.tokenizer.encode(tail)]
        rows: list[list[int]] = []
        ends: list[list[int]] = []
        for steps in answers:
            row, places = list(prompt), list[int]()
            for step in steps:
                row += self.tokenizer.encode(step.rstrip("\n"))
                places.append(len(row) - 1)
                row += self.tokenizer.encode("\n")
            # A row longer than the context is judged as far as that goes.
            rows.append(row[: self.decoder.config.context])
            ends.append([min(place, len(rows[-1]) - 1) for place in places])
        scores: list[list[float]] = []
        with torch.inference_mode():
            for begin in range(0, len(rows), ROWS_AT_ONCE):
                hidden = self.decoder.hidden(padded_batch(rows[begin : begin + ROWS_AT_ONCE]))
                for states, places in zip(hidden, ends[begin : begin + ROWS_AT_ONCE], strict=True):
                    scores.append(self.head(states[places]).tolist())
        return scores, sum(map(len, rows))

    async def __call__(self, question: _Question, prefixes: Sequence[_Prefix], lm: Session) -> list[list[float] | None]:
        """Score the steps that have no score yet; see `educe.reason.Reward`. The tokens read are charged as a prompt's.

        Parameters
        ----------
        question : Question
            What is being answered.
        prefixes : sequence of Prefix
            Each lacks scores for ``steps[len(scores):]``.
        lm : Session
            What is charged.
        """
        if not prefixes:
            return []
        answers = [[step.text for step in prefix.steps] for prefix in prefixes]
        distinct = list(dict.fromkeys(map(tuple, answers)))
        found, read = await asyncio.to_thread(self._scores, question.messages(), distinct)
        lm.spend(Ledger(calls=1, prompt_tokens=read))
        scores: dict[tuple[str, ...], Any] = dict(zip(distinct, found, strict=True))
        return [scores[tuple(answer)][len(prefix.scores) :] for answer, prefix in zip(answers, prefixes, strict=True)]
