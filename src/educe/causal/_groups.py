"""Read groups of exchangeable samples from arrays and tables, and refuse what cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import UsageError, nearest

__all__ = ["FEWEST_ENVIRONMENTS", "Groups", "read_groups"]

FEWEST_ENVIRONMENTS = 10


class Groups(NamedTuple):
    """The two samples of every environment that are compared: arrays of shape (environments, variables)."""

    first: npt.NDArray[Any]
    second: npt.NDArray[Any]
    names: tuple[str, ...]
    unused: int

    def sample(self, which: int, *names: str) -> npt.NDArray[Any]:
        """Columns of the first (1) or second (2) sample: (environments, variables)."""
        chosen = self.first if which == 1 else self.second
        return chosen[:, [self.names.index(name) for name in names]]

    def take(self, index: npt.NDArray[np.int64]) -> Groups:
        """The same variables on other environments."""
        return Groups(self.first[index], self.second[index], self.names, self.unused)


def read_groups(
    data: Any, names: Sequence[str] | None = None, group: str | None = None, samples: tuple[int, int] = (0, 1)
) -> Groups:
    """Read (environments, n, variables) arrays, lists of (n, variables) arrays, or long tables with a group column."""
    if len(samples) != 2 or samples[0] == samples[1] or min(samples) < 0:
        raise UsageError(f"samples={samples} are no two samples of a group. Give for instance (0, 1).")
    if isinstance(data, Groups):
        return data
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        data = data.detach().cpu().numpy()
    if (hasattr(data, "columns") and hasattr(data, "iloc")) or isinstance(data, Mapping):
        parts, labels, found = _from_table(data, group)
        names = found if names is None else names
    elif group is not None:
        raise UsageError(f"group={group!r} names a column, but the data are an array. Give a table, or leave it out.")
    else:
        if isinstance(data, np.ndarray) and data.ndim != 3:
            raise UsageError(
                f"The data have shape {data.shape}. Give (environments, samples, variables), "
                "or a table with a group column."
            )
        parts = [np.asarray(part) for part in data]
        labels = list(range(len(parts)))
    if any(part.ndim != 2 for part in parts) or len({part.shape[1] for part in parts}) > 1:
        raise UsageError("The groups differ in their variables. Give each as (samples, variables) with equal columns.")
    if len(parts) < FEWEST_ENVIRONMENTS:
        raise UsageError(
            f"The data have {len(parts)} environment{'s' if len(parts) != 1 else ''}. Environments are the units of "
            f"these tests: give at least {FEWEST_ENVIRONMENTS}, better hundreds."
        )
    need = max(samples) + 1
    for label, part in zip(labels, parts, strict=True):
        if len(part) < need:
            raise UsageError(
                f"Group {label!r} has {len(part)} sample{'s' if len(part) != 1 else ''}, but two are compared in each. "
                "Leave this group out; from single samples nothing is identified."
            )
    names = tuple(f"X{i}" for i in range(parts[0].shape[1])) if names is None else tuple(names)
    first = np.stack([part[samples[0]] for part in parts])
    second = np.stack([part[samples[1]] for part in parts])
    _check(first, second, names)
    return Groups(first, second, names, sum(len(part) - 2 for part in parts))


def _from_table(data: Any, group: str | None) -> tuple[list[npt.NDArray[Any]], list[Any], tuple[str, ...]]:
    columns = [str(name) for name in (data if isinstance(data, Mapping) else data.columns)]
    if group is None:
        raise UsageError(f"The table has no group column named (columns {columns}). Name it with group=....")
    if group not in columns:
        raise UsageError(f"The table has no column {group!r}; {nearest(str(group), columns)}")
    rest = tuple(name for name in columns if name != group)
    arrays = {name: np.asarray(data[name]) for name in columns}
    if len({len(array) for array in arrays.values()}) != 1:
        raise UsageError("The columns differ in length. Give one value of each per row.")
    keys, inverse = np.unique(arrays[group], return_inverse=True)
    values = np.stack([arrays[name] for name in rest], axis=1) if rest else np.zeros((len(inverse), 0))
    # A stable sort keeps the order of samples within a group.
    order = np.argsort(inverse, kind="stable")
    cuts = np.cumsum(np.bincount(inverse))[:-1]
    return np.split(values[order], cuts), keys.tolist(), rest


def _check(first: npt.NDArray[Any], second: npt.NDArray[Any], names: tuple[str, ...]) -> None:
    if len(names) != first.shape[1] or len(set(names)) != len(names):
        raise UsageError(f"Names {list(names)} do not fit {first.shape[1]} variables. Give each one name of its own.")
    if len(names) < 2:
        raise UsageError(f"Variables {list(names)} leave nothing to relate. Give at least two.")
    for i, name in enumerate(names):
        for part in (first[:, i], second[:, i]):
            if part.dtype.kind == "f" and not np.isfinite(part).all():
                raise UsageError(f"Variable {name!r} has values that are missing or not finite. Drop these groups.")
            if part.dtype.kind == "O" and any(value is None or value != value for value in part):  # noqa: PLR0124
                raise UsageError(f"Variable {name!r} has missing values. Drop these groups.")
            if (part == part[0]).all():
                raise UsageError(f"Variable {name!r} is constant, so nothing depends on it. Leave it out.")
