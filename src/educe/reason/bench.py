"""A grid of methods, tasks and seeds on one model, in long format: the comparison at equal cost.

Every cell is a unit of work in the store under its content hash, so a grid that was killed goes on where it stopped and
one that is asked for again costs nothing. All methods see the same problems with the same seed for each problem, so
differences are paired. Greedy decoding and the plain vote, at several sizes up to the budget, are always in the grid:
they are what any method has to beat at what it spent.

`educe.reason.bench_summary` makes the table of it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from educe.core import Budget, Executor, Seed, Store, StoreError, UsageError
from educe.lm import LanguageModel
from educe.reason.batch import Unit, solve_all
from educe.reason.question import Question
from educe.reason.strategy import make_method
from educe.tasks import FAMILIES, Problem, make

__all__ = ["Grid", "GridRow", "vote_sizes"]

GREEDY = "greedy"
VOTE = "self-consistency"
MOST_VOTES = 64


@dataclass(frozen=True)
class GridRow:
    """One method on one problem with one seed.

    Parameters
    ----------
    task, problem : str
        The family and the problem's own name.
    method : str
        As it was asked for.
    baseline : bool
        Whether it is in the grid as a baseline.
    seed : int
        Of the grid's seeds.
    correct : bool
        Whether the most probable answer is right.
    covered : bool
        Whether any answer with mass is right.
    confidence : float
        Probability of the most probable answer.
    tokens, prompt_tokens, cached_tokens, samples, calls : int
        From the ledger; ``tokens`` are all that were drawn, by method and reward alike.
    seconds : float
        Wall time.
    stopped_by : str or None
        The limit that ended it.
    error : str or None
        Why the method could not take the question.
    """

    task: str
    problem: str
    method: str
    baseline: bool
    seed: int
    correct: bool
    covered: bool
    confidence: float
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    samples: int
    calls: int
    seconds: float
    stopped_by: str | None = None
    error: str | None = None


def vote_sizes(budget: Budget) -> list[int]:
    """Sizes of the votes that stand beside every method: 1, 2, 4, ... up to the budget, 64 at most.

    Parameters
    ----------
    budget : Budget
        Its samples bound the sizes.

    Examples
    --------
    >>> vote_sizes(Budget(samples=16))
    [1, 2, 4, 8, 16]
    """
    most = min(budget.samples or MOST_VOTES, MOST_VOTES)
    return [2**power for power in range(int(math.log2(most)) + 1)]


@dataclass(frozen=True)
class Grid:
    """Methods by tasks by seeds, on one model.

    Parameters
    ----------
    methods : tuple of str
        Texts for `make_method`.
    tasks : tuple of str
        Families of `educe.tasks`.
    lm : str
        Argument for `educe.load`.
    budget : Budget
        Limits of each question.
    problems : int
        Problems of each task, >= 1.
    seeds : int
        How often each problem is answered, >= 1.
    difficulty : int, optional
        Setting of the tasks' dials; their own when left out.
    seed : int
        Root of problems and draws.
    dtype : str
        Numbers of a local model.
    beside : bool
        Whether greedy decoding and votes stand beside the methods; without them there is no summary.

    Raises
    ------
    UsageError
        A name is unknown or occurs twice, there is nothing to do, or a number is out of range.

    Examples
    --------
    >>> grid = Grid(("best-of-n:n=4",), ("letters",), "fake:4", Budget(samples=4), problems=2)
    >>> grid.all_methods
    ('greedy', 'self-consistency:n=1', 'self-consistency:n=2', 'self-consistency:n=4', 'best-of-n:n=4')
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    lm: str
    budget: Budget = field(default_factory=lambda: Budget(samples=16))
    problems: int = 40
    seeds: int = 1
    difficulty: int | None = None
    seed: int = 0
    dtype: str = "float32"
    beside: bool = True

    def __post_init__(self) -> None:
        if not self.methods or not self.tasks:
            raise UsageError("A grid needs a method and a task. Name at least one of each.")
        for name, items in (("method", self.methods), ("task", self.tasks)):
            twice = next((item for item in items if items.count(item) > 1), None)
            if twice is not None:
                raise UsageError(f"The {name} {twice!r} stands in the grid twice. Name it once.")
        if self.problems < 1 or self.seeds < 1:
            raise UsageError(f"problems={self.problems}, seeds={self.seeds} leave nothing to do. Give numbers >= 1.")
        for method in self.methods:
            make_method(method, self.budget)
        for task in self.tasks:
            if task not in FAMILIES:
                make(task, 1)  # says which names there are

    @property
    def baselines(self) -> tuple[str, ...]:
        """What stands in the grid to be beaten."""
        if not self.beside:
            return ()
        return (GREEDY, *(f"{VOTE}:n={size}" for size in vote_sizes(self.budget)))

    @property
    def all_methods(self) -> tuple[str, ...]:
        """Baselines first, then what was asked for and is none of them."""
        return (*self.baselines, *(method for method in self.methods if method not in self.baselines))

    def draw_problems(self) -> dict[str, list[Problem]]:
        """Draw the problems of each task from its test split."""
        return {
            task: make(task, self.problems, split="test", seed=self.seed, difficulty=self.difficulty)
            for task in self.tasks
        }

    def to_json(self) -> dict[str, Any]:
        """Return what the grid is."""
        return {
            "methods": list(self.methods),
            "tasks": list(self.tasks),
            "lm": self.lm,
            "budget": self.budget.limits(),
            "problems": self.problems,
            "seeds": self.seeds,
            "difficulty": self.difficulty,
            "seed": self.seed,
        }

    async def run(self, lm: LanguageModel, executor: Executor, store: Store) -> AsyncGenerator[GridRow, None]:
        """Answer everything that the store does not hold yet, and yield all rows.

        Parameters
        ----------
        lm : LanguageModel
            The grid's model, loaded.
        executor : Executor
            Where the work runs.
        store : Store
            Where finished work lies.

        Yields
        ------
        GridRow
            In the order of methods, seeds, tasks and problems.

        Raises
        ------
        BackendError, StoreError
            The model failed, or the store cannot be written. What is finished is stored.
        """
        drawn = self.draw_problems()
        plan = [
            (method, number, task, problem)
            for method in self.all_methods
            for number in range(self.seeds)
            for task, problems in drawn.items()
            for problem in problems
        ]
        units = [self._unit(place, *cell) for place, cell in enumerate(plan)]
        place = 0
        lines = solve_all(units, lm, executor, store)
        try:
            async for line in lines:
                yield self._row(plan[place], line, units[place], lm, store)
                place += 1
        finally:
            await lines.aclose()

    def _unit(self, place: int, method: str, number: int, task: str, problem: Problem) -> Unit:
        question = Question.from_json(problem.question_json() | {"id": str(place)})
        # The problem's own seed, the same for all methods: they differ by what they do with it, not by luck.
        seed = Seed(self.seed).child("bench", number, problem.id).bits() % 2**63
        return Unit(question, method, self.lm, self.dtype, seed, self.budget)

    def _row(
        self, cell: tuple[str, int, str, Problem], line: dict[str, Any], unit: Unit, lm: LanguageModel, store: Store
    ) -> GridRow:
        method, number, task, problem = cell
        baseline = method in self.baselines and method not in self.methods
        if "error" in line:
            return GridRow(task, problem.id, method, baseline, number, False, False, 0.0, 0, 0, 0, 0, 0, 0.0,
                           error=line["error"])  # fmt: skip
        kept = store.get(unit.digest(lm.fingerprint))
        if kept is None:
            raise StoreError("An answer has left the store while the grid ran. Run it again.")
        ledger = kept.ledger
        answers = [item["answer"] for item in line["posterior"] if item["probability"] > 0]
        return GridRow(
            task, problem.id, method, baseline, number,
            correct=line["answer"] is not None and problem.check_answer(line["answer"]),
            covered=any(problem.check_answer(answer) for answer in answers),
            confidence=float(line["confidence"]),
            tokens=ledger.sampled_tokens, prompt_tokens=ledger.prompt_tokens, cached_tokens=ledger.cached_tokens,
            samples=ledger.samples, calls=ledger.calls, seconds=ledger.seconds, stopped_by=ledger.stopped_by,
        )  # fmt: skip


def check_rows(rows: Sequence[GridRow]) -> None:
    """Refuse an empty grid, which has no summary."""
    if not rows:
        raise UsageError("There is no row to summarise. Run the grid first.")
