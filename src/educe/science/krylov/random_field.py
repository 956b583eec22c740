"""Periodic Gaussian random fields by a spectral sum: the random coefficients of Darcy and Helmholtz data sets.

The mode with wave vector q has standard deviation proportional to (4 pi^2 |q|^2 + tau^2)^(-alpha / 2), scaled by
tau^(alpha - 1); the constant mode is zero. This is the law that is customary for training neural operators (Li et al.
2021, arXiv:2010.08895, and Wang et al. 2024, arXiv:2401.09516 with alpha = 2.5, tau = 7).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError

__all__ = ["gaussian_random_field"]


def gaussian_random_field(
    grid: int, *, alpha: float = 2.5, tau: float = 7.0, seed: int | Seed = 0
) -> npt.NDArray[np.float64]:
    """Draw a periodic Gaussian field on the unit square.

    Parameters
    ----------
    grid : int
        Points per side, >= 2.
    alpha : float
        Smoothness, > 1.
    tau : float
        Inverse length, > 0.
    seed : int or Seed
        Root of the draw.

    Returns
    -------
    ndarray
        (grid, grid) float64 with mean zero over the square.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> field = gaussian_random_field(16)
    >>> field.shape, abs(round(float(field.mean()), 12))
    ((16, 16), 0.0)
    """
    if grid < 2 or not alpha > 1 or not tau > 0:
        raise UsageError(f"grid={grid}, alpha={alpha}, tau={tau} give no field. Give grid >= 2, alpha > 1, tau > 0.")
    wave = np.fft.fftfreq(grid, 1 / grid)
    squared = wave[:, None] ** 2 + wave[None, :] ** 2
    deviation = tau ** (alpha - 1) * (4 * np.pi**2 * squared + tau**2) ** (-alpha / 2)
    deviation[0, 0] = 0.0
    white = np.fft.fft2(Seed.of(seed).child("gaussian-random-field").numpy().standard_normal((grid, grid)))
    # The transform of unit white noise has modes of standard deviation `grid`; the inverse divides by grid^2.
    return np.asarray(np.fft.ifft2(white * deviation).real * grid)
