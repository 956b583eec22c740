"""Did the chains mix, and are the weights sound? R-hat, effective sample sizes, ranks, Pareto's k.

Sources: Vehtari et al. (2021), arXiv:1903.08008, for rank-normalised split R-hat, bulk and tail effective sizes, with
autocorrelations summed by Geyer's (1992) initial monotone sequence; Vehtari et al. (2024), arXiv:1507.02646, and Zhang
and Stephens (2009) for Pareto's k. The numbers are those of ArviZ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from educe.core import CapabilityError, Posterior, UsageError

__all__ = [
    "effective_sample_size",
    "pareto_k",
    "plot_ranks",
    "r_hat",
    "rank_histogram",
    "split_r_hat",
    "tail_effective_sample_size",
    "to_arviz",
]


def _halves(chains: torch.Tensor) -> torch.Tensor:
    chains = torch.as_tensor(chains, dtype=torch.float64)
    if chains.ndim < 2 or chains.shape[1] < 4:
        raise UsageError(f"Chains of shape {tuple(chains.shape)} are too short. Give (chains, draws >= 4, ...).")
    half = chains.shape[1] // 2
    return torch.cat([chains[:, :half], chains[:, -half:]])


def _ranks(chains: torch.Tensor) -> torch.Tensor:
    """Ranks among all draws, from 1; draws that are equal share the mean of their ranks."""
    flat = chains.reshape(chains.shape[0] * chains.shape[1], -1).numpy()
    ranks = np.empty_like(flat)
    for column, into in zip(flat.T, ranks.T, strict=True):
        order = np.argsort(column)
        first = np.r_[True, np.diff(column[order]) != 0]
        group = np.cumsum(first) - 1
        ends = np.r_[np.flatnonzero(first), len(column)]
        into[order] = 0.5 * (ends[group] + ends[group + 1] + 1)
    return torch.from_numpy(ranks).reshape(chains.shape)


def _normalised(chains: torch.Tensor) -> torch.Tensor:
    """Replace draws by the normal quantiles of their ranks (Blom's offsets)."""
    ranks = _ranks(chains)
    scores: torch.Tensor = torch.special.ndtri((ranks - 0.375) / (chains.shape[0] * chains.shape[1] + 0.25))
    return scores


def _variances(chains: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Within-chain variance, and the estimate of the posterior's that overstates it before convergence."""
    n = chains.shape[1]
    within = chains.var(1).mean(0)
    return within, within * (n - 1) / n + chains.mean(1).var(0)


def _r_hat(halves: torch.Tensor) -> torch.Tensor:
    within, total = _variances(halves)
    return (total / within).sqrt()


def split_r_hat(chains: torch.Tensor) -> torch.Tensor:
    """Square root of total over within variance of half-chains; near 1 when the chains have mixed.

    Parameters
    ----------
    chains : Tensor
        (chains, draws, ...), at least four draws.

    Returns
    -------
    Tensor
        (...) float64. NaN for chains that never move. `r_hat` also sees heavy tails and differing spreads.

    Examples
    --------
    >>> stuck = torch.tensor([[0.0, 1.0, 0.0, 1.0], [9.0, 8.0, 9.0, 8.0]])
    >>> bool(split_r_hat(stuck) > 5)
    True
    """
    return _r_hat(_halves(chains))


def r_hat(chains: torch.Tensor) -> torch.Tensor:
    """Rank-normalised split R-hat: the larger of that of the draws and that of their distances from the median.

    Parameters
    ----------
    chains : Tensor
        (chains, draws, ...), at least four draws.

    Returns
    -------
    Tensor
        (...) float64; below 1.01 is taken as good.

    Examples
    --------
    >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    >>> bool(r_hat(draws) < 1.01)
    True
    """
    halves = _halves(chains)
    flat = halves.reshape(halves.shape[0] * halves.shape[1], -1).numpy()
    median = torch.from_numpy(np.median(flat, 0)).reshape(halves.shape[2:])
    return torch.maximum(_r_hat(_normalised(halves)), _r_hat(_normalised((halves - median).abs())))


def _size(halves: torch.Tensor) -> torch.Tensor:
    """Effective size of half-chains by the initial monotone sequence."""
    m, n = halves.shape[:2]
    within, total = _variances(halves)
    centred = halves - halves.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, 2 * n, dim=1)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * n, dim=1)[:, :n].mean(0) / n
    correlation = 1 - (within - covariance) / total
    correlation[0] = 1.0
    most = (n - 3) // 2
    pairs = correlation[: 2 * most].reshape(most, 2, *correlation.shape[1:]).sum(1)
    # Sums of neighbours are positive and fall for a reversible chain; where they stop to, noise begins.
    positive = (pairs > 0).to(torch.float64).cumprod(0)
    counted = positive.sum(0)
    monotone = torch.cummin(pairs, 0).values * positive
    next_one = correlation.gather(0, (2 * counted).long()[None])[0].clamp(min=0)
    time = 2 * monotone.sum(0) - 1 + next_one
    size: torch.Tensor = m * n / time.clamp(min=1 / math.log10(m * n))
    return size


