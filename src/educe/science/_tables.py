"""The border where a user's table becomes a float64 matrix with named columns; bad cells are refused here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import UsageError, nearest

__all__ = ["Matrix", "PartTable", "index_of", "read_parts", "read_table"]

Matrix = npt.NDArray[np.float64]


class _NotNumbersError(UsageError, TypeError):
    """A table that holds something else than numbers; a TypeError too, as scikit-learn's conventions ask."""


class PartTable(NamedTuple):
    """Amounts of parts, one row a sample.

    Parameters
    ----------
    amounts : ndarray
        (samples, parts) float64.
    parts : tuple of str
        One name per column.
    """

    amounts: Matrix
    parts: tuple[str, ...]


def read_table(x: Any, names: Sequence[str] | None = None) -> PartTable:
    """Read a table of finite numbers: an array, a tensor, a data frame, a `PartTable`, nested lists.

    Parameters
    ----------
    x : array_like
        (samples, parts).
    names : sequence of str, optional
        Column names; those of the data frame, else ``"0", "1", ...``, when left out.

    Returns
    -------
    PartTable

    Raises
    ------
    UsageError
        Not a finite real matrix, or the names do not fit.
    """
    if isinstance(x, PartTable):
        names = x.parts if names is None else names
        x = x.amounts
    if hasattr(x, "detach"):  # a torch tensor, perhaps with gradients or on another device
        x = x.detach().cpu().numpy()
    if hasattr(x, "tocsr"):
        raise UsageError(
            f"The table is a sparse {type(x).__name__}, and its missing entries are zeros, which have no logarithm. "
            "Pass a dense array: replace_zeros(x.toarray(), detection_limit)."
        )
    if names is None and hasattr(x, "columns"):
        names = [str(column) for column in x.columns]
    if hasattr(x, "to_numpy"):
        x = x.to_numpy()
    array = np.asarray(x)
    if np.iscomplexobj(array):
        raise UsageError("Complex data not supported: the table holds complex numbers. Pass real amounts.")
    try:
        # A copy, so that nothing here writes into the user's data, of one layout, so that all containers sum alike.
        table = np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise _NotNumbersError(
            f"The table does not convert to numbers ({error}). Drop its text columns and pass amounts only."
        ) from None
    if table.ndim != 2:
        raise UsageError(
            f"Expected 2D array, got {table.ndim}D array with shape {table.shape}. "
            "Reshape your data into one row a sample and one column a part."
        )
    if table.shape[0] == 0 or table.shape[1] == 0:
        raise UsageError(
            f"Found array with {table.shape[0]} sample(s) and {table.shape[1]} feature(s) (shape={table.shape}) while "
            "a minimum of 1 is required. Pass at least one row and one column."
        )
    labels = tuple(str(name) for name in names) if names is not None else tuple(map(str, range(table.shape[1])))
    if len(labels) != table.shape[1] or len(set(labels)) != len(labels):
        raise UsageError(
            f"{len(labels)} names ({len(set(labels))} distinct) do not fit {table.shape[1]} columns. "
            "Give one distinct name a column."
        )
    _refuse(table, ~np.isfinite(table), labels, "which is no finite number (NaN or infinity)", "Drop or impute it.")
    return PartTable(table, labels)


def _refuse(table: Matrix, bad: npt.NDArray[np.bool_], parts: Sequence[str], what: str, remedy: str) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise UsageError(
            f"Row {row}, part {parts[column]!r} is {table[row, column]:g}, {what} ({bad.sum()} such cells). {remedy}"
        )


def read_parts(x: Any, names: Sequence[str] | None = None, *, least: int = 2) -> PartTable:
    """Read a table of positive amounts.

    Parameters
    ----------
    x : array_like
        (samples, parts), all > 0.
    names : sequence of str, optional
        Column names.
    least : int
        Fewest parts that make sense for the caller.

    Returns
    -------
    PartTable

    Raises
    ------
    UsageError
        An amount is missing, zero or negative, or there are too few parts.
    """
    table = read_table(x, names)
    amounts, parts = table
    _refuse(amounts, amounts < 0, parts, "which is no amount", "Negative values in data cannot be parts of a whole.")
    remedy = "Replace zeros first: replace_zeros(x, detection_limit)."
    _refuse(amounts, amounts == 0, parts, "which has no logarithm", remedy)
    if len(parts) < least:
        raise UsageError(f"{len(parts)} feature(s), that is parts, are too few here. Give at least {least} parts.")
    return table


def index_of(part: int | str, parts: Sequence[str]) -> int:
    """Find a part by name or by column number (negative ones count from the end).

    Parameters
    ----------
    part : int or str
        What to find.
    parts : sequence of str
        All names.

    Returns
    -------
    int
        Between 0 and ``len(parts) - 1``.

    Raises
    ------
    UsageError
        There is no such part.
    """
    if isinstance(part, str):
        if part not in parts:
            raise UsageError(f"Part {part!r} is unknown; {nearest(part, parts)}")
        return list(parts).index(part)
    if isinstance(part, bool) or not isinstance(part, (int, np.integer)) or not -len(parts) <= part < len(parts):
        raise UsageError(f"Part {part!r} is no column of {len(parts)}. Give a name or a number from 0.")
    return int(part) % len(parts)
