"""Turn one knob of a method at a time, on paired questions: what is it worth, and do the gains add up?

Source: Liu et al. (2025), Bag of Tricks for Inference-time Computation of LLM Reasoning, arXiv:2502.07191. A base
method is answered with each value of a knob, on the same problems with the same seeds; gains are differences to the
base, with bootstrap intervals over problems. `combine` turns all knobs to their best values at once and holds the gain
against the sum of the single ones.

What it does not do: search over pairs of knobs, or correct the best value for having been picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Executor, Seed, Store, UsageError
from educe.lm import LanguageModel
from educe.reason.bench import Grid, GridRow
from educe.uncertainty import Estimate, bootstrap

__all__ = ["Ablation", "Combination", "Setting", "ablate", "combine", "with_option"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """A method with a knob at one value.

    Parameters
    ----------
    value : str
        The knob's.
    method : str
        As for `make_method`.
    accuracy, gain : Estimate
        Share right, and that minus the base's, each with its 95 % interval.
    wins, losses : int
        Problems on which it is right more often than the base, and less often.
    tasks : dict of str to float
        Accuracy on each task.
    tokens : float
        Tokens drawn for each question.
    """

    value: str
    method: str
    accuracy: Estimate
    gain: Estimate
    wins: int
    losses: int
    tasks: dict[str, float]
    tokens: float


@dataclass(frozen=True)
class Ablation:
    """One knob at several values.

    Parameters
    ----------
    base, knob : str
        The method, and the name of its option.
    settings : tuple of Setting
        In the order of the values.

    Examples
    --------
    >>> one = Setting("1", "vote:n=1", Estimate(0.5, 0.4, 0.6), Estimate(0.0, 0.0, 0.0), 0, 0, {"sums": 0.5}, 9.0)
    >>> Ablation("vote", "n", (one,)).spread
    0.0
    """

    base: str
    knob: str
    settings: tuple[Setting, ...]

    @property
    def best(self) -> Setting:
        """The most accurate setting; the first of a tie."""
        return max(self.settings, key=lambda setting: setting.accuracy.value)

    @property
    def spread(self) -> float:
        """Accuracy of the best setting minus that of the worst; never negative, so it needs noise beside it."""
        values = [setting.accuracy.value for setting in self.settings]
        return max(values) - min(values)

    @property
    def best_values(self) -> dict[str, tuple[str, ...]]:
        """All values that are best on a task, by task."""
        found: dict[str, tuple[str, ...]] = {}
        for task in self.settings[0].tasks:
            top = max(setting.tasks[task] for setting in self.settings)
            found[task] = tuple(setting.value for setting in self.settings if setting.tasks[task] == top)
        return found

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each value."""
        return [
            {
                self.knob: setting.value,
                "accuracy": setting.accuracy.value,
                "gain": setting.gain.value,
                "low": setting.gain.low,
                "high": setting.gain.high,
                "wins": setting.wins,
                "losses": setting.losses,
                "tokens": setting.tokens,
            }
            for setting in self.settings
        ]


@dataclass(frozen=True)
class Combination:
    """All knobs at their best values at once.

    Parameters
    ----------
    method : str
        As for `make_method`.
    gain : Estimate
        Over the base, with its 95 % interval.
    sum_of_gains : float
        What it would be, did the single gains add up.
    """

    method: str
    gain: Estimate
    sum_of_gains: float


def with_option(method: str, knob: str, value: object) -> str:
    """Return a method's text with an option set.

    Parameters
    ----------
    method : str
        As for `make_method`.
    knob : str
        Name of the option.
    value : object
        Its value, written as text.

    Examples
    --------
    >>> with_option("self-consistency:n=8,temperature=0.7", "temperature", 1.0)
    'self-consistency:n=8,temperature=1.0'
    """
    name, _, text = method.partition(":")
    kept = [part for part in text.split(",") if part and part.partition("=")[0].strip() != knob]
    return f"{name}:{','.join([*kept, f'{knob}={value}'])}"


