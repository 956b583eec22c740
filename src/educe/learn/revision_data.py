"""Chains of answers for training a model to revise: wrong ones first, then a right one close to the last of them.

Source: Snell et al. (2024), arXiv:2408.03314, section 6.1, after Qu et al. (2024), arXiv:2407.18219. For each right
answer a uniform number of wrong answers, from none to `most`, stands before it; the last of them is the one with the
smallest character edit distance to the right answer, the others are drawn at random. Only the right answer is learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.learn.rollouts import Rollout, question_text

__all__ = ["Revision", "edit_distance", "make_revision_data", "revision_text"]


@dataclass(frozen=True)
class Revision:
    """A lesson in revising.

    Parameters
    ----------
    question : str
        What was asked, options and instruction included.
    earlier : tuple of str
        Wrong answers, in the order in which they are shown.
    answer : str
        The right answer to learn.

    Examples
    --------
    >>> Revision("2 + 2?", ("5",), "4").answer
    '4'
    """

    question: str
    earlier: tuple[str, ...]
    answer: str


def revision_text(question: str, earlier: Sequence[str]) -> str:
    """Put a question with earlier answers as one text that ends where the next answer begins.

    Parameters
    ----------
    question : str
        What is asked.
    earlier : sequence of str
        Earlier answers, oldest first.

    Examples
    --------
    >>> revision_text("2 + 2?", ["5"])
    'Question: 2 + 2?\\nAnswer:\\n5\\nAnswer:\\n'
    """
    return question_text(question) + "".join(f"{answer.strip()}\nAnswer:\n" for answer in earlier)


def edit_distance(first: str, second: str) -> int:
    """Fewest insertions, deletions and replacements of a character that turn one text into the other (Levenshtein).

    Parameters
    ----------
    first, second : str
        Any texts; the work is the product of their lengths.

    Examples
    --------
    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(second) + 1))
    for i, left in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def make_revision_data(rollouts: Sequence[Rollout], *, most: int = 4, seed: int | Seed = 0) -> list[Revision]:
    """Pair right answers with wrong ones to the same problem.

    Parameters
    ----------
    rollouts : sequence of Rollout
        Answers of one model, several to each problem, marked; from the training split.
    most : int
        Most wrong answers before a right one, >= 0.
    seed : int or Seed
        Root of all draws.

    Returns
    -------
    list of Revision
        One for each right answer to a problem that also has a wrong one, or that needs none.

    Raises
    ------
    UsageError
        `most` is negative.

    Examples
    --------
    >>> make_revision_data([])
    []
    """
    if most < 0:
        raise UsageError(f"most={most} is no number of answers. Give a number >= 0.")
    by_problem: dict[str, tuple[list[Rollout], list[Rollout]]] = {}
    for rollout in rollouts:
        by_problem.setdefault(rollout.problem.id, ([], []))[not rollout.right].append(rollout)
    lessons = []
    for name, (right, wrong) in by_problem.items():
        rng = Seed.of(seed).child("revisions", name).numpy()
        for rollout in right:
            count = min(int(rng.integers(most + 1)), len(wrong))
            texts = [other.text for other in wrong]
            shown: list[str] = []
            if count:
                closest = min(range(len(texts)), key=lambda place: edit_distance(texts[place], rollout.text))
                rest = [place for place in range(len(texts)) if place != closest]
                shown = [texts[int(place)] for place in rng.permutation(rest)[: count - 1]] + [texts[closest]]
            lessons.append(Revision(rollout.problem.prompt, tuple(shown), rollout.text))
    return lessons
