"""How much of the coverage a selector realises: pick one of k samples, without or with the truth.

Source: Brown et al. (2024), arXiv:2407.21787, section on selection. Random subsets of k of the stored samples are taken
many times and the selector picks from each: the most frequent answer (``majority``), the answer of the sample of the
highest score (``best``), the answer of the highest summed score (``weighted``), or a right one wherever there is any
(``oracle``, which is coverage). Ties share the credit. Random subsets, not prefixes, keep the order of drawing out;
the subsets are the same for every selector and nested in k, so that comparisons are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError, nearest
from educe.reason.bank_row import RIGHT, BankRow
from educe.reason.sample_bank import SampleBank

__all__ = ["Selection", "select"]

Floats = npt.NDArray[np.float64]
SELECTORS = ("majority", "best", "weighted", "oracle")


@dataclass(frozen=True)
class Selection:
    """Accuracy of a selector at several numbers of samples.

    Parameters
    ----------
    ks : (points,) int64
        Numbers of samples.
    credit : (problems, points) float64
        Share of the subsets in which the selector was right, by problem.
    """

    ks: npt.NDArray[np.int64]
    credit: Floats

    @property
    def mean(self) -> Floats:
        """Accuracy over problems, (points,)."""
        return np.asarray(self.credit.mean(0))


def select(
    bank: SampleBank,
    how: str = "majority",
    k: int | Sequence[int] = 16,
    *,
    score: str | None = None,
    repeats: int = 100,
    seed: int | Seed = 0,
) -> Selection:
    """Replay a selector on random subsets of stored samples.

    Parameters
    ----------
    bank : SampleBank
        Samples with verdicts.
    how : str
        ``"majority"``, ``"best"``, ``"weighted"`` or ``"oracle"``.
    k : int or sequence of int
        Sizes of the subsets, 1 <= k <= samples of every problem.
    score : str, optional
        Name of the stored score for ``"best"`` and ``"weighted"``; of several columns the last number counts. Not
        needed where there is only one. Summed scores should be >= 0.
    repeats : int
        Subsets per problem, >= 1.
    seed : int or Seed
        Root of the subsets; problem by problem, so that leaving one out changes no other.

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        The selector or the score is unknown, or a size is out of range.

    Examples
    --------
    >>> from educe.reason import Question
    >>> from educe.lm import TabularLM
    >>> lm = TabularLM({"": {"The answer is 4.": 0.6, "The answer is 5.": 0.4}})
    >>> bank = SampleBank.draw_sync(lm, [Question("2 + 2 = ?")], 60, references=["4"])
    >>> accuracy = select(bank, "majority", [1, 31]).mean
    >>> bool(accuracy[0] < accuracy[1])
    True
    """
    if how not in SELECTORS:
        raise UsageError(f"Selector {how!r} is unknown; {nearest(how, SELECTORS)}")
    sizes = np.atleast_1d(np.asarray(k, dtype=np.int64))
    shortest = min((len(row) for row in bank.rows), default=0)
    if repeats < 1 or sizes.min() < 1 or sizes.max() > shortest:
        raise UsageError(f"k={k} and repeats={repeats} do not fit rows of {shortest} samples. Give 1 <= k <= samples.")
    root = Seed.of(seed).child("select")
    table = np.zeros((len(bank), len(sizes)))
    for index, row in enumerate(bank.rows):
        order = np.argsort(root.child(index).numpy().random((repeats, len(row))), axis=1)
        scores = _scores(row, score) if how in ("best", "weighted") else np.ones(len(row))
        for point, size in enumerate(sizes):
            table[index, point] = _credit(row, order[:, :size], scores, how)
    return Selection(sizes, table)


def _scores(row: BankRow, name: str | None) -> Floats:
    if name is None and len(row.scores) != 1:
        raise UsageError(f"The bank holds the scores {sorted(row.scores)}. Name the one to use.")
    name = name or next(iter(row.scores))
    if name not in row.scores:
        raise UsageError(f"Score {name!r} is not in the bank; {nearest(name, row.scores)}")
    values = row.scores[name]
    if values.ndim > 1:
        # The last number of each row: later checkpoints are NaN in rows that ended earlier.
        last = (~np.isnan(values)).cumsum(1).argmax(1)
        values = values[np.arange(len(values)), last]
    return np.where(np.isnan(values), -np.inf, values)


def _credit(row: BankRow, chosen: npt.NDArray[np.int64], scores: Floats, how: str) -> float:
    right = row.verdicts == RIGHT
    if how == "oracle":
        return float(right[chosen].any(1).mean())
    answers, values = row.answers[chosen], scores[chosen]
    if how == "best":
        values = np.where(answers >= 0, values, -np.inf)
        best = (values == values.max(1, keepdims=True)) & (answers >= 0)
        return float(((right[chosen] & best).sum(1) / np.maximum(best.sum(1), 1)).mean())
    subsets = np.arange(len(chosen))[:, None]
    # One spare column takes what cannot be read.
    sums = np.zeros((len(chosen), len(row.classes) + 1))
    np.add.at(sums, (subsets, answers), np.where(np.isfinite(values), values, 0.0))
    present = np.zeros(sums.shape, dtype=bool)
    present[subsets, answers] = True
    present[:, -1] = False
    sums = np.where(present, sums, -np.inf)
    # Sums of equal weights in different orders differ by rounding; a tie must stay one.
    top = np.where(present.any(1), sums.max(1), 0.0)[:, None]
    best = present & (sums >= top - 1e-9 * np.maximum(np.abs(top), 1.0))
    truth = np.append(row.class_verdicts == RIGHT, False)
    return float(((best & truth).sum(1) / np.maximum(best.sum(1), 1)).mean())
