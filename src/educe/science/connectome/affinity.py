"""How strongly each pair of neurons rises together, at each moment and in each animal.

Source: Dyballa et al. (2024), arXiv:2402.14102, stage 1: a differential, instantaneous, non-linear affinity. The
formula is ours, because theirs was not available to us: with u the positive part of a trace's smoothed derivative in
units of its standard deviation, ``a_ij = min(u_i, u_j)^2 / max(u_i, u_j)``. It is an AND of degree one in amplitude
which falls with mismatch. Only rises count: what inhibition does is not seen, and nothing here is causal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from educe.core import UsageError

__all__ = ["AffinityTensor", "affinity"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class AffinityTensor:
    """Affinities by time, animal and pair.

    Parameters
    ----------
    values : ndarray
        (time, animals, pairs) float64, >= 0; zero where `mask` is False.
    mask : ndarray
        (animals, pairs) bool: whether both neurons of the pair were seen in the animal.
    neurons : tuple of str
        Names.
    frames : ndarray
        (time,) int, the frames of the recording that the entries along time belong to.
    """

    values: Array
    mask: npt.NDArray[np.bool_]
    neurons: tuple[str, ...]
    frames: npt.NDArray[np.int64]

    def __repr__(self) -> str:
        steps, animals, pairs = self.values.shape
        return f"AffinityTensor({steps} times, {animals} animals, {pairs} pairs, {self.mask.mean():.0%} seen)"

    def matrix(self, pair_weights: Any) -> Array:
        """Arrange weights of pairs as a symmetric matrix.

        Parameters
        ----------
        pair_weights : array_like
            (pairs,) in the tensor's order.

        Returns
        -------
        ndarray
            (neurons, neurons) with zeros on the diagonal.

        Raises
        ------
        UsageError
            The length does not fit.
        """
        weights = np.asarray(pair_weights, dtype=np.float64)
        count = len(self.neurons)
        if weights.shape != (count * (count - 1) // 2,):
            raise UsageError(f"Weights of shape {weights.shape} do not fit {count} neurons. Give one number a pair.")
        matrix = np.zeros((count, count))
        matrix[np.triu_indices(count, 1)] = weights
        return matrix + matrix.T


def affinity(
    traces: Any,
    kind: str = "minmax",
    *,
    sigma: float = 1.5,
    smooth: float = 4.0,
    step: int = 2,
    neurons: Sequence[str] | None = None,
) -> AffinityTensor:
    """Compute the affinity of every pair of neurons over time.

    Parameters
    ----------
    traces : array_like
        (animals, neurons, frames) activity; a neuron that was not seen in an animal is NaN over all frames.
    kind : str
        ``"minmax"`` as above, or ``"product"``: u_i u_j.
    sigma : float
        Width in frames of the Gaussian whose derivative differentiates, > 0.
    smooth : float
        Width in frames of the Gaussian that smooths affinities over time; 0 for none.
    step : int
        Keep every so many frames.
    neurons : sequence of str, optional
        Names; ``"0", "1", ...`` when left out.

    Returns
    -------
    AffinityTensor

    Raises
    ------
    UsageError
        The traces are no such array, a trace is finite in part, or a parameter is out of range.

    Examples
    --------
    >>> rise = np.repeat([0.0, 1.0], 20)
    >>> tensor = affinity([[rise, 3 * rise, 0 * rise]], step=1)
    >>> [round(float(value), 2) for value in tensor.values.max((0, 1))]
    [1.44, 0.0, 0.0]
    """
    if kind not in ("minmax", "product"):
        raise UsageError(f"kind={kind!r} is unknown. Use 'minmax' or 'product'.")
    if not (sigma > 0 and smooth >= 0) or isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise UsageError(
            f"sigma={sigma}, smooth={smooth}, step={step!r} are out of range. "
            "Give sigma > 0, smooth >= 0 and a whole step >= 1."
        )
    data, seen = _read(traces)
    names = tuple(str(number) for number in range(data.shape[1])) if neurons is None else tuple(map(str, neurons))
    if len(names) != data.shape[1]:
        raise UsageError(f"{len(names)} names do not fit {data.shape[1]} neurons. Give one name a neuron.")
    # A flat trace rises by rounding errors only; where() keeps them from being blown up to one standard deviation.
    slope = ndimage.gaussian_filter1d(np.where(seen[..., None], data, 0.0), sigma, axis=-1, order=1)
    spread = slope.std(-1, keepdims=True)
    size = np.abs(np.where(seen[..., None], data, 0.0)).max(-1, keepdims=True)
    moving = spread > 1e-12 * size
    rise = np.maximum(np.where(moving, slope, 0.0) / np.where(moving, spread, 1.0), 0.0)
    first, second = np.triu_indices(len(names), 1)
    pairs = []
    for animal in rise:  # one animal at a time: the full array over all frames may be large
        u, v = animal[first], animal[second]
        if kind == "product":
            values = u * v
        else:
            larger = np.maximum(u, v)
            values = np.minimum(u, v) ** 2 / np.where(larger > 0, larger, 1.0)
        if smooth:
            values = ndimage.gaussian_filter1d(values, smooth, axis=-1)
        pairs.append(values[:, ::step].T)
    mask = seen[:, first] & seen[:, second]
    frames = np.arange(0, data.shape[2], step, dtype=np.int64)
    return AffinityTensor(np.stack(pairs, axis=1) * mask, mask, names, frames)


def _read(traces: Any) -> tuple[Array, npt.NDArray[np.bool_]]:
    if hasattr(traces, "detach"):
        traces = traces.detach().cpu().numpy()
    try:
        data = np.asarray(traces, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            "The traces are no array of numbers. Give (animals, neurons, frames), NaN where unseen."
        ) from None
    if data.ndim != 3 or data.shape[0] < 1 or data.shape[1] < 2 or data.shape[2] < 3:
        raise UsageError(
            f"Traces of shape {data.shape} are not (animals, neurons >= 2, frames >= 3). "
            "A recording of one animal is traces[None]."
        )
    missing = np.isnan(data)
    seen = ~missing.all(-1)
    bad = np.argwhere((seen & missing.any(-1)) | np.isinf(data).any(-1))
    if len(bad):
        animal, neuron = bad[0].tolist()
        raise UsageError(
            f"The trace of neuron {neuron} in animal {animal} is not finite throughout. Fill its gaps, or set the "
            "whole trace to NaN to leave it out."
        )
    if not seen.any():
        raise UsageError("All traces are NaN. Give at least two that were seen.")
    return data, np.asarray(seen)
