"""Did the chains mix? Split R-hat and effective sample size of Markov chains.

Source: Gelman et al. (2013), Bayesian Data Analysis, section 11.4 and 11.5; autocorrelations are summed by Geyer's
(1992) initial monotone sequence, as in Vehtari et al. (2021), arXiv:1903.08008, without their rank transform.
"""

from __future__ import annotations

import torch

from educe.core import UsageError

__all__ = ["effective_sample_size", "split_r_hat"]


def _halves(chains: torch.Tensor) -> torch.Tensor:
    chains = torch.as_tensor(chains, dtype=torch.float64)
    if chains.ndim < 2 or chains.shape[1] < 4:
        raise UsageError(f"Chains of shape {tuple(chains.shape)} are too short. Give (chains, draws >= 4, ...).")
    half = chains.shape[1] // 2
    return torch.cat([chains[:, :half], chains[:, -half:]])


def _variances(chains: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Within-chain variance, and the estimate of the posterior's that overstates it before convergence."""
    n = chains.shape[1]
    within = chains.var(1).mean(0)
    return within, within * (n - 1) / n + chains.mean(1).var(0)


def split_r_hat(chains: torch.Tensor) -> torch.Tensor:
    """Square root of total over within variance of half-chains; near 1 when the chains have mixed.

    Parameters
    ----------
    chains : Tensor
        (chains, draws, ...), at least four draws.

    Returns
    -------
    Tensor
        (...) float64; below 1.01 is usually taken as good. NaN for chains that never move.

    Examples
    --------
    >>> stuck = torch.tensor([[0.0, 1.0, 0.0, 1.0], [9.0, 8.0, 9.0, 8.0]])
    >>> bool(split_r_hat(stuck) > 5)
    True
    """
    within, total = _variances(_halves(chains))
    return (total / within).sqrt()


def effective_sample_size(chains: torch.Tensor) -> torch.Tensor:
    """Number of independent draws whose mean would vary as much as that of the chains.

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
    >>> bool(1000 < effective_sample_size(draws) < 3000)
    True
    """
    halves = _halves(chains)
    m, n = halves.shape[:2]
    within, total = _variances(halves)
    centred = halves - halves.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, 2 * n, dim=1)
    covariance = torch.fft.irfft(spectrum * spectrum.conj(), 2 * n, dim=1)[:, :n].mean(0) / n
    correlation = 1 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: n // 2 * 2].reshape(n // 2, 2, *correlation.shape[1:]).sum(1)
    # Sums of neighbours are positive and fall for a reversible chain; where they stop to, noise begins.
    positive = (pairs > 0).to(torch.float64).cumprod(0)
    monotone = torch.cummin(pairs, 0).values * positive
    time = (2 * monotone.sum(0) - 1).clamp(min=1 / torch.tensor(float(m * n)).log10())
    size: torch.Tensor = m * n / time
    return size