def effective_sample_size(chains: torch.Tensor, *, ranks: bool = True) -> torch.Tensor:
    """Number of independent draws whose mean would vary as much as that of the chains.

    Parameters
    ----------
    chains : Tensor
        (chains, draws, ...), at least four draws.
    ranks : bool
        Of the normal quantiles of the ranks ("bulk"), which exists where variances do not; False takes the draws
        themselves, as the error of their mean needs it.

    Returns
    -------
    Tensor
        (...) float64.

    Examples
    --------
    >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    >>> bool(1000 < effective_sample_size(draws) < 3000)
    True
    """
    halves = _halves(chains)
    return _size(_normalised(halves) if ranks else halves)


def tail_effective_sample_size(chains: torch.Tensor) -> torch.Tensor:
    """Smaller of the effective sizes with which the 5 % and the 95 % quantile are known.

    Parameters
    ----------
    chains : Tensor
        (chains, draws, ...), at least four draws.

    Returns
    -------
    Tensor
        (...) float64.

    Examples
    --------
    >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    >>> bool(500 < tail_effective_sample_size(draws) < 3000)
    True
    """
    chains = torch.as_tensor(chains, dtype=torch.float64)
    halves = _halves(chains)
    flat = chains.reshape(chains.shape[0] * chains.shape[1], -1).numpy()
    low, high = torch.from_numpy(np.quantile(flat, [0.05, 0.95], axis=0)).reshape(2, *chains.shape[2:])
    return torch.minimum(_size((halves <= low).to(torch.float64)), _size((halves <= high).to(torch.float64)))


def pareto_k(log_weights: torch.Tensor) -> float:
    """Shape of the tail of importance weights; above 0.7 their average is not to be trusted.

    Parameters
    ----------
    log_weights : Tensor
        (n,) at least 25.

    Returns
    -------
    float
        Below zero for bounded weights; the mean exists below 1, the variance below 1/2.

    Examples
    --------
    >>> heavy = torch.distributions.Pareto(1.0, 1.25)  # weights with k = 0.8
    >>> _ = torch.manual_seed(0)
    >>> 0.6 < pareto_k(heavy.sample((20000,)).log()) < 1.0
    True
    """
    logs = np.sort(np.asarray(log_weights, dtype=np.float64))
    if len(logs) < 25:
        raise UsageError(f"{len(logs)} weights have no tail to speak of. Give at least 25.")
    logs = logs - logs[-1]
    tail = math.ceil(min(0.2 * len(logs), 3 * math.sqrt(len(logs))))
    cutoff = max(logs[-tail - 1], math.log(np.finfo(float).tiny))
    above = logs[logs > cutoff]
    if len(above) <= 4 or above[-1] - above[0] < 1e-12:
        return -math.inf
    excess = np.exp(above) - math.exp(cutoff)
    # Zhang and Stephens: posterior mean of the scale over a grid that the quartile spreads.
    n = len(excess)
    m = 30 + int(math.sqrt(n))
    grid = 1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))
    grid = grid / (3 * excess[int(n / 4 + 0.5) - 1]) + 1 / excess[-1]
    shapes = np.log1p(-grid[:, None] * excess).mean(1)
    profile = n * (np.log(-grid / shapes) - shapes - 1)
    weights = 1 / np.exp(profile - profile[:, None]).sum(1)
    keep = weights >= 10 * np.finfo(float).eps
    scale = (grid[keep] * weights[keep]).sum() / weights[keep].sum()
    k = np.log1p(-scale * excess).mean()
    # A weak prior at one half, worth ten observations.
    return float((n * k + 5) / (n + 10))


