"""Proportionality of pairs of parts: the pairwise measures to which partial correlation is compared.

Sources: Lovell et al. (2015), PLOS Computational Biology 11 (phi); Erb and Notredame (2016), Theory in Biosciences 135
(rho_p). Both ask whether two parts keep a constant ratio; neither controls for the other parts, and both depend on
which parts are in the table through the centred log-ratio.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from educe.core import UsageError
from educe.science._tables import Matrix, read_parts
from educe.science.coda.logratio import clr, variation

__all__ = ["Proportionality", "proportionality"]


class Proportionality(NamedTuple):
    """Two measures of proportionality.

    Parameters
    ----------
    rho_p : ndarray
        (parts, parts) in [-1, 1], symmetric, 1 for parts in constant ratio.
    phi : ndarray
        (parts, parts) >= 0, 0 for parts in constant ratio; row i is scaled by the variance of part i, so it is not
        symmetric.
    """

    rho_p: Matrix
    phi: Matrix


def proportionality(x: Any) -> Proportionality:
    """Proportionality of every pair of parts.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts, at least two rows.

    Returns
    -------
    Proportionality

    Raises
    ------
    UsageError
        An amount is not positive and finite, or a centred log-ratio is constant.

    Examples
    --------
    >>> proportionality([[1.0, 2.0, 1.0], [3.0, 6.0, 1.0], [2.0, 4.0, 5.0]]).rho_p.round(2)[0].tolist()
    [1.0, 1.0, -0.8]
    """
    table = read_parts(x)
    tau = variation(table)
    variances = clr(table).var(axis=0, ddof=1)
    if (variances <= 1e-24).any():
        part = table.parts[int(np.argmin(variances))]
        raise UsageError(f"The centred log-ratio of part {part!r} is constant. Drop it or give samples that vary.")
    return Proportionality(1 - tau / (variances[:, None] + variances[None, :]), tau / variances[:, None])
