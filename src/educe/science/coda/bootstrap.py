"""Bayesian bootstrap of compositional partial correlations.

Source: Rubin (1981), The Bayesian Bootstrap, Annals of Statistics 9: each draw gives the samples Dirichlet(1, ..., 1)
weights and computes rho_ij from the weighted covariance. No draw can be singular unless the table is. It assumes that
samples are exchangeable and says nothing about values that were never seen.

It does not account for the degrees of freedom that the controls use up, so its intervals are too narrow with few
samples per part: for 11 Gaussian parts, 95 % intervals covered 0.79, 0.87 and 0.92 of the true values with 20, 47 and
150 samples, where those of `PartialCorrelation.interval` covered 0.94 to 0.95.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from educe.core import Ledger, Posterior, Seed, UsageError
from educe.science._tables import index_of, read_parts
from educe.science.coda.concentration import _estimate

__all__ = ["bootstrap_partial"]

_MOST_CELLS = 10**9
_CHUNK_CELLS = 2**23  # weighted covariances held at one time: 64 MiB


def bootstrap_partial(
    x: Any,
    draws: int = 1000,
    *,
    names: Sequence[str] | None = None,
    shrink: str | float | None = None,
    pairs: Sequence[tuple[int | str, int | str]] | None = None,
    seed: int | Seed = 0,
    device: str = "cpu",
) -> Posterior[dict[str, torch.Tensor]]:
    """Posterior over partial correlations by the Bayesian bootstrap.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts.
    draws : int
        Number of weightings, >= 1.
    names : sequence of str, optional
        Names of the parts.
    shrink : str or float, optional
        As in `partial_correlation`; the weight is found once, on the whole table.
    pairs : sequence of pairs, optional
        Parts by name or number. Keeps only these, for tables with many parts.
    seed : int or Seed
        Root of the weights.
    device : str
        Torch device of the factorisations.

    Returns
    -------
    Posterior
        ``values["rho"]`` is (draws, parts, parts), or (draws, pairs) where pairs were named; ``details["parts"]`` and
        ``details["pairs"]`` say which.

    Raises
    ------
    UsageError
        The table or a pair is refused, or the draws would not fit in memory.

    Examples
    --------
    >>> from educe.science import roman_cups
    >>> posterior = bootstrap_partial(roman_cups(), 200, pairs=[("Al", "Fe")])
    >>> interval = posterior.interval(lambda value: value["rho"][0])
    >>> 0 < interval.low < 0.727 < interval.high < 1
    True
    """
    start = time.perf_counter()
    table = read_parts(x, names, least=3)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise UsageError(f"draws={draws!r} asks for no draw. Give a whole number >= 1.")
    size = len(table.parts)
    chosen = None
    if pairs is not None:
        chosen = [(index_of(first, table.parts), index_of(second, table.parts)) for first, second in pairs]
        if not chosen or any(first == second for first, second in chosen):
            raise UsageError(f"pairs={list(pairs)!r} names no pair of two different parts. Name at least one.")
    elif draws * size**2 > _MOST_CELLS:
        raise UsageError(f"{draws} draws of {size} x {size} numbers are too many to keep. Name the pairs you need.")
    estimate = _estimate(table, shrink)
    coordinates = torch.tensor(estimate.coordinates, dtype=torch.float64, device=device)
    basis = torch.tensor(estimate.basis, dtype=torch.float64, device=device)
    weights = Seed.of(seed).child("bayesian-bootstrap").numpy().dirichlet(np.ones(len(coordinates)), size=draws)
    kept = []
    rows = max(1, _CHUNK_CELLS // (size * max(size, len(coordinates))))
    for begin in range(0, draws, rows):
        part = torch.tensor(weights[begin : begin + rows], device=device)
        rho = _weighted(coordinates, basis, part, estimate.shrinkage)
        if chosen is not None:
            first, second = (list(index) for index in zip(*chosen, strict=True))
            rho = rho[:, first, second]
        kept.append(rho.cpu())
    details = {
        "parts": list(table.parts),
        "pairs": None if chosen is None else [[table.parts[i], table.parts[j]] for i, j in chosen],
        "shrinkage": estimate.shrinkage,
    }
    ledger = Ledger(seconds=time.perf_counter() - start)
    return Posterior({"rho": torch.cat(kept)}, torch.zeros(draws, dtype=torch.float64), ledger=ledger, details=details)


def _weighted(coordinates: torch.Tensor, basis: torch.Tensor, weights: torch.Tensor, shrinkage: float) -> torch.Tensor:
    """Return rho for each row of weights, (draws, parts, parts)."""
    mean = weights @ coordinates
    centred = coordinates[None] - mean[:, None]
    covariance = centred.mT @ (weights[:, :, None] * centred)
    if shrinkage:
        size = covariance.shape[-1]
        target = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
        eye = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
        covariance = (1 - shrinkage) * covariance + shrinkage * target * eye
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if bool(failed.any()):
        raise UsageError("A weighted covariance is singular to machine precision. Pass shrink, or drop parts.")
    solved = torch.linalg.solve_triangular(factor, basis.mT.expand(len(weights), -1, -1), upper=False)
    concentration = solved.mT @ solved
    scale = concentration.diagonal(dim1=-2, dim2=-1).rsqrt()
    rho: torch.Tensor = (-concentration * scale[:, :, None] * scale[:, None, :]).clamp(-1.0, 1.0)
    rho.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return rho
