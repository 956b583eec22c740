"""Recordings with communities that are known, each active in its own window and animals.

Not from Dyballa et al. (2024): a test bed for their method. In each window two disjoint communities fire in common
events, the other neurons only in events of their own; some windows are silent in some animals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError

__all__ = ["SimulatedRecording", "simulate"]


@dataclass(frozen=True, repr=False)
class SimulatedRecording:
    """Traces and what lies behind them.

    Parameters
    ----------
    traces : ndarray
        (animals, neurons, frames) float64.
    windows : tuple of tuple of int
        First frame and end of each motif.
    labels : ndarray
        (motifs, neurons) int: 0 for idle neurons, 1 and 2 for the two communities.
    present : ndarray
        (motifs, animals) bool.
    """

    traces: npt.NDArray[np.float64]
    windows: tuple[tuple[int, int], ...]
    labels: npt.NDArray[np.int64]
    present: npt.NDArray[np.bool_]

    def __repr__(self) -> str:
        animals, neurons, frames = self.traces.shape
        return f"SimulatedRecording({animals} animals, {neurons} neurons, {frames} frames, {len(self.windows)} motifs)"


def simulate(
    neurons: int = 30,
    animals: int = 6,
    frames: int = 480,
    *,
    windows: Sequence[tuple[int, int]] = ((0, 150), (165, 310), (330, 470)),
    sizes: tuple[int, int] = (8, 7),
    rate: float = 0.1,
    private_rate: float = 0.03,
    participation: float = 0.85,
    decay: float = 6.0,
    noise: float = 0.15,
    seed: int | Seed = 0,
) -> SimulatedRecording:
    """Draw a recording with two communities in each window; the last motif is silent in every second animal.

    Parameters
    ----------
    neurons, animals, frames : int
        Sizes.
    windows : sequence of pairs of int
        First frame and end of each motif.
    sizes : pair of int
        Neurons in the two communities; the rest of a motif is idle.
    rate : float
        Events of a community per frame inside its window.
    private_rate : float
        Events of each neuron alone per frame.
    participation : float
        Probability that a neuron takes part in an event of its community; its gain is uniform on (0.8, 1.2).
    decay : float
        Time constant of the exponential that follows an event, in frames.
    noise : float
        Standard deviation of white noise.
    seed : int or Seed
        Root of all draws.

    Returns
    -------
    SimulatedRecording

    Raises
    ------
    UsageError
        Sizes, windows or rates do not fit.

    Examples
    --------
    >>> recording = simulate(12, 3, 90, windows=[(0, 40), (45, 90)], sizes=(4, 3))
    >>> recording, recording.present.tolist()
    (SimulatedRecording(3 animals, 12 neurons, 90 frames, 2 motifs), [[True, True, True], [True, False, True]])
    """
    if min(sizes) < 1 or sum(sizes) > neurons or animals < 1:
        raise UsageError(
            f"Communities of {sizes} do not fit {neurons} neurons in {animals} animals. Give more neurons."
        )
    if not windows or any(not 0 <= first < end <= frames for first, end in windows):
        raise UsageError(
            f"Windows {tuple(windows)} do not fit {frames} frames. Give (first, end) inside the recording."
        )
    if not all(0 <= value <= 1 for value in (rate, private_rate, participation)) or not decay > 0 or not noise >= 0:
        raise UsageError(
            f"rate={rate}, private_rate={private_rate}, participation={participation} are probabilities, decay={decay} "
            f"must be > 0 and noise={noise} >= 0. Change what does not hold."
        )
    root = Seed.of(seed).child("connectome")
    labels = np.zeros((len(windows), neurons), dtype=np.int64)
    for motif in range(len(windows)):
        order = root.child("labels", motif).numpy().permutation(neurons)
        labels[motif, order[: sizes[0]]] = 1
        labels[motif, order[sizes[0] : sum(sizes)]] = 2
    present = np.ones((len(windows), animals), dtype=bool)
    present[-1, 1::2] = False
    traces = np.empty((animals, neurons, frames))
    kernel = np.exp(-np.arange(frames) / decay)
    for animal in range(animals):
        rng = root.child("animal", animal).numpy()
        events = (rng.random((neurons, frames)) < private_rate).astype(np.float64)
        for motif, (first, end) in enumerate(windows):
            for community in (1, 2):
                members = np.flatnonzero(labels[motif] == community)
                fires = rng.random(end - first) < rate
                joins = rng.random((len(members), end - first)) < participation
                gains = rng.uniform(0.8, 1.2, (len(members), end - first))
                if present[motif, animal]:
                    events[members, first:end] += fires * joins * gains
        calcium = np.stack([np.convolve(row, kernel)[:frames] for row in events])
        traces[animal] = calcium + noise * rng.normal(size=calcium.shape)
    return SimulatedRecording(traces, tuple((int(a), int(b)) for a, b in windows), labels, present)
