"""Bootstrap intervals over items; paired, when a statistic looks at several columns of the same items.

Source: Efron (1979); percentile intervals. Items are resampled whole: give one row per question, not per sample, since
samples of one question are no independent evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError

__all__ = ["Estimate", "bootstrap"]


class Estimate(NamedTuple):
    """A statistic with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[..., float],
    *columns: npt.ArrayLike,
    mass: float = 0.95,
    replicates: int = 2000,
    seed: int | Seed = 0,
) -> Estimate:
    """Percentile interval of a statistic of items.

    Parameters
    ----------
    statistic : callable
        Takes the columns, resampled alike, and returns a number. Replicates that give NaN are left out.
    *columns : array-like
        One row per item each, of equal length.
    mass : float
        Probability inside, in (0, 1).
    replicates : int
        Resamples, >= 1.
    seed : int or Seed
        Root of the resampling.

    Returns
    -------
    Estimate
        The statistic of the items as they are, and the interval's ends.

    Raises
    ------
    UsageError
        There is no item, lengths differ, or `mass` or `replicates` is out of range.

    Examples
    --------
    >>> found = bootstrap(lambda a, b: (a - b).mean(), [1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    >>> found.value, found.low, found.high
    (1.0, 1.0, 1.0)
    """
    arrays = [np.asarray(column) for column in columns]
    lengths = {len(array) for array in arrays if array.ndim}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(f"Columns of lengths {sorted(lengths)} do not pair. Give one row per item in each.")
    if not 0 < mass < 1 or replicates < 1:
        raise UsageError(f"mass={mass}, replicates={replicates} is out of range. Give mass in (0, 1), replicates >= 1.")
    n = lengths.pop()
    rng = Seed.of(seed).child("bootstrap").numpy()
    values = []
    for _ in range(replicates):
        chosen = rng.integers(n, size=n)
        values.append(float(statistic(*(array[chosen] for array in arrays))))
    kept = np.array(values)[~np.isnan(values)]
    low, high = np.quantile(kept, [(1 - mass) / 2, (1 + mass) / 2]) if len(kept) else (np.nan, np.nan)
    return Estimate(float(statistic(*arrays)), float(low), float(high))
