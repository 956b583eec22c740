"""Drawing the next token of many rows, each from its own seed.

The random number of a token is a function of its row's seed and its position in the row, nothing else
(counter-based, as in Salmon et al., 2011): two rounds of the mixing function of SplitMix64 (Steele et al.,
2014). One uniform number per token is turned into a token by inverting the cumulative distribution in the
order of token ids. Gumbel noise would need a number for each entry of the vocabulary; and the inverse
moves to another token only where a cumulative probability crosses the number, so that a change of the
logits in the last digits leaves almost every row as it was.

Order: penalties, bias and constraint (`adjusted`), temperature, top-k, top-p (of what top-k left), min-p. Equally
probable tokens at a cut are kept in the order of their ids. A row is drawn alike, bit for bit, whatever other rows
stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from educe.core.errors import BackendError
from educe.lm.completion import Sampling

__all__ = ["Allowing", "Drawn", "adjusted", "draw", "most_probable", "uniform"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FLOORS = (2.0**-6, 2.0**-10, 2.0**-15)  # shares of the largest
PIECE = 256


class Drawn(NamedTuple):
    """Per row: ``tokens`` int64; ``logprobs`` of the unmodified model and of the law drawn from, float32."""

    tokens: torch.Tensor
    logprobs: torch.Tensor
    sampling_logprobs: torch.Tensor


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def uniform(seeds: Sequence[int], positions: Sequence[int]) -> NDArray[np.float64]:
    """Return one number in [0, 1) for each pair of seed and position.

    Parameters
    ----------
    seeds : sequence of int
        Taken modulo 2**64.
    positions : sequence of int
        >= 0, one per seed.

    Examples
    --------
    >>> uniform([7, 7, 8], [0, 1, 0]).round(3)
    array([...])
    """
    keys = np.array([seed & 0xFFFFFFFFFFFFFFFF for seed in seeds], np.uint64)
    counters = np.array(positions, np.uint64) + np.uint64(1)
    bits = _mixed(_mixed(keys + GOLDEN) + counters * GOLDEN)
    return np.ldexp((bits >> np.uint64(11)).astype(np.float64), -53)


def _keep_largest(weights: torch.Tensor, ordered: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Zero all but the ``counts`` largest entries of each row, given the row's entries in falling order."""
    least = ordered.gather(-1, counts[:, None] - 1)
    above, ties = weights > least, weights == least
    wanted = counts[:, None] - above.sum(-1, keepdim=True)
    if bool((ties.sum(-1, keepdim=True) > wanted).any()):
        ties &= ties.cumsum(-1) <= wanted
    return weights * (above | ties)


