"""From procedural problems to what a strategy may see, and back to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from educe.lm import Completion
from educe.reason import Question
from educe.tasks import Problem

__all__ = ["checker_of", "questions_of"]


def questions_of(problems: Sequence[Problem]) -> list[Question]:
    """Return what a solver may see of each problem.

    Parameters
    ----------
    problems : sequence of Problem
        With their references, which stay behind.
    """
    return [Question.from_json({**problem.question_json(), "id": problem.id}) for problem in problems]


def checker_of(problems: Sequence[Problem]) -> Callable[[int, Completion], bool]:
    """Return a checker for `SampleBank.draw`.

    Parameters
    ----------
    problems : sequence of Problem
        In the order of the questions.
    """
    return lambda index, completion: problems[index].check(completion.text)
