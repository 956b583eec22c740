"""Share of a part's log-ratio variance that the other parts explain.

Source: Erb (2019), arXiv:1904.09480. The unexplained variance v_i = 1 / K_ii does not depend on a reference, but the
variance it is held against does: R^2 = 1 - v_i / var(log x_i - log x_r). The reference is therefore part of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from educe.core import UsageError
from educe.science._tables import index_of, read_parts
from educe.science.coda.concentration import _estimate
from educe.science.coda.logratio import clr, variation

__all__ = ["MultipleR2", "multiple_r2"]


class MultipleR2(NamedTuple):
    """A multiple correlation and what it refers to.

    Parameters
    ----------
    r2 : float
        Explained share of the response's variance, at most 1.
    part : str
        The response.
    ref : str
        The reference of the response, ``"centred"`` for the centred log-ratio.
    partial_variance, response_variance : float
        The two variances whose ratio is 1 - r2.
    """

    r2: float
    part: str
    ref: str
    partial_variance: float
    response_variance: float


def multiple_r2(
    x: Any,
    part: int | str,
    ref: int | str | None = None,
    *,
    centred: bool = False,
    names: Sequence[str] | None = None,
) -> MultipleR2:
    """Explained share of the variance of log(x_part / x_ref), given all other parts.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts.
    part : int or str
        The response.
    ref : int or str, optional
        Reference of the response. When left out, the one with the smallest share, which is the cautious statement.
    centred : bool
        Hold the unexplained variance against that of the centred log-ratio instead. This needs no reference, but the
        response then contains the controls, so the value may fall below zero, to no less than
        ``1 - (D / (D - 1))**2``.
    names : sequence of str, optional
        Names of the parts.

    Returns
    -------
    MultipleR2

    Raises
    ------
    UsageError
        An amount is not positive and finite, the reference is the part itself, both `ref` and `centred` are given, or
        there are too few samples.

    Examples
    --------
    >>> from educe.science import roman_cups
    >>> answer = multiple_r2(roman_cups(), "Al")
    >>> round(answer.r2, 3), answer.ref
    (0.825, 'Na')
    """
    table = read_parts(x, names, least=3)
    response = index_of(part, table.parts)
    unexplained = 1 / float(_estimate(table, None).concentration[response, response])
    if centred:
        if ref is not None:
            raise UsageError(f"ref={ref!r} and centred=True exclude each other. Give one of them.")
        variance, label = float(clr(table)[:, response].var(ddof=1)), "centred"
    else:
        variances = variation(table)[response]
        if ref is None:
            variances[response] = np.inf
            reference = int(np.argmin(variances))
        else:
            reference = index_of(ref, table.parts)
        if reference == response:
            raise UsageError(f"Part {part!r} cannot be its own reference. Name another part.")
        variance, label = float(variances[reference]), table.parts[reference]
    return MultipleR2(1 - unexplained / variance, table.parts[response], label, unexplained, variance)
