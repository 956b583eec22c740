"""Residuals of a part's log-ratio on the other log-ratios: the definition behind the partial correlations.

Source: Erb (2019), arXiv:1904.09480. The residual of log(x_i / x_r) on all other log-ratios with reference r does not
depend on r. This is the slow route, by least squares; it exists to look at residuals (outliers, drift, a plot of two
parts given the rest) and as a check of `partial_correlation`, which needs one factorisation for all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from educe.core import UsageError
from educe.science._tables import Matrix, index_of, read_parts

__all__ = ["partial_residuals"]


def partial_residuals(
    x: Any,
    part: int | str,
    ref: int | str | None = None,
    *,
    without: int | str | None = None,
    names: Sequence[str] | None = None,
) -> Matrix:
    """Residual of log(x_part / x_ref) on the log-ratios of all other parts to the same reference.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts.
    part : int or str
        The response.
    ref : int or str, optional
        The reference; any other part, the last possible one when left out. The result does not depend on it.
    without : int or str, optional
        A part that is not controlled for. The correlation of the residuals of i without j and of j without i, with one
        reference, is the partial correlation of i and j.
    names : sequence of str, optional
        Names of the parts.

    Returns
    -------
    ndarray
        (samples,) float64 with mean zero.

    Raises
    ------
    UsageError
        An amount is not positive and finite, parts coincide, or there are not more samples than regressors.

    Examples
    --------
    >>> import numpy as np
    >>> from educe.science import roman_cups
    >>> table = roman_cups()
    >>> gap = partial_residuals(table, "Al", "Si") - partial_residuals(table, "Al", "Sb")
    >>> bool(np.abs(gap).max() < 1e-10)
    True
    """
    amounts, parts = read_parts(x, names, least=3)
    response = index_of(part, parts)
    dropped = {response} if without is None else {response, index_of(without, parts)}
    if without is not None and len(dropped) == 1:
        raise UsageError(f"Part {part!r} is the response and cannot be left out as well. Name another part.")
    free = [i for i in range(len(parts)) if i not in dropped]
    reference = free[-1] if ref is None else index_of(ref, parts)
    if reference not in free:
        raise UsageError(f"Part {ref!r} cannot be the reference: it is the response or left out. Name another part.")
    logs = np.log(amounts)
    ratios = logs - logs[:, [reference]]
    controls = ratios[:, [i for i in free if i != reference]]
    samples, size = controls.shape
    if samples <= size + 1:
        raise UsageError(f"{samples} samples leave no residual beside {size} regressors. Give more than {size + 1}.")
    centred = controls - controls.mean(axis=0)
    target = ratios[:, response] - ratios[:, response].mean()
    coefficients, *_ = np.linalg.lstsq(centred, target, rcond=None)
    return np.asarray(target - centred @ coefficients)
