"""How good stated probabilities are: calibration errors, Brier score, AUROC, selective accuracy, temperature.

Sources: Kadavath et al. (2022), arXiv:2207.05221 (equal-mass calibration errors over all stated probabilities); Brier
(1950); Hanley and McNeil (1982) for the area under the curve; El-Yaniv and Wiener (2010) for risk and coverage; Guo et
al. (2017), arXiv:1706.04599, for one temperature.

An outcome is 0 or 1, or the rate at which it was 1 in many trials; every score is then its expectation over single
trials. A calibration error without its binning is no number: ``mass="equal"`` puts the same share of the predictions
into every bin, ``mass="width"`` cuts [0, 1] into equal parts, and results differ several-fold. Binned errors of n
predictions are too high by about sqrt(bins / n) when the truth is zero; compare with `bootstrap` or more data.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import UsageError

__all__ = [
    "Bins",
    "SelectiveCurve",
    "auroc",
    "binned",
    "brier",
    "checked",
    "ece",
    "fit_temperature",
    "rms_ce",
    "selective_curve",
]

Floats = npt.NDArray[np.float64]


def checked(p: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return probabilities and outcomes as two flat arrays, or refuse them.

    Parameters
    ----------
    p, y : array-like
        Of one shape; numbers in [0, 1].

    Raises
    ------
    UsageError
        Shapes differ, they are empty, or a number is outside [0, 1].
    """
    stated = np.asarray(p, dtype=np.float64)
    outcome = np.asarray(y, dtype=np.float64)
    if stated.shape != outcome.shape or not stated.size:
        raise UsageError(f"Probabilities {stated.shape} and outcomes {outcome.shape} do not fit. Give one of each.")
    for name, values in (("Probability", stated), ("Outcome", outcome)):
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            raise UsageError(f"{name} {values[bad].flat[0]} is not between 0 and 1. Give probabilities and rates.")
    return stated.reshape(-1), outcome.reshape(-1)


class Bins(NamedTuple):
    """Predictions by bin, empty bins left out; ``weight`` sums to one.

    Parameters
    ----------
    confidence, accuracy : (bins,) float64
        Mean stated probability and mean outcome.
    weight : (bins,) float64
        Share of the predictions.
    """

    confidence: Floats
    accuracy: Floats
    weight: Floats


def binned(p: npt.ArrayLike, y: npt.ArrayLike, bins: int = 10, mass: str = "equal") -> Bins:
    """Sort predictions into bins.

    Parameters
    ----------
    p, y : array-like
        Stated probabilities and outcomes.
    bins : int
        Number of bins, >= 1.
    mass : str
        ``"equal"``: bins of equally many predictions; equal predictions that a border would divide are shared out
        evenly, so that the order of the input does not matter. ``"width"``: bins of equal width, closed above.

    Returns
    -------
    Bins

    Raises
    ------
    UsageError
        The input or the binning is malformed.

    Examples
    --------
    >>> binned([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0], bins=2).accuracy.tolist()
    [0.0, 0.5]
    """
    stated, outcome = checked(p, y)
    if bins < 1 or mass not in ("equal", "width"):
        raise UsageError(f"bins={bins}, mass={mass!r} is no binning. Give bins >= 1 and mass 'equal' or 'width'.")
    if mass == "width":
        owner = np.clip(np.ceil(stated * bins).astype(np.int64) - 1, 0, bins - 1)
    else:
        _, group = np.unique(stated, return_inverse=True)
        group = group.reshape(-1)
        # Every member of a tie gets the mean outcome of the tie; then any order gives the same bins.
        outcome = (np.bincount(group, outcome) / np.bincount(group))[group]
        order = np.argsort(stated, kind="stable")
        owner = np.empty(len(stated), dtype=np.int64)
        owner[order] = np.arange(len(stated)) * bins // len(stated)
    count = np.bincount(owner, minlength=bins)
    filled = count > 0
    confidence = np.bincount(owner, stated, minlength=bins)[filled] / count[filled]
    accuracy = np.bincount(owner, outcome, minlength=bins)[filled] / count[filled]
    return Bins(confidence, accuracy, count[filled] / len(stated))


def ece(p: npt.ArrayLike, y: npt.ArrayLike, bins: int = 10, mass: str = "equal") -> float:
    """Expected calibration error: mean distance between stated probability and outcome over bins.

    Parameters
    ----------
    p, y, bins, mass
        See `binned`.

    Examples
    --------
    >>> round(ece([0.8] * 10, [1] * 6 + [0] * 4), 6)
    0.2
    """
    found = binned(p, y, bins, mass)
    return float((found.weight * np.abs(found.accuracy - found.confidence)).sum())


def rms_ce(p: npt.ArrayLike, y: npt.ArrayLike, bins: int = 10, mass: str = "equal") -> float:
    """Root mean squared calibration error over bins; never below `ece`.

    Parameters
    ----------
    p, y, bins, mass
        See `binned`.

    Examples
    --------
    >>> round(rms_ce([0.8] * 10, [1] * 6 + [0] * 4), 6)
    0.2
    """
    found = binned(p, y, bins, mass)
    return float(np.sqrt((found.weight * (found.accuracy - found.confidence) ** 2).sum()))


