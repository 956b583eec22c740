"""Non-negative factors of a tensor over time, animals and pairs, where some pairs were not seen in some animals.

Source: Dyballa et al. (2024), arXiv:2402.14102, stage 2; the algorithm is hierarchical alternating least squares
(Cichocki and Phan 2009) with missing entries replaced, before each sweep, by what the model says, which never increases
the squared error of the entries that were seen. One product of the tensor with the pair factors serves both the time
and the animal update, so that a sweep reads the tensor twice instead of three times. The choice of the rank is ours.

Non-negative factors are not unique where two motifs share their time course or their animals: look at ``stability``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError
from educe.science.connectome.affinity import AffinityTensor

__all__ = ["Factors", "RankChoice", "choose_rank", "ntf"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Factors:
    """A sum of `rank` outer products, heaviest first.

    Parameters
    ----------
    time : ndarray
        (time, rank) float64, >= 0, columns of unit norm.
    animal : ndarray
        (animals, rank), likewise.
    pair : ndarray
        (pairs, rank), likewise.
    weights : ndarray
        (rank,) the norms of the products, in falling order.
    fit : float
        1 - squared error / squared norm, over seen entries.
    losses : ndarray
        Squared error over seen entries after each sweep, relative to their squared norm.
    stability : float
        Mean cosine between these products and their best match in each other start, in [0, 1]; 1 with one start.
    """

    time: Array
    animal: Array
    pair: Array
    weights: Array
    fit: float
    losses: Array
    stability: float

    def __repr__(self) -> str:
        return f"Factors(rank={len(self.weights)}, fit={self.fit:.3f}, stability={self.stability:.2f})"

    def tensor(self) -> Array:
        """Return the sum of products, (time, animals, pairs)."""
        return np.asarray(np.einsum("r,tr,ar,pr->tap", self.weights, self.time, self.animal, self.pair, optimize=True))


class RankChoice(NamedTuple):
    """What was tried and what was chosen.

    Parameters
    ----------
    rank : int
        The choice.
    fits : dict of int to float
        Fit by rank.
    stabilities : dict of int to float
        Stability by rank.
    """

    rank: int
    fits: dict[int, float]
    stabilities: dict[int, float]


def ntf(
    tensor: Any,
    rank: int,
    mask: Any = None,
    *,
    starts: int = 5,
    sweeps: int = 100,
    tol: float = 1e-6,
    seed: int | Seed = 0,
) -> Factors:
    """Factor a tensor into non-negative rank-one parts by least squares.

    Parameters
    ----------
    tensor : AffinityTensor or array_like
        (time, animals, pairs), >= 0 where seen.
    rank : int
        Number of parts, >= 1.
    mask : array_like of bool, optional
        True where an entry was seen; any shape that broadcasts to the tensor's, such as (animals, pairs). That of the
        `AffinityTensor`, else all, when left out.
    starts : int
        Random starts, of which the best is kept.
    sweeps : int
        Limit on sweeps per start.
    tol : float
        A start ends once a sweep lowers the relative squared error by less.
    seed : int or Seed
        Root of the starts.

    Returns
    -------
    Factors

    Raises
    ------
    UsageError
        A seen entry is negative or not finite, nothing was seen, or a parameter is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> planted = np.einsum("tr,ar,pr->tap", *(rng.random((n, 2)) for n in (20, 4, 30)))
    >>> ntf(planted, 2, starts=1, sweeps=500, tol=1e-12).fit > 0.9999
    True
    """
    for name, value in (("rank", rank), ("starts", starts), ("sweeps", sweeps)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise UsageError(f"{name}={value!r} is not a whole number >= 1. Give for instance 3.")
    if not tol >= 0:
        raise UsageError(f"tol={tol} is not a number >= 0. Give for instance 1e-6.")
    data, seen = _read(tensor, mask)
    root = Seed.of(seed).child("ntf")
    runs = [_start(data, seen, int(rank), sweeps, tol, root.child("start", number)) for number in range(starts)]
    best = min(range(starts), key=lambda number: runs[number][1][-1])
    parts, losses = runs[best]
    matches = [_similarity(parts, runs[number][0]) for number in range(starts) if number != best]
    weights = np.prod([np.linalg.norm(part, axis=0) for part in parts], axis=0)
    order = np.argsort(-weights, kind="stable")
    time, animal, pair = (_unit(part)[:, order] for part in parts)
    stability = float(np.mean(matches)) if matches else 1.0
    return Factors(time, animal, pair, weights[order], 1 - float(losses[-1]), losses, stability)


def choose_rank(
    tensor: Any,
    ranks: Sequence[int] = range(2, 9),
    *,
    mask: Any = None,
    starts: int = 3,
    sweeps: int = 40,
    stable: float = 0.9,
    seed: int | Seed = 0,
) -> RankChoice:
    """Choose the number of parts: the elbow of the fit among ranks whose starts agree.

    The elbow is the rank that lies furthest above the line from the first fit to the last one. Where no rank is
    stable, the most stable one is taken.

    Parameters
    ----------
    tensor, mask : object
        As in `ntf`.
    ranks : sequence of int
        What to try, in rising order.
    starts, sweeps : int
        As in `ntf`; at least two starts.
    stable : float
        Least stability, in [0, 1].
    seed : int or Seed
        Root of the starts.

    Returns
    -------
    RankChoice

    Raises
    ------
    UsageError
        There is nothing to choose from, or a parameter is out of range.

    Examples
    --------
    >>> planted = np.einsum("tr,ar,pr->tap", *(np.kron(np.eye(3), np.ones((n, 1))) for n in (9, 2, 12)))
    >>> choose_rank(planted + 0.01, range(1, 6)).rank
    3
    """
    tried = list(ranks)
    if not tried or tried != sorted(set(tried)):
        raise UsageError(f"ranks={tried} are not in rising order. Give for instance range(2, 9).")
    if starts < 2:
        raise UsageError(f"starts={starts} cannot show stability. Give at least 2.")
    if not 0 <= stable <= 1:
        raise UsageError(f"stable={stable} is no number in [0, 1]. Give for instance 0.9.")
    found = {rank: ntf(tensor, rank, mask, starts=starts, sweeps=sweeps, seed=seed) for rank in tried}
    fits = {rank: factors.fit for rank, factors in found.items()}
    stabilities = {rank: factors.stability for rank, factors in found.items()}
    span = max(tried[-1] - tried[0], 1)
    slope = (fits[tried[-1]] - fits[tried[0]]) / span
    above = {rank: fits[rank] - fits[tried[0]] - slope * (rank - tried[0]) for rank in tried}
    candidates = [rank for rank in tried if stabilities[rank] >= stable]
    if not candidates:
        return RankChoice(max(tried, key=lambda rank: stabilities[rank]), fits, stabilities)
    return RankChoice(max(candidates, key=lambda rank: above[rank]), fits, stabilities)


def _read(tensor: Any, mask: Any) -> tuple[Array, npt.NDArray[np.bool_] | None]:
    if isinstance(tensor, AffinityTensor):
        mask = tensor.mask if mask is None else mask
        tensor = tensor.values
    data = np.asarray(tensor, dtype=np.float64)
    if data.ndim != 3 or 0 in data.shape:
        raise UsageError(f"A tensor of shape {data.shape} is not (time, animals, pairs). Give three axes.")
    seen = None
    if mask is not None:
        try:
            seen = np.broadcast_to(np.asarray(mask, dtype=bool), data.shape)
        except ValueError:
            raise UsageError(
                f"A mask of shape {np.shape(mask)} does not fit a tensor of shape {data.shape}. "
                "Give (animals, pairs) or the tensor's shape."
            ) from None
        data = np.where(seen, data, 0.0)
        if seen.all():
            seen = None
    if not np.isfinite(data).all() or (data < 0).any():
        place = tuple(np.argwhere(~np.isfinite(data) | (data < 0))[0].tolist())
        raise UsageError(f"Entry {place} is {data[place]}. Seen entries must be finite and >= 0; mask the others.")
    if not data.any():
        raise UsageError("All seen entries are zero, which leaves nothing to factor. Look at the traces and the mask.")
    return data, seen


def _start(
    data: Array, seen: npt.NDArray[np.bool_] | None, rank: int, sweeps: int, tol: float, seed: Seed
) -> tuple[list[Array], Array]:
    """Run one start; the unit-free loss after each sweep comes with the factors."""
    rng = seed.numpy()
    steps, animals, pairs = data.shape
    total = float(np.vdot(data, data))
    parts = [rng.uniform(0.1, 1.0, (size, rank)) for size in data.shape]
    model = np.linalg.norm(np.einsum("tr,ar,pr->tap", *parts, optimize=True))
    time, animal, pair = (part * (np.sqrt(total) / model) ** (1 / 3) for part in parts)
    filled, losses = data, []
    for _ in range(sweeps):
        if seen is not None:
            guess = _product(time, animal, pair)
            filled = np.where(seen, data, guess)
        half = (filled.reshape(-1, pairs) @ pair).reshape(steps, animals, rank)
        gram_pair = pair.T @ pair
        for _inner in range(2):  # cheap beside the product above
            _update(time, np.einsum("tar,ar->tr", half, animal), gram_pair * (animal.T @ animal))
            _update(animal, np.einsum("tar,tr->ar", half, time), gram_pair * (time.T @ time))
        outer = np.einsum("tr,ar->tar", time, animal).reshape(-1, rank)
        target = filled.reshape(-1, pairs).T @ outer
        gram = (time.T @ time) * (animal.T @ animal)
        for _inner in range(2):
            _update(pair, target, gram)
        if seen is None:
            loss = total - 2 * float(np.vdot(target, pair)) + float(np.vdot(gram, pair.T @ pair))
        else:
            gap = np.where(seen, data - _product(time, animal, pair), 0.0)
            loss = float(np.vdot(gap, gap))
        losses.append(max(loss, 0.0) / total)
        if len(losses) > 1 and losses[-2] - losses[-1] < tol:
            break
        # Equal norms in the three factors keep their scales from drifting apart.
        norms = np.stack([np.linalg.norm(part, axis=0) for part in (time, animal, pair)])
        mean = np.cbrt(norms.prod(0))
        scales = np.divide(mean, norms, out=np.zeros_like(norms), where=norms > 0)
        time, animal, pair = time * scales[0], animal * scales[1], pair * scales[2]
    return [time, animal, pair], np.array(losses)


def _product(time: Array, animal: Array, pair: Array) -> Array:
    outer = np.einsum("tr,ar->tar", time, animal).reshape(-1, time.shape[1])
    return np.asarray((outer @ pair.T).reshape(len(time), len(animal), len(pair)))


def _update(part: Array, target: Array, gram: Array) -> None:
    """Minimise the squared error over each column in turn, in place."""
    for column in range(part.shape[1]):
        if gram[column, column] > 0:
            change = (target[:, column] - part @ gram[:, column]) / gram[column, column]
            part[:, column] = np.maximum(part[:, column] + change, 0.0)


def _unit(part: Array) -> Array:
    norm = np.linalg.norm(part, axis=0)
    return np.asarray(part / np.where(norm > 0, norm, 1.0))


def _similarity(first: Sequence[Array], second: Sequence[Array]) -> float:
    from scipy.optimize import linear_sum_assignment

    cosine = np.prod([_unit(a).T @ _unit(b) for a, b in zip(first, second, strict=True)], axis=0)
    return float(cosine[linear_sum_assignment(-cosine)].mean())
