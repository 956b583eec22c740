"""Score predicted epistemic uncertainty against true excess risk: rank, detection and calibration of the mean.

Source: Lahlou et al. (2021), arXiv:2102.08501, experiments. The true excess risk is known only where the truth is, in
simulations; on real data give the losses themselves, which holds the noise too. The numbers depend on the points at
which they are taken: say which, and weigh points by the density you care for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core.errors import UsageError
from educe.uncertainty.metrics import auroc

__all__ = ["ExcessRiskScore", "evaluate"]

Floats = npt.NDArray[np.float64]


class ExcessRiskScore(NamedTuple):
    """How predicted uncertainty compares with true excess risk.

    Parameters
    ----------
    spearman : float
        Rank correlation; NaN where either is constant.
    auroc : float
        Probability that a point whose excess lies above the threshold is ranked above one below it.
    mean_predicted, mean_true : float
        Weighted means.
    ratio : float
        ``mean_predicted / mean_true``; 1 is calibrated on average.
    """

    spearman: float
    auroc: float
    mean_predicted: float
    mean_true: float
    ratio: float


def evaluate(
    predicted: npt.ArrayLike,
    true_excess: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    threshold: float | None = None,
) -> ExcessRiskScore:
    """Compare predicted epistemic uncertainty with true excess risk, point by point.

    Parameters
    ----------
    predicted : array-like
        (n,) predicted uncertainty, in units of the loss.
    true_excess : array-like
        (n,) risk above the Bayes predictor's.
    weights : array-like or None
        (n,) weights of the points in the two means, such as the density of the inputs; ranks are not weighted.
    threshold : float or None
        What counts as a large excess for the AUROC; the median when left out.

    Returns
    -------
    ExcessRiskScore

    Raises
    ------
    UsageError
        Lengths differ, fewer than two points, or a number is not finite.

    Examples
    --------
    >>> from educe.uncertainty import evaluate
    >>> score = evaluate([0.1, 0.2, 0.9], [0.0, 0.3, 0.7])
    >>> round(score.spearman, 6), round(score.ratio, 6)
    (1.0, 1.2)
    """
    p, t = np.asarray(predicted, dtype=np.float64).reshape(-1), np.asarray(true_excess, dtype=np.float64).reshape(-1)
    w = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64).reshape(-1)
    if not len(p) == len(t) == len(w) or len(p) < 2:
        raise UsageError(f"{len(p)} predictions, {len(t)} true values and {len(w)} weights. Give two or more of each.")
    if not (np.isfinite(p).all() and np.isfinite(t).all() and np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise UsageError(
            "A number is not finite or a weight is negative. Give finite numbers and weights of 0 or more."
        )
    a, b = _ranks(p), _ranks(t)
    spread = a.std() * b.std()
    spearman = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else float("nan")
    cut = float(np.median(t)) if threshold is None else threshold
    ours, true = float(p @ w / w.sum()), float(t @ w / w.sum())
    return ExcessRiskScore(
        spearman, auroc(p, t > cut), ours, true, ours / true if true else float("inf") if ours else float("nan")
    )


def _ranks(values: Floats) -> Floats:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: Floats = np.cumsum(counts) - (counts - 1) / 2
    return middle[group.reshape(-1)]