def brier(p: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Mean squared distance between stated probability and single outcomes.

    Parameters
    ----------
    p, y : array-like
        Stated probabilities and outcomes; for a rate the expectation over its trials.

    Examples
    --------
    >>> brier([1.0, 0.5], [1, 0]), brier([0.5], [0.5])
    (0.125, 0.25)
    """
    stated, outcome = checked(p, y)
    return float((outcome * (1 - stated) ** 2 + (1 - outcome) * stated**2).mean())


def auroc(p: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Probability that a positive is ranked above a negative, ties counted half.

    Parameters
    ----------
    p : array-like
        Scores of any scale, higher for positives; NaN is refused.
    y : array-like
        Outcomes; a rate counts as that much of a positive and the rest of a negative.

    Returns
    -------
    float
        NaN where all outcomes are alike.

    Examples
    --------
    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    scores = np.asarray(p, dtype=np.float64).reshape(-1)
    _, outcome = checked(np.zeros(len(scores)), np.asarray(y, dtype=np.float64).reshape(-1))
    if np.isnan(scores).any():
        raise UsageError("A score is NaN, which has no rank. Give numbers.")
    _, group = np.unique(scores, return_inverse=True)
    positive = np.bincount(group.reshape(-1), outcome)
    negative = np.bincount(group.reshape(-1), 1 - outcome)
    total = positive.sum() * negative.sum()
    if total == 0:
        return math.nan
    below = np.cumsum(negative) - negative
    # One trial of a rate is not ranked against another trial of the same question any differently than others.
    return float((positive * (below + negative / 2)).sum() / total)


class SelectiveCurve(NamedTuple):
    """Accuracy when only the most confident predictions are answered.

    Parameters
    ----------
    coverage : (n,) float64
        Share answered, from 1/n to 1.
    accuracy : (n,) float64
        Mean outcome of those.
    area : float
        Mean error over all coverages (area under the risk-coverage curve); lower is better.
    """

    coverage: Floats
    accuracy: Floats
    area: float


def selective_curve(p: npt.ArrayLike, y: npt.ArrayLike) -> SelectiveCurve:
    """Accuracy against the share of questions answered, most confident first.

    Parameters
    ----------
    p, y : array-like
        Stated probabilities and outcomes; tied predictions count by their mean outcome.

    Examples
    --------
    >>> selective_curve([0.9, 0.6, 0.5], [1, 1, 0]).accuracy.round(3).tolist()
    [1.0, 1.0, 0.667]
    """
    stated, outcome = checked(p, y)
    _, group = np.unique(stated, return_inverse=True)
    outcome = (np.bincount(group.reshape(-1), outcome) / np.bincount(group.reshape(-1)))[group.reshape(-1)]
    ordered = outcome[np.argsort(-stated, kind="stable")]
    count = np.arange(1, len(ordered) + 1)
    accuracy = np.cumsum(ordered) / count
    return SelectiveCurve(count / len(ordered), accuracy, float(1 - accuracy.mean()))


def fit_temperature(logits: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Temperature that makes softmax(logits / T) most likely.

    Parameters
    ----------
    logits : (n, classes) or (n,) array-like
        Of classes, or of a yes.
    y : (n,) array-like
        Class indices; for one logit an outcome or rate.

    Returns
    -------
    float
        In [0.01, 100]; an end where the data would go beyond, as they do when all predictions are right.

    Raises
    ------
    UsageError
        Shapes do not fit, a logit is not finite, or a class does not exist.

    Examples
    --------
    >>> round(fit_temperature([4.0] * 4, [1, 1, 1, 0]), 3)
    3.641
    """
    values = np.asarray(logits, dtype=np.float64)
    outcome = np.asarray(y, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != outcome.size or not values.size or not np.isfinite(values).all():
        raise UsageError(
            f"Logits {values.shape} and outcomes {outcome.shape} do not fit. Give finite logits, one y each."
        )
    if values.ndim == 1:
        checked(np.zeros(len(values)), outcome)
        values = np.stack([np.zeros(len(values)), values], axis=1)
        target = np.stack([1 - outcome, outcome], axis=1)
    else:
        index = outcome.astype(np.int64)
        if (index != outcome).any() or index.min() < 0 or index.max() >= values.shape[1]:
            raise UsageError(f"A class is not one of 0 to {values.shape[1] - 1}. Give class indices.")
        target = np.eye(values.shape[1])[index]

    def slope(log_temperature: float) -> float:
        """Derivative of the negative log-likelihood by the inverse temperature, which is convex."""
        scaled = values * math.exp(-log_temperature)
        shares = np.exp(scaled - scaled.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return float(((shares - target) * values).sum())

    low, high = math.log(0.01), math.log(100.0)
    for _ in range(100):
        middle = (low + high) / 2
        # A positive slope asks for a smaller inverse, that is for a higher temperature.
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.exp((low + high) / 2)
