"""Repair stated probabilities by a straight line on the log-odds, fitted on other questions.

Source: Platt (1999), with his smoothed targets, which keep the line finite where the data separate. Two numbers are
fitted, so some dozens of outcomes are enough; the ranking stays as it was where the slope is positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from educe.uncertainty.metrics import checked

__all__ = ["Platt", "fit_platt"]

Floats = npt.NDArray[np.float64]
CLIP = 1e-6


def _log_odds(p: npt.ArrayLike) -> Floats:
    clipped = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


@dataclass(frozen=True)
class Platt:
    """A line on the log-odds.

    Parameters
    ----------
    slope, intercept : float
        Of the line; 1 and 0 change nothing.

    Examples
    --------
    >>> Platt(1.0, 0.0)([0.2, 0.7]).round(6).tolist()
    [0.2, 0.7]
    """

    slope: float
    intercept: float

    def __call__(self, p: npt.ArrayLike) -> Floats:
        """Return repaired probabilities.

        Parameters
        ----------
        p : array-like
            In [0, 1].
        """
        return np.asarray(1 / (1 + np.exp(-(self.slope * _log_odds(p) + self.intercept))))


def fit_platt(p: npt.ArrayLike, y: npt.ArrayLike) -> Platt:
    """Fit the line by maximum likelihood.

    Parameters
    ----------
    p, y : array-like
        Stated probabilities and outcomes (or rates), from questions that will not be reported on.

    Returns
    -------
    Platt

    Raises
    ------
    UsageError
        The input is empty or malformed.

    Examples
    --------
    >>> repaired = fit_platt([0.9] * 100, [1] * 60 + [0] * 40)
    >>> round(float(repaired([0.9])[0]), 2)
    0.6
    """
    stated, outcome = checked(p, y)
    x = np.stack([_log_odds(stated), np.ones(len(stated))], axis=1)
    positive = float(outcome.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (len(outcome) - positive + 2)
    target = outcome * high + (1 - outcome) * low
    weights = np.array([1.0, 0.0])
    for _ in range(100):
        shares = 1 / (1 + np.exp(-x @ weights))
        # The small ridge keeps the step finite where all predictions are alike.
        curvature = (x * (shares * (1 - shares))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, x.T @ (target - shares))
        weights = weights + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            break
    return Platt(float(weights[0]), float(weights[1]))
