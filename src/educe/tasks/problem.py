"""`Problem`: a question with its reference solution and its checkers. `Family`: where such problems come from.

A problem belongs to one split, and its content alone decides to which: a hash of its canonical content, not the seed
that it was drawn with. Families that pose the same content in two forms (a chain of sums, open or with options) give
it the same key, so that what is held out in one form is held out in the other.

What it does not do: put the question to a model. `Problem.question_json` holds all that a solver may see, in the form
that `educe.reason.Question.from_json` reads; the reference stays here.
"""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from educe.verify.answers import AnswerKind, canonical, extract

__all__ = ["SPLITS", "Family", "Problem", "split_of"]

SPLITS = ("train", "dev", "test")
# Of twenty equal parts of the hash: sixteen for training, two for choosing, two for reporting.
PARTS, DEV_FROM, TEST_FROM = 20, 16, 18
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FINAL = "The answer is "


def split_of(key: Any) -> str:
    """Return the split that a content belongs to, by its hash alone.

    Parameters
    ----------
    key : JSON value
        The canonical content.

    Returns
    -------
    str
        ``"train"`` for about 80% of contents, ``"dev"`` and ``"test"`` for about 10% each.

    Examples
    --------
    >>> split_of(["chain", 17, ["+", 25]]) in SPLITS
    True
    """
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    part = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % PARTS
    return "train" if part < DEV_FROM else "dev" if part < TEST_FROM else "test"


@dataclass(frozen=True, eq=False)
class Problem:
    """A question with a checkable answer.

    Parameters
    ----------
    family : Family
        Where it comes from; it knows how to check.
    difficulty : int
        The dial's setting.
    key : JSON value
        Canonical content; it decides the split and whether two problems are the same.
    text : str
        The question.
    kind : AnswerKind
        Kind of the answer.
    answer : str
        The reference answer, as a solution announces it: for a choice its letter.
    steps : tuple of str
        Reference solution, one step each, without the final line.
    choices : tuple of str
        Options, in the order of their letters.
    instruction : str
        How to answer, put after the question; mostly empty.
    data : mapping
        What the family's checkers need besides.

    Examples
    --------
    >>> from educe.tasks import make
    >>> problem = make("chain_arithmetic", 1, seed=1)[0]
    >>> problem.check(problem.solution), problem.check_steps(problem.solution) == [True] * (len(problem.steps) + 1)
    (True, True)
    """

    family: Family
    difficulty: int
    key: Any
    text: str
    kind: AnswerKind
    answer: str
    steps: tuple[str, ...]
    choices: tuple[str, ...] = ()
    instruction: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name of this problem: its family and a digest of everything that a solver sees."""
        shown = json.dumps(self.question_json() | {"id": None}, sort_keys=True)
        return f"{self.family.name}-{hashlib.blake2b(shown.encode(), digest_size=6).hexdigest()}"

    @property
    def split(self) -> str:
        """The split that its content belongs to."""
        return split_of(self.key)

    @property
    def solution(self) -> str:
        """The reference solution: one step a line, then the marked answer."""
        return "\n".join([*self.steps, f"{FINAL}{self.answer}."])

    @property
    def prompt(self) -> str:
        """The question as a solver reads it: text, lettered options, instruction, one a line."""
        lines = [self.text, *(f"{letter}. {option}" for letter, option in zip(LETTERS, self.choices, strict=False))]
        return "\n".join([*lines, self.instruction] if self.instruction else lines)

    def question_json(self) -> dict[str, Any]:
        """Return what a solver may see, for `educe.reason.Question.from_json`; the reference is not in it."""
        return {
            "question": self.text,
            "kind": str(self.kind),
            "choices": list(self.choices),
            "examples": [],
            "instruction": self.instruction,
        }

    def check(self, text: str) -> bool:
        """Whether a text announces a right final answer.

        Parameters
        ----------
        text : str
            What a solver wrote.

        Returns
        -------
        bool
            False also where no answer can be read.
        """
        answer = extract(text, self.kind, self.choices)
        return answer is not None and self.check_answer(answer)

    def check_answer(self, answer: str) -> bool:
        """Whether an answer, as read by `educe.verify.extract`, is right.

        Parameters
        ----------
        answer : str
            The answer alone.

        Returns
        -------
        bool
        """
        return self.family.check_answer(self, answer)

    def check_steps(self, text: str) -> list[bool]:
        """Whether each line of a (perhaps unfinished) solution is right.

        A step is right when it is true of this problem and follows the family's form of a derivation; what is computed
        faithfully from a wrong line is still wrong. The last line of an unfinished text is judged as it stands.

        Parameters
        ----------
        text : str
            Lines separated by ``"\\n"``; blank ones are passed over.

        Returns
        -------
        list of bool
            One per line that is not blank.
        """
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        verdicts: list[bool] = []
        for place, line in enumerate(lines):
            if line.startswith(FINAL):
                verdicts.append(self.check(line))
            else:
                verdicts.append(self.family.check_step(self, line, lines[:place]))
        return verdicts


class Family(abc.ABC):
    """A source of problems of one kind.

    Attributes
    ----------
    name : str
        What `make` takes.
    summary : str
        One sentence.
    kind : AnswerKind
        Kind of all its answers.
    difficulties : range
        Settings of the dial.
    default_difficulty : int
        The setting when none is given.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[AnswerKind]
    difficulties: ClassVar[range]
    default_difficulty: ClassVar[int]

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem of any split.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where all its randomness comes from.
        difficulty : int
            One of `difficulties`.
        """

    def check_answer(self, problem: Problem, answer: str) -> bool:
        """Whether an answer is right: by default, whether it equals the reference.

        Parameters
        ----------
        problem : Problem
            One of this family.
        answer : str
            The answer alone.
        """
        reference = canonical(problem.answer, problem.kind, problem.choices)
        return canonical(answer, problem.kind, problem.choices) == reference

    def check_step(self, problem: Problem, line: str, before: Sequence[str]) -> bool:
        """Whether a step is right: by default, whether it is the reference's line in this place.

        Parameters
        ----------
        problem : Problem
            One of this family.
        line : str
            The step, stripped.
        before : sequence of str
            The lines before it.
        """
        return len(before) < len(problem.steps) and line == problem.steps[len(before)]
