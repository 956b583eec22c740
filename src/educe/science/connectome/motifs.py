"""The dynamic connectome: which neurons work together, when, and in which animals.

Source: Dyballa et al. (2024), arXiv:2402.14102. The three stages in one call: affinities over time, non-negative
factors, communities of each factor's pair weights. Neurons that share a block with a sensory neuron during its stimulus
are those expected to change when it is silenced; that is a guess to be tested, not a causal finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Posterior, Seed, UsageError, nearest
from educe.science.connectome.affinity import affinity
from educe.science.connectome.block_model import WeightedSBM, co_membership
from educe.science.connectome.factorization import Factors, choose_rank, ntf
from educe.science.connectome.recordings import Stimulus

__all__ = ["DynamicConnectome", "Motif", "dynamic_connectome"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Motif:
    """One factor, read.

    Parameters
    ----------
    strength : float
        Norm of the factor.
    time : ndarray
        (time,) activity, unit norm.
    intervals : tuple of tuple of int
        First frame and end of each stretch in which the activity is above half its maximum.
    animals : ndarray
        (animals,) loadings, unit norm.
    adjacency : ndarray
        (neurons, neurons) pair weights.
    blocks : tuple of int
        Block of each neuron.
    partitions : Posterior
        Over partitions.
    block_weights : ndarray
        (blocks, blocks) mean pair weight within and between blocks; NaN for a block of one neuron with itself.
    stimuli : dict of str to float
        Mean activity during each stimulus over mean activity outside of it.
    """

    strength: float
    time: Array
    intervals: tuple[tuple[int, int], ...]
    animals: Array
    adjacency: Array
    blocks: tuple[int, ...]
    partitions: Posterior[tuple[int, ...]]
    block_weights: Array
    stimuli: dict[str, float]

    def __repr__(self) -> str:
        spans = ", ".join(f"{first}-{end}" for first, end in self.intervals)
        return f"Motif(strength={self.strength:.3g}, active {spans}, {len(set(self.blocks))} blocks)"


@dataclass(frozen=True, repr=False)
class DynamicConnectome:
    """All motifs of a recording, strongest first.

    Parameters
    ----------
    motifs : tuple of Motif
        One per factor.
    factors : Factors
        What they were read from.
    neurons : tuple of str
        Names.
    frames : ndarray
        (time,) frames that the entries along time belong to.
    """

    motifs: tuple[Motif, ...]
    factors: Factors
    neurons: tuple[str, ...]
    frames: npt.NDArray[np.int64]

    def __repr__(self) -> str:
        return f"DynamicConnectome({len(self.motifs)} motifs, {len(self.neurons)} neurons, fit={self.factors.fit:.2f})"

    def partners(self, neuron: str, stimulus: str | None = None) -> dict[str, float]:
        """Neurons in one block with a neuron, by the probability that they share it.

        Parameters
        ----------
        neuron : str
            Whose partners.
        stimulus : str, optional
            Look at the motif that answers to it most; at the strongest motif when left out.

        Returns
        -------
        dict of str to float
            Likeliest first; those with a probability of at least one half.

        Raises
        ------
        UsageError
            The neuron or the stimulus is unknown.
        """
        if neuron not in self.neurons:
            raise UsageError(f"Neuron {neuron!r} is unknown; {nearest(neuron, self.neurons)}")
        motif = self.motifs[0]
        if stimulus is not None:
            if stimulus not in motif.stimuli:
                raise UsageError(f"Stimulus {stimulus!r} is unknown; {nearest(stimulus, motif.stimuli)}")
            motif = max(self.motifs, key=lambda motif: motif.stimuli[stimulus])
        row = co_membership(motif.partitions)[self.neurons.index(neuron)]
        found = {name: float(p) for name, p in zip(self.neurons, row, strict=True) if name != neuron and p >= 0.5}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def dynamic_connectome(
    traces: Any,
    stimuli: Sequence[Stimulus] | None = None,
    rank: int | str = "auto",
    *,
    neurons: Sequence[str] | None = None,
    kind: str = "minmax",
    sigma: float = 1.5,
    smooth: float = 4.0,
    step: int = 2,
    starts: int = 5,
    sweeps: int = 100,
    model: WeightedSBM | None = None,
    seed: int | Seed = 0,
) -> DynamicConnectome:
    """Find who works with whom, when, and in which animals.

    Parameters
    ----------
    traces : array_like
        (animals, neurons, frames); NaN over all frames where a neuron was not seen.
    stimuli : sequence of Stimulus, optional
        Names and frames, to line motifs up with; nothing is fitted to them.
    rank : int or str
        Number of motifs; ``"auto"`` chooses by `choose_rank` among 2 to 8.
    neurons : sequence of str, optional
        Names.
    kind, sigma, smooth, step : object
        As in `affinity`.
    starts, sweeps : int
        As in `ntf`.
    model : WeightedSBM, optional
        Finds the blocks; the default one, with this seed, when left out.
    seed : int or Seed
        Root of all draws.

    Returns
    -------
    DynamicConnectome

    Raises
    ------
    UsageError
        Traces, stimuli or a parameter are refused.

    Examples
    --------
    >>> from educe.science.connectome import simulate
    >>> traces = simulate(10, 2, 160, windows=[(0, 70), (90, 160)], sizes=(4, 3)).traces
    >>> found = dynamic_connectome(traces, [Stimulus("salt", 0, 70)], rank=2, starts=2)
    >>> len(found.motifs), sorted(found.motifs[0].stimuli)
    (2, ['salt'])
    """
    root = Seed.of(seed).child("dynamic-connectome")
    if isinstance(rank, str) and rank != "auto":
        raise UsageError(f"rank={rank!r} is unknown. Give a whole number, or 'auto'.")
    tensor = affinity(traces, kind, sigma=sigma, smooth=smooth, step=step, neurons=neurons)
    events = [Stimulus(*item) for item in stimuli or ()]
    for event in events:
        inside = (tensor.frames >= event.first) & (tensor.frames < event.end)
        if not inside.any() or inside.all():
            raise UsageError(
                f"Stimulus {event.name!r} from frame {event.first} to {event.end} covers none or all of the recording. "
                "Give frames, not seconds."
            )
    count = choose_rank(tensor, seed=root).rank if isinstance(rank, str) else rank
    factors = ntf(tensor, count, starts=starts, sweeps=sweeps, seed=root)
    finder = model if model is not None else WeightedSBM(seed=root)
    motifs = []
    for r in range(count):
        time, adjacency = factors.time[:, r], tensor.matrix(factors.pair[:, r])
        partitions = finder.fit(adjacency)
        blocks = next(value for value in partitions.values if isinstance(value, tuple))
        answers = {}
        for event in events:
            inside = (tensor.frames >= event.first) & (tensor.frames < event.end)
            outside = float(time[~inside].mean())
            answers[event.name] = float(time[inside].mean()) / outside if outside > 0 else float("inf")
        motifs.append(
            Motif(
                float(factors.weights[r]),
                time,
                _intervals(time, tensor.frames, step),
                factors.animal[:, r],
                adjacency,
                blocks,
                partitions,
                _block_weights(adjacency, np.array(blocks)),
                answers,
            )
        )
    return DynamicConnectome(tuple(motifs), factors, tensor.neurons, tensor.frames)


def _intervals(time: Array, frames: npt.NDArray[np.int64], step: int) -> tuple[tuple[int, int], ...]:
    active = np.concatenate([[False], time > time.max() / 2, [False]])
    edges = np.flatnonzero(active[1:] != active[:-1])
    return tuple((int(frames[a]), int(frames[b - 1]) + step) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _block_weights(adjacency: Array, labels: npt.NDArray[np.int64]) -> Array:
    member = np.eye(int(labels.max()) + 1)[labels]
    sizes = member.sum(0)
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    return np.asarray(np.divide(member.T @ adjacency @ member, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0))