def rank_histogram(chains: torch.Tensor, bins: int = 20) -> torch.Tensor:
    """Count, for each chain, where its draws rank among all draws; mixed chains have flat counts.

    Parameters
    ----------
    chains : Tensor
        (chains, draws) of one number.
    bins : int
        Of equal numbers of ranks, >= 2.

    Returns
    -------
    Tensor
        (chains, bins) int64.

    Examples
    --------
    >>> rank_histogram(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), bins=2).tolist()
    [[2, 0], [0, 2]]
    """
    chains = torch.as_tensor(chains, dtype=torch.float64)
    if chains.ndim != 2 or bins < 2:
        raise UsageError(f"Ranks of shape {tuple(chains.shape)} in {bins} bins. Give (chains, draws) and bins >= 2.")
    place = ((_ranks(chains) - 0.5) / chains.numel() * bins).long().clamp(max=bins - 1)
    return torch.stack([torch.bincount(row, minlength=bins) for row in place])


def plot_ranks(counts: torch.Tensor, axes: Any = None) -> Any:
    """Draw a rank histogram: a line per chain, and the count that mixed chains would have.

    Parameters
    ----------
    counts : Tensor
        (chains, bins) of `rank_histogram`, or (bins,) ranks of `calibrate`.
    axes : matplotlib.axes.Axes or None
        Where to draw; new ones if left out.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    CapabilityError
        Matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise CapabilityError("Matplotlib is missing. Install educe[figures] to draw.") from None
    axes = plt.subplots()[1] if axes is None else axes
    rows = counts if counts.ndim == 2 else counts[None]
    bins = rows.shape[1]
    for row in rows:
        axes.stairs(row.tolist(), [i / bins for i in range(bins + 1)], color="C0", alpha=max(0.15, 1 / len(rows)))
    axes.axhline(float(rows.double().mean()), color="0.4", linestyle="--")
    axes.set(xlabel="rank / largest rank", ylabel="count", ylim=(0, None), xlim=(0, 1))
    return axes


def to_arviz(posterior: Posterior[Any]) -> Any:
    """Hand the chains of a posterior to ArviZ, for its tables and plots.

    Parameters
    ----------
    posterior : Posterior
        Of `hmc`, `nuts`, `mala`, `slice_sampling` or `elliptical_slice`.

    Returns
    -------
    arviz.InferenceData

    Raises
    ------
    CapabilityError
        ArviZ is not installed.
    UsageError
        The posterior holds no chains of named draws.
    """
    details = posterior.details
    if not isinstance(posterior.values, Mapping) or "chains" not in details:
        raise UsageError("This posterior holds no chains. Give one of hmc, nuts, mala or slice_sampling.")
    try:
        import arviz
    except ImportError:
        raise CapabilityError("ArviZ is missing. Install it with `pip install arviz`.") from None
    shape = (details["chains"], details["draws"])
    return arviz.from_dict(
        {name: item.reshape(*shape, *item.shape[1:]).numpy() for name, item in posterior.values.items()}
    )
