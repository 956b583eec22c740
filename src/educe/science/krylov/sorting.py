"""Orders in which similar systems follow each other.

Source: Wang et al. (2024), arXiv:2401.09516. ``greedy`` goes from each system to the nearest one that is left, by the
sum of Frobenius distances between parameters, in O(N^2) distances. ``fft_pca`` first groups: central low frequencies of
the fields, seven principal components, half-cells visited along a reflected Gray code; then it is greedy inside each
group, which needs far fewer distances. Unlike the template published with the paper, whose walk skips cells and loses
systems, every system appears exactly once.

Sorting is a heuristic: for many parameters all systems are about equally far apart and the order does not matter, and
for indefinite systems it can hurt. Measure before relying on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import UsageError

__all__ = ["sort_systems"]

_METHODS = ("greedy", "fft_pca", "none")
_FREQUENCIES, _COMPONENTS = 12, 7


def sort_systems(params: Any, method: str = "greedy", *, start: int = 0) -> npt.NDArray[np.int64]:
    """Return an order in which neighbours have similar parameters.

    Parameters
    ----------
    params : array_like, or mapping of array_like
        (systems, ...) parameters; of several arrays the distances add up.
    method : str
        ``"greedy"``, ``"fft_pca"`` (parameters are square fields, (systems, side, side)) or ``"none"``.
    start : int
        System to start with; ``fft_pca`` starts in the first cell instead.

    Returns
    -------
    ndarray
        (systems,) a permutation. Undo it with ``numpy.argsort`` before data are saved, so that the order of solving
        does not leak into the data set.

    Raises
    ------
    UsageError
        The method is unknown, lengths differ, a parameter is not finite, or fields are not square.

    Examples
    --------
    >>> sort_systems([[0.0], [10.0], [1.0], [11.0]]).tolist()
    [0, 2, 1, 3]
    """
    if method not in _METHODS:
        raise UsageError(f"Sorting {method!r} is unknown. Use one of {', '.join(_METHODS)}.")
    fields = _read(params)
    count = len(fields[0])
    if not 0 <= start < count:
        raise UsageError(f"start={start} is no system of {count}. Give a number from 0.")
    if method == "none":
        return np.arange(count)
    flat = [field.reshape(count, -1) for field in fields]
    if method == "greedy":
        return np.array(_greedy(flat, list(range(count)), start), dtype=np.int64)
    order: list[int] = []
    for members in _groups(fields):
        first = members[0] if not order else min(members, key=lambda i: _distances(flat, [i], order[-1])[0])
        order += _greedy(flat, members, first)
    return np.array(order, dtype=np.int64)


def _read(params: Any) -> list[npt.NDArray[np.float64]]:
    fields = []
    for item in params.values() if isinstance(params, Mapping) else [params]:
        try:
            field = item.detach().cpu().numpy() if hasattr(item, "detach") else np.asarray(item)
        except ValueError:
            raise UsageError("Parameters have ragged shapes. Give one array, or a mapping of arrays.") from None
        if field.ndim < 1 or not np.issubdtype(field.dtype, np.number) or np.iscomplexobj(field):
            raise UsageError(f"Parameters of shape {field.shape} are no real numbers per system. Give (systems, ...).")
        fields.append(field.astype(np.float64))
    lengths = {len(field) for field in fields}
    if len(lengths) != 1 or lengths == {0}:
        raise UsageError(f"Parameters describe {sorted(lengths)} systems. Give the same number, at least one, in each.")
    if not all(np.isfinite(field).all() for field in fields):
        raise UsageError("A parameter is NaN or infinite. Drop that system.")
    return fields


def _distances(flat: list[npt.NDArray[np.float64]], members: Any, current: int) -> npt.NDArray[np.float64]:
    return np.asarray(sum(np.linalg.norm(field[members] - field[current], axis=1) for field in flat))


def _greedy(flat: list[npt.NDArray[np.float64]], members: list[int], start: int) -> list[int]:
    left = np.array([i for i in members if i != start], dtype=np.int64)
    order = [start]
    while len(left):
        nearest = int(np.argmin(_distances(flat, left, order[-1])))
        order.append(int(left[nearest]))
        left = np.delete(left, nearest)
    return order


def _groups(fields: list[npt.NDArray[np.float64]]) -> list[list[int]]:
    features = []
    for field in fields:
        if field.ndim != 3 or field.shape[1] != field.shape[2]:
            raise UsageError(f"Method 'fft_pca' takes square fields and got shape {field.shape}. Use 'greedy'.")
        side = field.shape[1]
        low = np.fft.fftshift(np.fft.fft2(field), axes=(1, 2))
        begin = max(0, side // 2 - _FREQUENCIES // 2)
        low = low[:, begin : begin + _FREQUENCIES, begin : begin + _FREQUENCIES].reshape(len(field), -1)
        features += [low.real, low.imag]
    table = np.concatenate(features, axis=1)
    table = table - table.mean(axis=0)
    left, values, _ = np.linalg.svd(table, full_matrices=False)
    scores = left[:, :_COMPONENTS] * values[:_COMPONENTS]
    lowest, highest = scores.min(axis=0), scores.max(axis=0)
    width = np.where(highest > lowest, highest - lowest, 1.0)
    upper = (scores - lowest) / width > 0.5
    groups: dict[int, list[int]] = {}
    for system, bits in enumerate(upper):
        # The rank of a Gray code word: each bit is the parity of all bits before it.
        rank = int("".join("1" if parity else "0" for parity in np.cumsum(bits) % 2), 2)
        groups.setdefault(rank, []).append(system)
    return [groups[rank] for rank in sorted(groups)]
