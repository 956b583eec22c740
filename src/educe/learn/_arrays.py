"""Brings a user's table and labels into NumPy, and refuses at the border what no method here can use.

Takes NumPy arrays, nested lists, torch tensors and pandas tables alike (recognised by what they can do, nothing is
imported). It does not impute, scale or encode.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from educe.core import UsageError

__all__ = ["Floats", "check_columns_vary", "classes_and_codes", "column_names", "matrix", "signs", "targets"]

Floats = npt.NDArray[np.float64]


def _plain(values: Any) -> Any:
    """Turn a torch tensor or a pandas table into something that NumPy reads without surprises."""
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def column_names(table: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns, None where it has none or not all of them are text.

    Parameters
    ----------
    table : object
        Anything; only objects with ``columns`` have names.
    """
    names = getattr(table, "columns", None)
    if names is None or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def matrix(table: Any, name: str = "X", *, rows: int = 1, columns: int = 1) -> Floats:
    """Read a table of finite numbers.

    Parameters
    ----------
    table : array_like, tensor or data frame
        Rows are samples.
    name : str
        What messages call it.
    rows, columns : int
        The fewest of each that make sense.

    Returns
    -------
    ndarray
        (rows, columns) float64; the caller's own memory where that was float64 already, so never written to.

    Raises
    ------
    UsageError
        It is sparse, complex, not numeric, not a table, too small, or holds NaN or infinity.
    """
    if hasattr(table, "tocsr"):
        raise UsageError(f"{name} is a sparse matrix, which is not supported here. Pass {name}.toarray() if it fits.")
    values = np.asarray(_plain(table))
    if np.iscomplexobj(values):
        raise UsageError(
            f"Complex data not supported: {name} holds {values.dtype}. Pass real and imaginary parts apart."
        )
    try:
        values = values.astype(np.float64, copy=False)
    except TypeError as error:
        # scikit-learn's battery expects the words of NumPy, and the type, for what is no number at all.
        raise TypeError(f"{name}: {error}") from None
    except ValueError as error:
        raise UsageError(f"{name} holds something that is no number ({error}). Encode such columns first.") from None
    if values.ndim != 2:
        shape = "a single number" if values.ndim == 0 else f"of shape {values.shape}"
        raise UsageError(f"{name} is {shape}, not a table. Reshape your data to (samples, features).")
    if values.shape[1] < columns:
        raise UsageError(
            f"Found array with {values.shape[1]} feature(s) (shape={values.shape}) while a minimum of {columns} "
            f"is required. Give {name} more columns."
        )
    if values.shape[0] < rows:
        raise UsageError(
            f"{name} has {values.shape[0]} sample(s) (shape={values.shape}) while a minimum of {rows} is required. "
            "Give more rows."
        )
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise UsageError(
            f"{name} contains NaN or infinity, first in row {row}, column {column}. Impute or drop such rows."
        )
    return cast(Floats, values)


def check_columns_vary(table: Floats, name: str = "X") -> None:
    """Refuse constant columns.

    Parameters
    ----------
    table : ndarray
        (rows, columns).
    name : str
        What the message calls it.

    Raises
    ------
    UsageError
        A column holds one value only; the message says which.
    """
    constant = np.flatnonzero(np.ptp(table, axis=0) == 0)
    if len(constant):
        raise UsageError(
            f"Column {constant[0]} of {name} is constant ({table[0, constant[0]]:g}), so it says nothing about the "
            "label. Leave it out; there is no bias term here."
        )


def _column(labels: Any, rows: int, name: str) -> npt.NDArray[Any]:
    if labels is None:
        raise UsageError(f"This method requires {name} to be passed, but the target {name} is None. Pass the labels.")
    values = np.asarray(_plain(labels))
    if values.ndim == 2 and values.shape[1] == 1:
        category = getattr(sys.modules.get("sklearn.exceptions"), "DataConversionWarning", UserWarning)
        warnings.warn(f"A column-vector {name} was passed when a 1d array was expected.", category, stacklevel=4)
        values = values[:, 0]
    if values.ndim != 1:
        raise UsageError(f"{name} has shape {values.shape}, not one value per row. Pass a 1d array.")
    if len(values) != rows:
        raise UsageError(f"{name} has {len(values)} values but X has {rows} rows. Pass one label per row.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UsageError(f"Input {name} contains NaN or infinity. Drop the rows without a label.")
    return values


def targets(labels: Any, rows: int, name: str = "y") -> Floats:
    """Read one finite number per row.

    Parameters
    ----------
    labels : array_like
        The targets.
    rows : int
        How many there must be.
    name : str
        What messages call them.

    Raises
    ------
    UsageError
        The number of values is wrong, or they are not finite numbers.
    """
    values = _column(labels, rows, name)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is not numeric ({error}). Pass numbers.") from None


def classes_and_codes(labels: Any, rows: int, name: str = "y") -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Read labels of any number of classes.

    Parameters
    ----------
    labels : array_like
        One value per row, of any type that sorts.
    rows : int
        How many labels there must be.
    name : str
        What messages call them.

    Returns
    -------
    classes : ndarray
        The distinct values, sorted.
    codes : ndarray
        (rows,) index of each label.

    Raises
    ------
    UsageError
        The number of labels is wrong or they are measurements.
    """
    values = _column(labels, rows, name)
    _refuse_fractions(values, name)
    classes, codes = np.unique(values, return_inverse=True)
    return classes, codes


def _refuse_fractions(values: npt.NDArray[Any], name: str) -> None:
    if values.dtype.kind == "f" and (fractions := values[np.mod(values, 1) != 0]).size:
        raise UsageError(f"Unknown label type: {name} holds fractions such as {fractions[0]:g}. Pass classes.")


def signs(labels: Any, rows: int, name: str = "y") -> tuple[Floats, npt.NDArray[Any]]:
    """Read labels of two classes as -1 and +1.

    Parameters
    ----------
    labels : array_like
        Two distinct values, of any type that sorts.
    rows : int
        How many labels there must be.
    name : str
        What messages call them.

    Returns
    -------
    signs : ndarray
        (rows,) float64 of -1 (the smaller class) and +1.
    classes : ndarray
        (2,) the two values.

    Raises
    ------
    UsageError
        There are not exactly two classes, or the labels are measurements.
    """
    values = _column(labels, rows, name)
    _refuse_fractions(values, name)
    if values.dtype.kind in "iuf" and len(values):
        # Two comparisons instead of a sort, in the case that nearly all callers are in.
        classes = np.unique([values.min(), values.max()]).astype(values.dtype)
        codes = values == classes[-1]
        if len(classes) == 2 and bool((codes | (values == classes[0])).all()):
            return np.where(codes, 1.0, -1.0), classes
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) == 1:
        raise UsageError(f"{name} holds one class only ({classes[0]!r}). Pass samples of two classes.")
    if len(classes) > 2:
        raise UsageError(
            f"Only binary classification is supported. The type of the target is multiclass: {len(classes)} classes. "
            "Learn one class against the rest."
        )
    return np.where(codes == 1, 1.0, -1.0), classes