def _nucleus(weights: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return each row's largest entries in falling order, enough for the wanted mass (rows, 1), zeros after them.

    Sorting a whole vocabulary costs more than the layers; the entries above a small share of the largest are few.
    """
    for floor in FLOORS:
        kept = weights >= floor
        if bool((torch.where(kept, weights, 0).sum(-1, keepdim=True, dtype=torch.float64) >= wanted).all()):
            row, column = kept.nonzero(as_tuple=True)
            counts = kept.sum(-1)
            found = weights.new_zeros(len(weights), int(counts.max()))
            found[row, torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]] = weights[row, column]
            return found.sort(descending=True).values
    return weights.sort(descending=True).values


def _truncated(weights: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Apply top-k, top-p and min-p to weights (rows, vocabulary) whose largest is 1."""
    rows, size = weights.shape
    if 0 < sampling.top_k < size:
        ordered = weights.topk(sampling.top_k).values
        weights = _keep_largest(weights, ordered, torch.full((rows,), sampling.top_k))
    if sampling.top_p < 1:
        wanted = sampling.top_p * weights.sum(-1, keepdim=True, dtype=torch.float64)
        ordered = _nucleus(weights, wanted)
        counts = (ordered.cumsum(-1, dtype=torch.float64) < wanted).sum(-1) + 1
        weights = _keep_largest(weights, ordered, counts.clamp(max=ordered.shape[-1]))
    if sampling.min_p > 0:
        weights = weights * (weights >= sampling.min_p)
    return weights


class Allowing(Protocol):
    """Says which tokens a row may draw next; see `Guide`."""

    def allowed(self) -> NDArray[np.bool_]:
        """Return a bool for each token, perhaps for some more."""
        ...


def adjusted(
    logits: torch.Tensor,
    sampling: Sampling,
    prompts: Sequence[Sequence[int]],
    drawn: Sequence[Sequence[int]],
    guides: Sequence[Allowing | None] = (),
) -> torch.Tensor:
    """Return logits after penalties, bias and constraint.

    Repetition penalty as in Keskar et al. (2019), arXiv:1909.05858, equation 2, with negative logits multiplied.

    Parameters
    ----------
    logits : Tensor
        (rows, vocabulary) float32; left as it is.
    sampling : Sampling
        The law.
    prompts, drawn : sequence of sequence of int
        The tokens of each row's prompt, and those that it has drawn.
    guides : sequence of Allowing or None
        What each row may say, where there is a constraint.

    Examples
    --------
    >>> adjusted(torch.tensor([[4.0, 2.0]]), Sampling(frequency_penalty=0.5), [[1]], [[0, 0]]).tolist()
    [[3.0, 2.0]]
    """
    logits, size = logits.clone(), logits.shape[-1]
    for row, (before, own) in enumerate(zip(prompts, drawn, strict=True)):
        if sampling.repetition_penalty != 1:
            seen = torch.from_numpy(np.unique([*before, *own]))
            found = logits[row, seen]
            factor = sampling.repetition_penalty
            logits[row, seen] = torch.where(found > 0, found / factor, found * factor)
        if own and (sampling.presence_penalty or sampling.frequency_penalty):
            seen, counts = (torch.from_numpy(part) for part in np.unique(own, return_counts=True))
            logits[row, seen] -= sampling.frequency_penalty * counts + sampling.presence_penalty
    if sampling.logit_bias:
        tokens, values = (list(column) for column in zip(*sampling.logit_bias, strict=True))
        logits[:, torch.tensor(tokens)] += torch.tensor(values, dtype=logits.dtype)
    for row, guide in enumerate(guides):
        if guide is not None:
            allowed = torch.from_numpy(guide.allowed())[:size]
            logits[row, : len(allowed)].masked_fill_(~allowed, -torch.inf)
            logits[row, len(allowed) :] = -torch.inf
    return logits


def most_probable(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the most probable tokens of the unmodified model and their log-probabilities, (rows, count), best first.

    Parameters
    ----------
    logits : Tensor
        (rows, vocabulary) float32.
    count : int
        How many.
    """
    values, tokens = logits.topk(min(count, logits.shape[-1]))
    if len(logits) == 1:
        logits = logits.repeat(2, 1)  # see `draw`
    largest = logits.amax(-1, keepdim=True)
    normaliser = largest[:, 0] + _piece_sums((logits - largest).exp_()).sum(-1).log().float()
    return tokens, values - normaliser[: len(values), None]


def draw(
    logits: torch.Tensor,
    seeds: Sequence[int],
    positions: Sequence[int],
    sampling: Sampling,
    law: torch.Tensor | None = None,
) -> Drawn:
    """Draw one token per row.

    Parameters
    ----------
    logits : Tensor
        (rows, vocabulary) float32.
    seeds : sequence of int
        One per row.
    positions : sequence of int
        Index of the token within its row, from 0.
    sampling : Sampling
        Temperature and truncations.
    law : Tensor, optional
        (rows, vocabulary) float32: logits to draw from in their place, from `adjusted`.

    Returns
    -------
    Drawn

    Raises
    ------
    BackendError
        The logits are not numbers.

    Examples
    --------
    >>> draw(torch.tensor([[0.0, 5.0, 1.0]]), [3], [0], Sampling(temperature=0)).tokens
    tensor([1])
    """
    if len(logits) == 1:
        # A sum with a single result is split between threads, and then differs in the last digit.
        both = None if law is None else law.expand(2, -1)
        twice = draw(logits.expand(2, -1), [*seeds] * 2, [*positions] * 2, sampling, both)
        return Drawn(*(column[:1] for column in twice))
    # Sums over an expanded row are made in another order than over a row that lies in memory.
    logits = logits.contiguous()
    largest = logits.amax(-1, keepdim=True)
    shifted = logits - largest
    # In place where it is not needed again: fresh memory for a vocabulary costs as much as the exponentials.
    plain = shifted.exp_() if law is not None or sampling.temperature in (0, 1) else shifted.exp()
    sums = _piece_sums(plain)
    normaliser = largest[:, 0] + sums.sum(-1).log().float()
    if not bool(normaliser.isfinite().all()):
        raise BackendError("The model computed logits that are not numbers. Its file may be damaged: fetch it again.")
    if sampling.temperature == 0:
        tokens = (logits if law is None else law).argmax(-1)
        logprobs = logits.gather(-1, tokens[:, None])[:, 0] - normaliser
        return Drawn(tokens, logprobs, torch.zeros_like(logprobs))
    if law is not None:
        law = law.contiguous()
        shifted = law - law.amax(-1, keepdim=True)
    # The quotient may overflow to -inf, which is right: the token has no mass at this temperature.
    unscaled = law is None and sampling.temperature == 1
    weights = plain if unscaled else shifted.div_(sampling.temperature).exp_()
    weights = _truncated(weights, sampling)
    if weights is not plain:
        sums = _piece_sums(weights)
    number = torch.from_numpy(uniform(seeds, positions))[:, None]
    chosen, total = _inverse(weights, sums, number)
    logprobs = logits.gather(-1, chosen)[:, 0] - normaliser
    unmodified = unscaled and sampling.top_p == 1 and not sampling.top_k and not sampling.min_p
    drawn_from = logprobs if unmodified else (weights.gather(-1, chosen) / total)[:, 0].log().float()
    return Drawn(chosen[:, 0], logprobs, drawn_from)


def _piece_sums(weights: torch.Tensor) -> torch.Tensor:
    """Sums (rows, pieces) float64 over pieces of `PIECE` entries, the last filled up with zeros."""
    missing = -weights.shape[-1] % PIECE
    filled = torch.nn.functional.pad(weights, (0, missing)) if missing else weights
    return filled.view(len(weights), -1, PIECE).sum(-1).double()


def _inverse(weights: torch.Tensor, sums: torch.Tensor, number: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the entry (rows, 1) at which the cumulative weight passes a share in [0, 1), and the total weight.

    ``sums`` are those of pieces of the weights.

    First the piece, then the entry in it: a running sum over a whole vocabulary costs more than all else here.
    """
    cumulative = sums.cumsum(-1)
    total = cumulative[:, -1:]
    piece, rest = _passed(cumulative, number * total)
    begin = piece * PIECE
    places = (begin + torch.arange(PIECE)).clamp(max=weights.shape[-1] - 1)
    inside = weights.gather(-1, places).double() * (begin + torch.arange(PIECE) < weights.shape[-1])
    within = inside.cumsum(-1)
    # The piece's sum was made in single precision and may differ in the last digits.
    mass = cumulative.gather(-1, piece) - torch.where(piece > 0, cumulative.gather(-1, (piece - 1).clamp(min=0)), 0)
    place, _ = _passed(within, rest / mass * within[:, -1:])
    return begin + place, total


def _passed(cumulative: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where a running sum passes a target, and how far into that entry the target lies."""
    # Rounding may carry the target up to the total, beyond the last entry with any weight.
    target = torch.minimum(target, cumulative[:, -1:].nextafter(torch.zeros(1, dtype=torch.float64)))
    chosen = torch.searchsorted(cumulative, target, right=True)
    before = torch.where(chosen > 0, cumulative.gather(-1, (chosen - 1).clamp(min=0)), 0)
    return chosen, target - before
