"""Parallel projections of a picture, a network that inverts them, and the exact posterior over listed scenes.

Projections are those of Radon (1917), seen by detector bins with a Gaussian response; they are differentiable in the
picture and the angle. Sources: Tewari et al. (2023), arXiv:2306.11719, for what they serve. Reconstruction formulas
such as filtered back-projection are not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from educe.core.errors import UsageError
from educe.core.posterior import Posterior

__all__ = ["ViewDenoiser", "pixel_centres", "posterior_reference", "radon"]

T = TypeVar("T")


def pixel_centres(size: int) -> Tensor:
    """Return the centres of the pixels of the square [-1, 1] x [-1, 1].

    Parameters
    ----------
    size : int
        Pixels along a side, >= 1.

    Returns
    -------
    Tensor
        (size * size, 2) of x and y, y the slow axis.

    Examples
    --------
    >>> from educe.prob import pixel_centres
    >>> pixel_centres(2).tolist()
    [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """
    if size < 1:
        raise UsageError(f"size={size} leaves no pixel. Give at least 1.")
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], 1)


def radon(size: int, bins: int, kernel: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Make the parallel projection of pictures on the square [-1, 1] x [-1, 1].

    Parameters
    ----------
    size : int
        Pixels along a side.
    bins : int
        Detector bins, whose centres span [-1.2, 1.2], >= 2.
    kernel : float
        Standard deviation of a bin's response, > 0.

    Returns
    -------
    callable
        ``(pictures (n, size * size), angles (n,)) -> (n, bins)``: at angle 0 a bin sums over y, at pi / 2 over x.

    Raises
    ------
    UsageError
        Fewer than two bins, or a kernel that is not positive.

    Examples
    --------
    >>> import torch
    >>> from educe.prob import radon
    >>> project = radon(8, 12, 0.2)
    >>> picture = torch.ones(2, 64)
    >>> views = project(picture, torch.tensor([0.0, torch.pi / 2]))
    >>> bool(torch.allclose(views[0], views[1], atol=1e-5))
    True
    """
    if bins < 2 or not kernel > 0:
        raise UsageError(f"bins={bins}, kernel={kernel} detect nothing. Give two or more bins and a positive kernel.")
    centres, area = pixel_centres(size), (2 / size) ** 2
    detector = torch.linspace(-1.2, 1.2, bins)
    height = area / (kernel * math.sqrt(2 * math.pi))

    def project(pictures: Tensor, angles: Tensor) -> Tensor:
        if pictures.ndim != 2 or pictures.shape[1] != len(centres) or angles.shape != (len(pictures),):
            raise UsageError(
                f"Pictures {tuple(pictures.shape)} and angles {tuple(angles.shape)} do not fit. "
                f"Give (n, {len(centres)}) and (n,)."
            )
        # One angle for all, the common case, needs one matrix.
        shared = len(angles) > 0 and not angles.requires_grad and bool((angles == angles[0]).all())
        used = angles[:1] if shared else angles
        place = torch.stack([used.cos(), used.sin()], 1) @ centres.T
        response = height * torch.exp(-0.5 * ((detector[None, :, None] - place[:, None, :]) / kernel) ** 2)
        return pictures @ response[0].T if shared else torch.einsum("nbp,np->nb", response, pictures)

    return project


class ViewDenoiser(nn.Module):
    """Network from a context view, a noisy target and a time to a signal of positive entries.

    Parameters
    ----------
    bins : int
        Entries of the context view.
    noisy : int
        Entries of what is diffused: `bins` for `ForwardDiffusion`, the signal's size for `SignalDiffusion`.
    size : int
        Entries of the signal.
    width, blocks : int
        Hidden units and residual blocks.

    Examples
    --------
    >>> import torch
    >>> from educe.prob import ViewDenoiser
    >>> network = ViewDenoiser(bins=4, noisy=4, size=9, width=8)
    >>> angle = torch.zeros(2)
    >>> network(torch.zeros(2, 4), angle, torch.zeros(2, 4), angle, torch.ones(2)).shape
    torch.Size([2, 9])
    """

    def __init__(self, bins: int, noisy: int, size: int, width: int = 192, blocks: int = 2) -> None:
        super().__init__()
        self.enter = nn.Linear(bins + noisy + 4 + 4 + 8, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(nn.SiLU(), nn.Linear(width, size), nn.Softplus())

    def forward(self, o_ctx: Tensor, phi_ctx: Tensor, noisy: Tensor, phi_trg: Tensor, t: Tensor) -> Tensor:
        """Propose a signal.

        Parameters
        ----------
        o_ctx : Tensor
            (n, bins).
        phi_ctx, phi_trg, t : Tensor
            (n,) angles of context and target, and time in (0, 1].
        noisy : Tensor
            (n, noisy).

        Returns
        -------
        Tensor
            (n, size), positive.
        """
        waves = [f(k * phi)[:, None] for phi in (phi_ctx, phi_trg) for k in (1, 2) for f in (torch.cos, torch.sin)]
        times = [f(math.pi / 2 * 2**k * t)[:, None] for k in range(4) for f in (torch.cos, torch.sin)]
        hidden = self.enter(torch.cat([o_ctx, noisy, *waves, *times], 1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        signal: Tensor = self.leave(hidden)
        return signal


def posterior_reference(scenes: Sequence[T], observations: Tensor, observed: Tensor, noise: float) -> Posterior[T]:
    """Enumerate the posterior over listed scenes, equally likely before, under Gaussian noise.

    Parameters
    ----------
    scenes : sequence of object
        All scenes there are.
    observations : Tensor
        (scenes, bins) noiseless observation of each.
    observed : Tensor
        (bins,) what was seen.
    noise : float
        Standard deviation of the noise per bin, > 0.

    Returns
    -------
    Posterior
        Exact weights.

    Raises
    ------
    UsageError
        Shapes do not fit, or the noise is not positive.

    Examples
    --------
    >>> import torch
    >>> from educe.prob import posterior_reference
    >>> exact = posterior_reference(["left", "right"], torch.tensor([[0.0], [1.0]]), torch.tensor([0.5]), 0.1)
    >>> exact.probabilities.tolist()
    [0.5, 0.5]
    """
    if not noise > 0:
        raise UsageError(f"noise={noise} is not positive. Give the standard deviation per bin.")
    if observations.shape != (len(scenes), *observed.shape) or observed.ndim != 1:
        raise UsageError(
            f"{len(scenes)} scenes, observations {tuple(observations.shape)} and observed {tuple(observed.shape)} "
            "do not fit. Give one row of bins per scene."
        )
    return Posterior(list(scenes), -0.5 * ((observations - observed).double() / noise).square().sum(1))
