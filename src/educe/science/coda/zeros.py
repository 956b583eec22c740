"""Multiplicative replacement of zeros in compositions, with a count of what was replaced.

Source: Martin-Fernandez, Barcelo-Vidal and Pawlowsky-Glahn (2003), Mathematical Geology 35. Each zero becomes a
share of the detection limit and the other parts of that row shrink by a common factor, so that the row's sum and the
ratios between observed parts stay as they were. It takes zeros for amounts too small to be seen; it is no model of
counts, and no cure for parts that are truly absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from educe.core import UsageError
from educe.science._tables import Matrix, read_table

__all__ = ["ZeroReplacement", "replace_zeros"]


class ZeroReplacement(NamedTuple):
    """A table without zeros, and how it came about.

    Parameters
    ----------
    amounts : ndarray
        (samples, parts) float64, all > 0.
    parts : tuple of str
        Names of the columns.
    replaced : dict of str to int
        Zeros per part, for those parts that had any.
    share : float
        Replaced cells over all cells.
    """

    amounts: Matrix
    parts: tuple[str, ...]
    replaced: dict[str, int]
    share: float


def replace_zeros(
    x: Any,
    detection_limit: Any = None,
    *,
    fraction: float = 0.65,
    keep_sums: bool = True,
    names: Sequence[str] | None = None,
) -> ZeroReplacement:
    """Replace zeros by a fraction of the detection limit, keeping observed ratios and, for closed data, row sums.

    Parameters
    ----------
    x : array_like
        (samples, parts) amounts >= 0.
    detection_limit : float or array_like, optional
        The least amount that can be told from zero, in the units of `x`: one number, or one a part. When left out, the
        least positive amount of each part, which is a guess: give the laboratory's own limit where it is known.
    fraction : float
        What a zero becomes, as a fraction of the limit, in (0, 1].
    keep_sums : bool
        Shrink the other parts of a row by a common factor so that its sum stays, as closed tables (per cent) need. Set
        it to False for amounts that were never closed (counts, readings): then observed amounts stay as they are.
    names : sequence of str, optional
        Column names.

    Returns
    -------
    ZeroReplacement
        The new table and the counts; partial correlations can be read from its ``amounts``.

    Raises
    ------
    UsageError
        An amount is negative or missing, a limit is not positive, a sample is all zeros, a part is and no limit is
        given, or sums are to be
        kept and the replaced amounts of a row are not smaller than its sum.

    Examples
    --------
    >>> done = replace_zeros([[0.0, 4.0, 6.0], [1.0, 3.0, 6.0]], detection_limit=1.0)
    >>> done.amounts[0].round(3).tolist(), done.replaced
    ([0.65, 3.74, 5.61], {'0': 1})
    """
    amounts, parts = read_table(x, names)
    if (amounts < 0).any():
        row, column = np.argwhere(amounts < 0)[0]
        raise UsageError(
            f"Row {row}, part {parts[column]!r} is {amounts[row, column]:g}. Negative values in data are no amounts."
        )
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction={fraction} is not in (0, 1]. Give for instance 0.65.")
    zero = amounts == 0
    # A part that was never seen has no least positive amount, so that its limit cannot be guessed.
    empty = [f"part {parts[i]!r}" for i in np.flatnonzero(zero.all(axis=0)) if detection_limit is None]
    empty += [f"sample {i}" for i in np.flatnonzero(zero.all(axis=1))]
    if empty:
        raise UsageError(f"All amounts of {empty[0]} are zero. Drop it, or give the detection limit of a part.")
    if detection_limit is None:
        limits = np.where(zero, np.inf, amounts).min(axis=0)
    else:
        limits = np.asarray(detection_limit, dtype=np.float64)
        if limits.shape not in ((), (len(parts),)) or not (np.isfinite(limits).all() and (limits > 0).all()):
            raise UsageError(
                f"The detection limit {detection_limit!r} is neither a positive number nor {len(parts)} of them. "
                "Give one in the units of the table."
            )
    small = np.where(zero, fraction * np.broadcast_to(limits, amounts.shape), 0.0)
    left = 1.0 - small.sum(axis=1) / amounts.sum(axis=1) if keep_sums else np.ones(len(amounts))
    if (left <= 0).any():
        row = int(np.argmin(left))
        raise UsageError(
            f"The replaced amounts of row {row} add up to {small[row].sum():g} of a sum of {amounts[row].sum():g}. "
            "Give a smaller detection limit, or keep_sums=False."
        )
    counts = zero.sum(axis=0)
    return ZeroReplacement(
        np.where(zero, small, amounts * left[:, None]),
        parts,
        {part: int(count) for part, count in zip(parts, counts, strict=True) if count},
        float(zero.mean()),
    )
