"""Reliability diagrams as numbers: by bin, what was stated, what came true, and how sure one can be of that.

Source: Murphy and Winkler (1977); the intervals are Wilson's (1927). `murphy` splits a Brier score into reliability,
resolution and uncertainty (Murphy 1973), exactly for groups of equal predictions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from educe.uncertainty.metrics import binned, checked

__all__ = ["Decomposition", "Reliability", "murphy", "reliability"]

Floats = npt.NDArray[np.float64]


class Reliability(NamedTuple):
    """One row per bin that is not empty.

    Parameters
    ----------
    confidence, accuracy : (bins,) float64
        Mean stated probability and mean outcome.
    counts : (bins,) float64
        Number of predictions.
    low, high : (bins,) float64
        Wilson's 95 % interval of the accuracy.
    ece, rms : float
        Calibration errors over these bins.
    variant : str
        Name of the binning, to be printed beside every number.
    """

    confidence: Floats
    accuracy: Floats
    counts: Floats
    low: Floats
    high: Floats
    ece: float
    rms: float
    variant: str


def reliability(conf: npt.ArrayLike, correct: npt.ArrayLike, bins: int = 10, mass: str = "equal") -> Reliability:
    """Compare stated confidence with what came true, bin by bin.

    Parameters
    ----------
    conf, correct : array-like
        Stated probabilities, and outcomes or rates.
    bins : int
        Number of bins, >= 1.
    mass : str
        ``"equal"`` or ``"width"``, see `binned`.

    Returns
    -------
    Reliability

    Raises
    ------
    UsageError
        The input or the binning is malformed.

    Examples
    --------
    >>> found = reliability([0.9] * 10, [1] * 9 + [0], bins=5, mass="width")
    >>> found.variant, round(found.ece, 6), found.accuracy.tolist()
    ('5 bins of equal width', 0.0, [0.9])
    """
    found = binned(conf, correct, bins, mass)
    count = found.weight * np.asarray(conf).size
    gap = found.accuracy - found.confidence
    z = 1.96
    scale = 1 + z**2 / count
    centre = (found.accuracy + z**2 / (2 * count)) / scale
    half = z * np.sqrt(found.accuracy * (1 - found.accuracy) / count + z**2 / (4 * count**2)) / scale
    return Reliability(
        found.confidence,
        found.accuracy,
        count,
        centre - half,
        centre + half,
        float((found.weight * np.abs(gap)).sum()),
        float(np.sqrt((found.weight * gap**2).sum())),
        f"{bins} bins of equal {mass if mass == 'width' else 'mass'}",
    )


class Decomposition(NamedTuple):
    """Brier score = reliability - resolution + uncertainty."""

    reliability: float
    resolution: float
    uncertainty: float


def murphy(p: npt.ArrayLike, y: npt.ArrayLike) -> Decomposition:
    """Split the Brier score over groups of equal predictions.

    Parameters
    ----------
    p, y : array-like
        Stated probabilities and outcomes. The parts are exact where predictions repeat; where each is its own group,
        round them first, and the sum is that of the rounded predictions.

    Examples
    --------
    >>> parts = murphy([0.5, 0.5, 1.0], [0, 1, 1])
    >>> round(parts.reliability - parts.resolution + parts.uncertainty, 6)
    0.166667
    """
    stated, outcome = checked(p, y)
    values, group = np.unique(stated, return_inverse=True)
    count = np.bincount(group.reshape(-1))
    means = np.bincount(group.reshape(-1), outcome) / count
    weight, base = count / len(stated), outcome.mean()
    return Decomposition(
        float((weight * (values - means) ** 2).sum()),
        float((weight * (means - base) ** 2).sum()),
        float(base * (1 - base)),
    )
