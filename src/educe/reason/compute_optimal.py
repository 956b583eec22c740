"""Compute-optimal test-time strategy: estimate how hard a question is, then spend the budget as pays best on such ones.

Source: Snell et al. (2024), arXiv:2408.03314, sections 3 and 5. Questions are sorted by difficulty into bins of equal
size: by the share of right samples (``"oracle"``, which needs answers) or by the mean final score of a reward
(``"verifier"``, which does not). In each bin and for each budget the strategy with the best accuracy on validation
questions is taken. `ComputeOptimal.fit` chooses on one part of each bin and scores on the other, in turn, so that the
accuracy it reports is not that of its own choice.

What it does not do: interpolate between budgets. Samples that measure difficulty are not charged by `fit`;
`educe.reason.RoutedByDifficulty`, the method for single questions, draws and charges its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import Posterior, Seed, UsageError
from educe.lm import LanguageModel, Session
from educe.reason.question import Answer, Question
from educe.reason.sample_bank import SampleBank
from educe.reason.strategy import Strategy

__all__ = ["ComputeOptimal", "ComputeOptimalPolicy", "Difficulty", "difficulty"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Difficulty(NamedTuple):
    """Bins of questions, 1 the easiest.

    Attributes
    ----------
    bins : (questions,) int64
        From 1 to the number of bins.
    ease : (questions,) float64
        What they were sorted by; larger is easier.
    edges : (bins - 1,) float64
        A question with ease above ``edges[b - 1]`` and not above ``edges[b - 2]`` belongs to bin ``b``.
    """

    bins: Integers
    ease: Floats
    edges: Floats


def difficulty(
    bank: SampleBank | Sequence[float], how: str = "oracle", bins: int = 5, score: str = "reward"
) -> Difficulty:
    """Sort questions into bins of equal size by how hard they are for a model.

    Parameters
    ----------
    bank : SampleBank or sequence of float
        Samples of every question, or the ease of every question where it is known already.
    how : str
        ``"oracle"``: share of samples with a right verdict. ``"verifier"``: mean over samples of the last step's score.
    bins : int
        How many, >= 1 and at most as many as questions.
    score : str
        Name of the bank's scores for ``"verifier"``.

    Returns
    -------
    Difficulty

    Raises
    ------
    UsageError
        `how` is unknown, the bank lacks verdicts or scores, or there are more bins than questions.

    Examples
    --------
    >>> difficulty([0.9, 0.1, 0.5, 0.4], bins=2).bins.tolist()
    [1, 2, 1, 2]
    """
    ease = _ease(bank, how, score) if isinstance(bank, SampleBank) else np.asarray(bank, dtype=np.float64)
    if not 1 <= bins <= len(ease):
        raise UsageError(f"{bins} bins of {len(ease)} questions are not to be had. Give between 1 and that many.")
    if not np.isfinite(ease).all():
        raise UsageError(f"The ease of question {int(np.flatnonzero(~np.isfinite(ease))[0])} is no number. Measure it.")
    # Ties are broken by place, so that bins keep equal sizes even where many questions are never solved.
    order = np.lexsort((np.arange(len(ease)), -ease))
    found = np.empty(len(ease), dtype=np.int64)
    found[order] = np.arange(len(ease)) * bins // len(ease) + 1
    edges = np.array([(ease[found == b].min() + ease[found == b + 1].max()) / 2 for b in range(1, bins)])
    return Difficulty(found, ease, edges)


def _ease(bank: SampleBank, how: str, score: str) -> Floats:
    if how == "oracle":
        if any((row.verdicts < 0).all() for row in bank.rows):
            raise UsageError("A question of this bank has no verdicts. Draw it with a checker, or use how='verifier'.")
        return np.array([float((row.verdicts == 1).sum() / max(1, (row.verdicts >= 0).sum())) for row in bank.rows])
    if how != "verifier":
        raise UsageError(f"Difficulty {how!r} is unknown. Give 'oracle' or 'verifier'.")
    if any(score not in row.scores for row in bank.rows):
        raise UsageError(f"A question of this bank has no scores {score!r}. Draw it with a reward.")
    return np.array([float(np.nanmean(_last(row.scores[score]))) for row in bank.rows])


def _last(scores: Floats) -> Floats:
    if scores.ndim == 1:
        return scores
    known = ~np.isnan(scores)
    places = np.where(known.any(1), scores.shape[1] - 1 - known[:, ::-1].argmax(1), 0)
    return scores[np.arange(len(scores)), places]


class ComputeOptimal:
    """Strategies to choose from, and the budgets at which to choose.

    Parameters
    ----------
    strategies : mapping of str to callable
        Each takes a number of samples and returns a method.
    budgets : sequence of int
        Numbers of samples, rising.

    Raises
    ------
    UsageError
        There is nothing to choose from.

    Examples
    --------
    >>> from educe.reason import BeamSearch, WeightedBestOfN
    >>> chooser = ComputeOptimal({"bon": WeightedBestOfN, "beam": BeamSearch}, [4, 16])
    >>> right = np.array([[[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 0, 1, 1], [0, 1, 1, 1]]])
    >>> policy = chooser.fit(right, difficulty([0.9, 0.8, 0.2, 0.1], bins=2))
    >>> [policy.name(bin, 16) for bin in (1, 2)]
    ['bon', 'beam']
    """

    def __init__(self, strategies: Mapping[str, Callable[[int], Strategy]], budgets: Sequence[int]) -> None:
        if not strategies or not budgets or list(budgets) != sorted(set(budgets)) or min(budgets) < 1:
            raise UsageError(f"{len(strategies)} strategies at budgets {list(budgets)}: give some, and rising numbers.")
        self.strategies, self.budgets = dict(strategies), list(budgets)

    async def run(
        self,
        questions: Sequence[Question],
        check: Callable[[int, Answer], bool],
        lm: LanguageModel,
        seed: int | Seed = 0,
    ) -> Floats:
        """Answer every question with every strategy at every budget.

        Parameters
        ----------
        questions : sequence of Question
            Validation questions.
        check : callable
            ``check(index, answer)`` says whether the answer to a question is right.
        lm : LanguageModel
            The model.
        seed : int or Seed
            Root of all draws.

        Returns
        -------
        (strategies, budgets, questions) float64
            1 where the most probable answer is right, else 0.
        """
        root = Seed.of(seed)
        right = np.zeros((len(self.strategies), len(self.budgets), len(questions)))
        for row, make in enumerate(self.strategies.values()):
            for column, budget in enumerate(self.budgets):
                for place, question in enumerate(questions):
                    session = Session(lm, seed=root.child("question", place))
                    posterior = await make(budget)(question, session)
                    right[row, column, place] = posterior.confidence > 0 and check(place, posterior.mode())
        return right

    def fit(
        self, right: npt.ArrayLike, difficulty: Difficulty | Sequence[int], folds: int = 2, seed: int | Seed = 0
    ) -> ComputeOptimalPolicy:
        """Choose a strategy for each bin and budget.

        Parameters
        ----------
        right : (strategies, budgets, questions) array-like
            Accuracy of each, for instance from `run`.
        difficulty : Difficulty or sequence of int
            Bins of the questions.
        folds : int
            Parts of each bin for the held-out accuracy, >= 2; bins smaller than this are refused.
        seed : int or Seed
            How questions fall into folds.

        Returns
        -------
        ComputeOptimalPolicy

        Raises
        ------
        UsageError
            Shapes do not fit, or a bin is too small to be divided.
        """
        table = np.asarray(right, dtype=np.float64)
        bins = np.asarray(difficulty.bins if isinstance(difficulty, Difficulty) else difficulty, dtype=np.int64)
        wanted = (len(self.strategies), len(self.budgets), len(bins))
        if table.shape != wanted:
            raise UsageError(
                f"Results of shape {table.shape} do not fit {wanted}. Give (strategies, budgets, questions)."
            )
        smallest = min(int((bins == b).sum()) for b in np.unique(bins))
        if folds < 2 or smallest < folds:
            raise UsageError(f"A bin of {smallest} questions cannot be divided into {folds} folds. Use fewer bins.")
        rng = Seed.of(seed).child("folds").numpy()
        fold = np.empty(len(bins), dtype=np.int64)
        for b in np.unique(bins):
            members = np.flatnonzero(bins == b)
            fold[rng.permutation(members)] = np.arange(len(members)) % folds
        held_out = np.empty((len(self.budgets), len(bins)))
        choices: dict[tuple[int, int], str] = {}
        names = list(self.strategies)
        for b in np.unique(bins):
            inside = bins == b
            means = table[:, :, inside].mean(2)
            for column, budget in enumerate(self.budgets):
                choices[int(b), budget] = names[int(means[:, column].argmax())]
                for part in range(folds):
                    chosen = int(table[:, column, inside & (fold != part)].mean(1).argmax())
                    scored = inside & (fold == part)
                    held_out[column, scored] = table[chosen, column, scored]
        return ComputeOptimalPolicy(self, table, bins, fold, choices, held_out)


@dataclass(frozen=True)
class ComputeOptimalPolicy:
    """What `ComputeOptimal.fit` found.

    Parameters
    ----------
    chooser : ComputeOptimal
        The strategies and budgets.
    right : (strategies, budgets, questions) float64
        What it was fitted on.
    bins, fold : (questions,) int64
        Difficulty and fold of each question.
    choices : mapping of (int, int) to str
        The best strategy of a bin and budget on all questions.
    held_out : (budgets, questions) float64
        Accuracy of the choice that was made without the question's fold.

    Examples
    --------
    >>> from educe.reason import BeamSearch, WeightedBestOfN
    >>> right = np.array([[[1, 1, 0, 0]], [[0, 0, 1, 1]]])
    >>> policy = ComputeOptimal({"bon": WeightedBestOfN, "beam": BeamSearch}, [4]).fit(right, [1, 1, 2, 2])
    >>> policy.accuracy(4), policy.accuracy(4, held_out=False), policy.best_fixed(4)
    (1.0, 1.0, ('bon', 0.5))
    """

    chooser: ComputeOptimal
    right: Floats
    bins: Integers
    fold: Integers
    choices: Mapping[tuple[int, int], str]
    held_out: Floats

    def _column(self, budget: int) -> int:
        fitting = [column for column, size in enumerate(self.chooser.budgets) if size <= budget]
        if not fitting:
            raise UsageError(f"A budget of {budget} is below the smallest, {self.chooser.budgets[0]}. Give more.")
        return fitting[-1]

    def name(self, bin: int, budget: int) -> str:
        """Name of the strategy for a bin, at the largest fitted budget that is not above the one given.

        Parameters
        ----------
        bin : int
            From 1, the easiest.
        budget : int
            Samples.
        """
        size = self.chooser.budgets[self._column(budget)]
        if (bin, size) not in self.choices:
            raise UsageError(f"There was no question in bin {bin}. Give one of {sorted({b for b, _ in self.choices})}.")
        return self.choices[bin, size]

    def strategy(self, bin: int, budget: int) -> Strategy:
        """The strategy itself, for exactly this budget.

        Parameters
        ----------
        bin : int
            From 1, the easiest.
        budget : int
            Samples.
        """
        return self.chooser.strategies[self.name(bin, budget)](budget)

    async def __call__(self, question: Question, lm: Session, budget: int, bin: int) -> Posterior[Answer]:
        """Answer a question whose difficulty is known.

        Parameters
        ----------
        question : Question
            What to answer.
        lm : Session
            The model, metered.
        budget : int
            Samples.
        bin : int
            From 1, the easiest.
        """
        return await self.strategy(bin, budget)(question, lm)

    def accuracy(self, budget: int, held_out: bool = True) -> float:
        """Accuracy of choosing by difficulty.

        Parameters
        ----------
        budget : int
            Samples.
        held_out : bool
            Score each question by the choice made without its fold; otherwise by the choice made with it, which is
            never below any fixed strategy's.
        """
        column = self._column(budget)
        if held_out:
            return float(self.held_out[column].mean())
        names = list(self.chooser.strategies)
        chosen = [names.index(self.choices[int(b), self.chooser.budgets[column]]) for b in self.bins]
        return float(self.right[chosen, column, np.arange(len(self.bins))].mean())

    def fold_accuracies(self, budget: int) -> list[float]:
        """Held-out accuracy on each fold; their spread is the noise of choosing.

        Parameters
        ----------
        budget : int
            Samples.
        """
        column = self._column(budget)
        return [float(self.held_out[column, self.fold == part].mean()) for part in np.unique(self.fold)]

    def best_fixed(self, budget: int) -> tuple[str, float]:
        """The best strategy for all questions alike, chosen on the same questions, and its accuracy.

        Parameters
        ----------
        budget : int
            Samples.
        """
        means = self.right[:, self._column(budget)].mean(1)
        return list(self.chooser.strategies)[int(means.argmax())], float(means.max())

    def table(self) -> list[dict[str, Any]]:
        """One row per bin and budget: questions, accuracy of each strategy, and the choice."""
        rows = []
        for b in np.unique(self.bins):
            inside = self.bins == b
            for column, budget in enumerate(self.chooser.budgets):
                shares = self.right[:, column, inside].mean(1).tolist()
                rows.append(
                    {
                        "bin": int(b),
                        "budget": budget,
                        "questions": int(inside.sum()),
                        **dict(zip(self.chooser.strategies, shares, strict=True)),
                        "choice": self.choices[int(b), budget],
                    }
                )
        return rows
