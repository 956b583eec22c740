"""Tables of probabilities or counts whose axes have names.

A `Table` is a factor: a joint law, a conditional law, or counts. Products align axes by name, so that the formulas of
causal inference are written as they are read: ``table.condition("T", "S") * table.marginal("S")``. Extra leading axes
of the tensor are a batch (draws from a posterior), and every operation acts on all of them at once.

Finite discrete variables only; continuous columns must be binned first.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from educe.core import UsageError, nearest

__all__ = ["Table", "as_table", "float64"]

MOST_LEVELS = 1000
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, init=False)
class Table:
    """A tensor with named axes.

    Parameters
    ----------
    names : tuple of str
        Variables, one per trailing axis of the tensor.
    tensor : Tensor or array
        (..., levels of the first variable, ..., levels of the last) non-negative numbers; kept as float64.
    given : tuple of str
        The variables on which this law is conditioned; empty for a joint law.
    levels : mapping of str to tuple
        Labels of the values; whole numbers from 0 where left out.

    Raises
    ------
    UsageError
        Axes and names do not fit, or an entry is negative or not finite.

    Examples
    --------
    >>> joint = Table(("S", "T"), [[0.5, 0.1], [0.1, 0.3]])
    >>> round(float(joint.condition("T", "S").at(S=1).tensor[1]), 3)
    0.75
    """

    names: tuple[str, ...]
    tensor: torch.Tensor
    given: tuple[str, ...]
    levels: Mapping[str, tuple[Any, ...]]

    def __init__(
        self,
        names: Iterable[str],
        tensor: Any,
        given: Iterable[str] = (),
        levels: Mapping[str, Iterable[Any]] | None = None,
    ) -> None:
        names = tuple(names)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "given", tuple(given))
        if len(set(names)) != len(names):
            raise UsageError(f"A variable is named twice in {list(names)}. Name each axis once.")
        tensor = float64(tensor)
        object.__setattr__(self, "tensor", tensor)
        if tensor.ndim < len(names):
            raise UsageError(f"{len(names)} names {list(names)} do not fit {tensor.ndim} axes. Give one name per axis.")
        bad = ~torch.isfinite(tensor.detach()) | (tensor.detach() < 0)
        if bool(bad.any()):
            value = tensor.detach()[bad][0].item()
            raise UsageError(f"Entry {value} of the table over {list(names)} is no probability. Give numbers >= 0.")
        labelled = {name: tuple((levels or {}).get(name, range(self.size(name)))) for name in names}
        for name, labels in labelled.items():
            if len(labels) != self.size(name) or len(set(labels)) != len(labels):
                raise UsageError(
                    f"Variable {name!r} has {self.size(name)} values, not the labels {list(labels)}. "
                    "Give each value one label of its own."
                )
        object.__setattr__(self, "levels", labelled)
        for name in self.given:
            self._axis(name)

    def __repr__(self) -> str:
        bar = f" | {', '.join(self.given)}" if self.given else ""
        free = ", ".join(name for name in self.names if name not in self.given)
        batch = f", batch={tuple(self.tensor.shape[: self.tensor.ndim - len(self.names)])}" if self.batched else ""
        return f"Table({free}{bar}{batch})"

    @property
    def batched(self) -> bool:
        """Whether the tensor has leading axes beyond those of the variables."""
        return self.tensor.ndim > len(self.names)

    @property
    def total(self) -> torch.Tensor:
        """Sum of all entries, one per element of the batch."""
        return self._sum(self.names)

    def size(self, name: str) -> int:
        """Return how many values a variable has.

        Parameters
        ----------
        name : str
            The variable.
        """
        return self.tensor.shape[self._axis(name)]

    def _axis(self, name: str) -> int:
        if name not in self.names:
            raise UsageError(f"The table has no variable {name!r}; {nearest(str(name), self.names)}")
        return self.names.index(name) - len(self.names)

    def _sum(self, names: Iterable[str]) -> torch.Tensor:
        axes = [self._axis(name) for name in names]
        return self.tensor.sum(dim=axes) if axes else self.tensor

    def marginal(self, *names: str) -> Table:
        """Sum out all other variables.

        Parameters
        ----------
        *names : str
            Those to keep, in the order wanted. What is conditioned on must be kept.

        Returns
        -------
        Table
        """
        lost = [name for name in self.given if name not in names]
        if lost:
            raise UsageError(
                f"{lost} are conditioned on and have no law to sum over. Keep them, or fix them with at()."
            )
        summed = self._sum(name for name in self.names if name not in names)
        kept = tuple(name for name in self.names if name in names)
        for name in names:
            self._axis(name)
        batch = summed.ndim - len(kept)
        order = [*range(batch), *(batch + kept.index(name) for name in names)]
        return Table(tuple(names), summed.permute(order), self.given, {name: self.levels[name] for name in names})

    def condition(self, names: str | Iterable[str], given: str | Iterable[str] = ()) -> Table:
        """Return the conditional law of some variables given others.

        Parameters
        ----------
        names, given : str or iterable of str
            The variables, and what they are conditioned on.

        Returns
        -------
        Table
            Axes: `given`, then `names`.

        Raises
        ------
        UsageError
            Some values of `given` have probability zero, where the conditional is not defined.
        """
        free, fixed = _tuple(names), _tuple(given)
        joint = self.marginal(*fixed, *free)
        mass = joint._sum(free)
        empty = (mass.detach() <= 0).nonzero()
        if len(empty):
            cell = ", ".join(
                f"{name}={self.levels[name][int(i)]}"
                for name, i in zip(fixed, empty[0][mass.ndim - len(fixed) :], strict=True)
            )
            raise UsageError(
                f"P({cell or 'anything'}) is zero, so the law of {', '.join(free)} is not defined there. "
                "Give a table of full support, or counts with a prior (alpha)."
            )
        tensor = joint.tensor / mass.reshape(*mass.shape, *[1] * len(free))
        return Table(joint.names, tensor, fixed, joint.levels)

    def at(self, **values: Any) -> Table:
        """Fix variables at values and drop their axes.

        Parameters
        ----------
        **values : object
            Labels, by variable.

        Returns
        -------
        Table
            A slice, not normalised again.
        """
        return self.fixed(values)

    def fixed(self, values: Mapping[str, Any]) -> Table:
        """Fix variables at values and drop their axes; `at` for names that are no Python words.

        Parameters
        ----------
        values : mapping of str to object
            Labels, by variable.

        Returns
        -------
        Table
            A slice, not normalised again.
        """
        tensor = self.tensor
        for name in sorted(values, key=self._axis, reverse=True):
            tensor = tensor.select(self._axis(name) + self.tensor.ndim, self.index(name, values[name]))
        names = tuple(name for name in self.names if name not in values)
        given = tuple(name for name in self.given if name not in values)
        return Table(names, tensor, given, {name: self.levels[name] for name in names})

    def index(self, name: str, value: Any) -> int:
        """Return the position of a label on its axis.

        Parameters
        ----------
        name : str
            The variable.
        value : object
            One of its labels.
        """
        self._axis(name)
        if value not in self.levels[name]:
            raise UsageError(f"{name}={value!r} is not among the values {list(self.levels[name])}. Give one of them.")
        return self.levels[name].index(value)

    def __mul__(self, other: Table) -> Table:
        names = tuple(dict.fromkeys(self.names + other.names))
        levels = {**other.levels, **self.levels}
        for name in set(self.names) & set(other.names):
            if self.levels[name] != other.levels[name]:
                raise UsageError(f"Variable {name!r} has other values in the two tables. Use one list of values.")
        free = {n for table in (self, other) for n in table.names if n not in table.given}
        given = tuple(n for n in names if n not in free)
        return Table(names, self._spread(names) * other._spread(names), given, levels)

    def _spread(self, names: tuple[str, ...]) -> torch.Tensor:
        """Lay the axes out in the order of `names`, with length one where this table has none."""
        batch = self.tensor.ndim - len(self.names)
        own = [name for name in names if name in self.names]
        tensor = self.tensor.permute([*range(batch), *(batch + self.names.index(name) for name in own)])
        shape = [self.size(name) if name in self.names else 1 for name in names]
        return tensor.reshape(*tensor.shape[:batch], *shape)

    def normalised(self) -> Table:
        """Divide by the sum of all entries.

        Returns
        -------
        Table

        Raises
        ------
        UsageError
            The sum is zero.
        """
        total = self.total
        if bool((total.detach() <= 0).any()):
            raise UsageError(f"The table over {list(self.names)} is empty. Give at least one positive entry.")
        shape = (*total.shape, *[1] * len(self.names))
        return Table(self.names, self.tensor / total.reshape(shape), self.given, self.levels)

    @property
    def is_law(self) -> bool:
        """Whether the entries sum to one, as probabilities do and counts do not."""
        return bool(((self.total.detach() - 1).abs() < TOLERANCE).all())


def as_table(data: Any) -> Table:
    """Read a table, or count observations.

    Parameters
    ----------
    data : Table, xarray.DataArray, pandas.DataFrame or mapping of str to sequence
        A table as it is (a `DataArray` brings its dimension names and coordinates); or one row per observation, whose
        values are counted.

    Returns
    -------
    Table
        Probabilities as given, or counts.

    Raises
    ------
    UsageError
        Columns differ in length, hold missing values, or have more than 1000 different values.

    Examples
    --------
    >>> as_table({"S": ["no", "yes", "yes"], "C": [0, 1, 1]}).tensor.tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    if isinstance(data, Table):
        return data
    if hasattr(data, "dims") and hasattr(data, "coords"):
        names = tuple(str(name) for name in data.dims)
        levels = {str(name): tuple(np.asarray(data.coords[name]).tolist()) for name in data.dims if name in data.coords}
        return Table(names, torch.as_tensor(np.array(data.values, dtype=np.float64)), (), levels)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _counted({str(name): data[name].to_numpy() for name in data.columns})
    if isinstance(data, Mapping):
        return _counted({str(name): column for name, column in data.items()})
    raise UsageError(
        f"A {type(data).__name__} is no table. Give a Table(names, array), a DataFrame or a mapping of columns."
    )


