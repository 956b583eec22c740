"""Read covariates, treatment and outcome from arrays, tensors and frames, and refuse what no method here can use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import UsageError

__all__ = ["FEWEST_IN_ARM", "Floats", "Observations", "column", "matrix", "plain", "read_observations"]

Floats = npt.NDArray[np.float64]
# Below this an arm's outcome cannot be regressed on anything.
FEWEST_IN_ARM = 10


class Observations(NamedTuple):
    """Covariates (n, d), treatment (n,) and outcome (n,), all finite float64."""

    x: Floats
    t: Floats
    y: Floats


def plain(values: Any) -> Any:
    """Turn a tensor, with or without gradient, or a frame into something that NumPy reads without surprises."""
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def _numbers(values: Any, name: str) -> Floats:
    values = plain(values)
    if hasattr(values, "tocsr"):
        raise UsageError(f"{name} is a sparse matrix. Pass {name}.toarray() if it fits.")
    try:
        # A copy: frames hand out memory that cannot be written to, in an order of axes that changes the last digits.
        array = np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} holds something that is no number ({error}). Encode such columns first.") from None
    finite = np.isfinite(array)
    if not finite.all():
        where = np.argwhere(~finite)[0].tolist()
        raise UsageError(f"{name} contains NaN or infinity, first at {where}. Impute or drop such rows.")
    return array


def matrix(values: Any, name: str = "x", columns: int | None = None) -> Floats:
    """Read a (rows, columns) table of finite numbers; a single column may come flat."""
    array = _numbers(values, name)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or 0 in array.shape:
        raise UsageError(f"{name} has shape {array.shape}. Give (units, covariates), at least one of each.")
    if columns is not None and array.shape[1] != columns:
        raise UsageError(f"{name} has {array.shape[1]} columns, but the fit had {columns}. Pass the same covariates.")
    return array


def column(values: Any, rows: int, name: str) -> Floats:
    """Read one finite number per row; a single number stands for all rows."""
    array = _numbers(values, name)
    array = (
        np.full(rows, float(array))
        if array.ndim == 0
        else array[:, 0]
        if array.ndim == 2 == 1 + array.shape[-1]
        else array
    )
    if array.shape != (rows,):
        raise UsageError(f"{name} has shape {array.shape}, but there are {rows} units. Give one value for each.")
    return array


def read_observations(
    x: Any, t: Any, y: Any, treatment: str = "binary", outcome: str = "normal", columns: int | None = None
) -> Observations:
    """Read data for a fit: constant columns, a missing arm and treatments other than 0 and 1 are refused."""
    covariates = matrix(x, "x", columns)
    n = len(covariates)
    given, seen = column(t, n, "t"), column(y, n, "y")
    constant = np.flatnonzero(np.ptp(covariates, axis=0) == 0)
    if len(constant):
        raise UsageError(
            f"Column {constant[0]} of x is constant ({covariates[0, constant[0]]:g}), so it adjusts for nothing. "
            "Leave it out."
        )
    if treatment == "binary":
        check_arms(given)
    elif np.ptp(given) == 0:
        raise UsageError(f"t is {given[0]:g} for all units, so nothing is compared. Give units of several treatments.")
    if np.ptp(seen) == 0:
        raise UsageError(f"y is {seen[0]:g} for all units, so there is no effect to find. Check the outcome column.")
    if outcome == "bernoulli" and not np.isin(seen, (0, 1)).all():
        raise UsageError(f"y holds {seen[~np.isin(seen, (0, 1))][0]:g}, but outcome='bernoulli' takes 0 and 1 only.")
    return Observations(covariates, given, seen)


def check_arms(t: Floats) -> None:
    """Refuse treatments other than 0 and 1, and arms with too few units."""
    other = t[~np.isin(t, (0, 1))]
    if len(other):
        raise UsageError(f"t holds {other[0]:g}, but a binary treatment is 0 or 1. Recode it, or compare two arms.")
    for arm in (0, 1):
        count = int((t == arm).sum())
        if count < FEWEST_IN_ARM:
            raise UsageError(
                f"Arm t={arm} has {count} units, and without both arms nothing is compared. "
                f"Give at least {FEWEST_IN_ARM} units in each."
            )
