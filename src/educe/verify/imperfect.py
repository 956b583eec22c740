"""Verifiers that err: how often they do, and what an accepted answer is then worth.

Source: Stroebl, Kapoor and Narayanan (2024), Inference Scaling fLaws, arXiv:2411.17501, section 3.
Completeness is P(accept | right), soundness is P(reject | wrong). By Bayes' rule an accepted sample of a generator with
success rate r is right with probability c r / (c r + (1 - s)(1 - r)), whatever the number of attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core.canonical import canonical_key
from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.verify.answers import Verdict

__all__ = ["ErrorRates", "ImperfectVerifier", "estimate_error_rates", "precision_after_acceptance"]

Floats = npt.NDArray[np.float64]
NORMAL_975 = 1.959963984540054


def _check_rate(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise UsageError(f"{name}={value} is no probability. Give a number from 0 to 1.")


@dataclass(frozen=True)
class ImperfectVerifier:
    """A checker made worse in a known way, to see what its errors do to a method.

    Parameters
    ----------
    base : callable
        Called with the item that is judged (a strategy passes the question and the completion); returns a `Verdict`
        or a truth value.
    soundness : float, optional
        Probability that a wrong item stays rejected, in [0, 1]; always when left out.
    completeness : float, optional
        Probability that a right item stays accepted, in [0, 1]; always when left out.
    seed : int
        Root of the errors. An item's error depends on its content alone, so asking twice does not help.

    Raises
    ------
    UsageError
        A rate is no probability.

    Examples
    --------
    >>> blind = ImperfectVerifier(lambda item: item == "right", soundness=0.0)
    >>> blind("wrong").value, ImperfectVerifier(lambda item: item == "right")("wrong").value
    ('proved', 'refuted')
    """

    base: Callable[..., Verdict | bool]
    soundness: float | None = None
    completeness: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_rate("soundness", self.soundness)
        _check_rate("completeness", self.completeness)

    def __call__(self, *item: Any) -> Verdict:
        """Judge an item; a base that hits its limit is passed through."""
        found = self.base(*item)
        if found is Verdict.LIMIT_HIT:
            return Verdict.LIMIT_HIT
        right = found is Verdict.PROVED or found is True
        stays = self.completeness if right else self.soundness
        if stays is not None:
            content = repr([canonical_key(getattr(part, "text", part)) for part in item])
            right ^= bool(Seed(self.seed).child("imperfect", content).numpy().random() >= stays)
        return Verdict.PROVED if right else Verdict.REFUTED


def precision_after_acceptance(rate: float, completeness: float, soundness: float) -> float:
    """Probability that an accepted sample is right.

    Parameters
    ----------
    rate : float
        Probability that a sample is right, in [0, 1].
    completeness, soundness : float
        P(accept | right) and P(reject | wrong), in [0, 1].

    Returns
    -------
    float
        NaN where nothing is ever accepted.

    Raises
    ------
    UsageError
        An argument is no probability.

    Examples
    --------
    >>> round(precision_after_acceptance(0.5, 1.0, 0.75), 3)
    0.8
    """
    for name, value in (("rate", rate), ("completeness", completeness), ("soundness", soundness)):
        _check_rate(name, value)
    right, wrong = completeness * rate, (1 - soundness) * (1 - rate)
    return right / (right + wrong) if right + wrong > 0 else float("nan")


@dataclass(frozen=True)
class ErrorRates:
    """What `estimate_error_rates` found.

    Parameters
    ----------
    completeness, soundness : float
        Shares over all samples; NaN without a right (wrong) sample.
    completeness_interval, soundness_interval : (float, float)
        95 % Wilson intervals that take samples as independent.
    soundness_between_tasks : (float, float)
        95 % bootstrap interval over tasks; the wider one is the one to believe.
    precision : (tasks,) float64
        Share of right samples among the accepted ones of each task; NaN where none was accepted.
    """

    completeness: float
    soundness: float
    completeness_interval: tuple[float, float]
    soundness_interval: tuple[float, float]
    soundness_between_tasks: tuple[float, float]
    precision: Floats


def estimate_error_rates(
    accepted: Sequence[npt.ArrayLike], right: Sequence[npt.ArrayLike], *, replicates: int = 1000, seed: int | Seed = 0
) -> ErrorRates:
    """Estimate how often a verifier errs, from samples whose truth is known.

    Parameters
    ----------
    accepted, right : sequence of array-like of bool
        One array of samples per task: what the verifier said, and what is true.
    replicates : int
        Bootstrap replicates over tasks, >= 1.
    seed : int or Seed
        Root of the bootstrap.

    Returns
    -------
    ErrorRates

    Raises
    ------
    UsageError
        There is no task, or the arrays do not fit one another.

    Examples
    --------
    >>> rates = estimate_error_rates([[1, 1, 0, 0], [1, 0, 0, 0]], [[1, 0, 0, 0], [1, 0, 0, 0]])
    >>> rates.completeness, round(rates.soundness, 3), rates.precision.tolist()
    (1.0, 0.833, [0.5, 1.0])
    """
    table = _counts(accepted, right)
    both, only_right, only_accepted, neither = table.sum(0)
    rng = Seed.of(seed).child("error-rates").numpy()
    drawn = table[rng.integers(len(table), size=(replicates, len(table)))].sum(1)
    wrong = drawn[:, 2] + drawn[:, 3]
    shares = drawn[wrong > 0, 3] / wrong[wrong > 0]
    low, high = np.quantile(shares, [0.025, 0.975]) if len(shares) else (np.nan, np.nan)
    asked = table[:, 0] + table[:, 2]
    precision = np.divide(table[:, 0], asked, out=np.full(len(table), np.nan), where=asked > 0)
    return ErrorRates(
        _share(both, both + only_right),
        _share(neither, neither + only_accepted),
        wilson_interval(both, both + only_right),
        wilson_interval(neither, neither + only_accepted),
        (float(low), float(high)),
        precision,
    )


def _counts(accepted: Sequence[npt.ArrayLike], right: Sequence[npt.ArrayLike]) -> npt.NDArray[np.int64]:
    """Count per task: accepted and right, right only, accepted only, neither."""
    if not len(accepted) or len(accepted) != len(right):
        raise UsageError(f"{len(accepted)} and {len(right)} tasks do not fit. Give one array of each per task.")
    rows = []
    for number, (said, true) in enumerate(zip(accepted, right, strict=True)):
        a, r = np.asarray(said, dtype=bool), np.asarray(true, dtype=bool)
        if a.shape != r.shape or a.ndim != 1:
            raise UsageError(f"Task {number} has verdicts {a.shape} and truths {r.shape}. Give two equal vectors.")
        rows.append([(a & r).sum(), (~a & r).sum(), (a & ~r).sum(), (~a & ~r).sum()])
    return np.array(rows, dtype=np.int64)


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson (1927); (nan, nan) without trials."""
    if trials == 0:
        return (float("nan"), float("nan"))
    share, square = hits / trials, NORMAL_975**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = NORMAL_975 / (1 + square / trials) * np.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return (float(centre - half), float(centre + half))