def float64(entries: Any) -> torch.Tensor:
    """Return numbers as a float64 tensor, with gradients where they have any.

    Parameters
    ----------
    entries : Tensor, array or nested lists
        The numbers.

    Raises
    ------
    UsageError
        They are ragged or no numbers.
    """
    if isinstance(entries, torch.Tensor):
        return entries.to(torch.float64)
    try:
        # By way of NumPy: torch reads lists as float32, which already breaks the seventh digit.
        return torch.as_tensor(np.array(entries, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise UsageError(f"The entries are no table of numbers ({error}). Give a full array.") from None


def _counted(columns: Mapping[str, Any]) -> Table:
    if not columns:
        raise UsageError("The data have no columns. Give one per variable.")
    codes: list[np.ndarray[Any, Any]] = []
    levels: dict[str, tuple[Any, ...]] = {}
    for name, column in columns.items():
        values = cast(Sequence[Any], column.tolist() if hasattr(column, "tolist") else list(column))
        if any(map(_is_missing, values)):
            raise UsageError(f"Column {name!r} has missing values. Drop these rows or code them as a value.")
        if not all(isinstance(value, Hashable) for value in values):
            raise UsageError(f"Column {name!r} holds lists. Give one value per observation.")
        labels = _ordered(set(values))
        if len(labels) > MOST_LEVELS:
            raise UsageError(f"Column {name!r} has {len(labels)} different values. Bin continuous columns first.")
        place = {label: i for i, label in enumerate(labels)}
        codes.append(np.array([place[value] for value in values], dtype=np.int64))
        levels[name] = labels
    lengths = {name: len(code) for name, code in zip(columns, codes, strict=True)}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise UsageError(f"Columns have lengths {lengths}. Give one value of each per observation, and at least one.")
    shape = tuple(len(labels) for labels in levels.values())
    if float(np.prod([float(n) for n in shape])) > 2**26:
        raise UsageError(f"A table of shape {shape} does not fit. Leave out or bin some columns.")
    counts = np.bincount(np.ravel_multi_index(codes, shape), minlength=int(np.prod(shape))).reshape(shape)
    return Table(tuple(columns), torch.as_tensor(counts), (), levels)


def _is_missing(value: Any) -> bool:
    # pandas' own marks for missing values answer neither True nor False to comparisons, so their names decide.
    named = type(value).__name__ in ("NAType", "NaTType")
    return value is None or named or (isinstance(value, float) and math.isnan(value))


def _ordered(labels: set[Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(labels))
    except TypeError:
        return tuple(sorted(labels, key=lambda label: (type(label).__name__, str(label))))


def _tuple(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