async def ablate(
    grid: Grid, knob: str, values: Sequence[object], lm: LanguageModel, executor: Executor, store: Store
) -> Ablation:
    """Answer a grid's problems by its one method with a knob at each value, and compare with the method as it is.

    Parameters
    ----------
    grid : Grid
        With one method, the base.
    knob : str
        Name of an option of it.
    values : sequence of object
        Distinct values of the knob, at least one.
    lm : LanguageModel
        The grid's model, loaded.
    executor : Executor
        Where the work runs.
    store : Store
        Where finished work lies; what lies there is not done again.

    Returns
    -------
    Ablation

    Raises
    ------
    UsageError
        The grid has several methods, there is no value or one occurs twice, or the method cannot take one.
    BackendError, StoreError
        See `Grid.run`.
    """
    base = _base(grid)
    if not values:
        raise UsageError(f"There is no value for {knob!r}. Give at least one.")
    methods = tuple(with_option(base, knob, value) for value in values)
    table = await _right(grid, (base, *methods), lm, executor, store)
    seed = Seed(grid.seed).child("ablation", knob)
    settings = [
        _setting(str(value), method, table[base], table[method], seed)
        for value, method in zip(values, methods, strict=True)
    ]
    return Ablation(base, knob, tuple(settings))


async def combine(
    grid: Grid, ablations: Sequence[Ablation], lm: LanguageModel, executor: Executor, store: Store
) -> Combination:
    """Turn several knobs to their best values at once.

    Parameters
    ----------
    grid : Grid
        That of the ablations.
    ablations : sequence of Ablation
        Of one base, each with a knob of its own.
    lm, executor, store
        As for `ablate`.

    Returns
    -------
    Combination

    Raises
    ------
    UsageError
        The grid has several methods, or the ablations are not of its method.
    BackendError, StoreError
        See `Grid.run`.
    """
    base = _base(grid)
    if not ablations or any(ablation.base != base for ablation in ablations):
        raise UsageError(f"These are no ablations of {base!r}. Make them with the same grid.")
    method = base
    for ablation in ablations:
        method = with_option(method, ablation.knob, ablation.best.value)
    table = await _right(grid, tuple(dict.fromkeys((base, method))), lm, executor, store)
    seed = Seed(grid.seed).child("ablation", "all")
    gain = _setting("", method, table[base], table[method], seed).gain
    return Combination(method, gain, sum(ablation.best.gain.value for ablation in ablations))


def _base(grid: Grid) -> str:
    if len(grid.methods) != 1:
        raise UsageError(f"The grid has {len(grid.methods)} methods. An ablation takes one, the base.")
    return grid.methods[0]


async def _right(
    grid: Grid, methods: tuple[str, ...], lm: LanguageModel, executor: Executor, store: Store
) -> dict[str, list[GridRow]]:
    """Rows by method, all in the same order of problems."""
    # A value that is the base's own gives the base's text only where the base spells it; both are then one method.
    plan = replace(grid, methods=tuple(dict.fromkeys(methods)), beside=False)
    if len(set(methods[1:])) < len(methods) - 1:
        raise UsageError(f"A value occurs twice in {methods[1:]}. Give distinct ones.")
    table: dict[str, list[GridRow]] = {}
    async for row in plan.run(lm, executor, store):
        table.setdefault(row.method, []).append(row)
    return table


def _columns(rows: Sequence[GridRow]) -> dict[tuple[str, str], float]:
    """Share of answers to a problem that are right."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row.task, row.problem), []).append(float(row.correct))
    return {key: float(np.mean(values)) for key, values in found.items()}


def _setting(value: str, method: str, base: Sequence[GridRow], rows: Sequence[GridRow], seed: Seed) -> Setting:
    own, other = _columns(rows), _columns(base)
    right, plain = np.array(list(own.values())), np.array([other[key] for key in own])
    tasks = {task: float(np.mean([share for (name, _), share in own.items() if name == task])) for task, _ in own}
    return Setting(
        value, method,
        bootstrap(np.mean, right, seed=seed),
        bootstrap(lambda a, b: float(np.mean(a - b)), right, plain, seed=seed),
        int((right > plain).sum()), int((right < plain).sum()), tasks,
        float(np.mean([row.tokens for row in rows])),
    )  # fmt: skip
