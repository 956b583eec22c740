"""Conditional diffusion on true signals: what `ForwardDiffusion` is measured against where signals are known.

Source: Ho et al. (2020), arXiv:2006.11239, with the clean signal as the network's output. It needs what an inverse
problem lacks, and so serves simulations alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from educe.core.seed import Seed
from educe.prob.forward_diffusion import Denoiser, InverseChain, Views

__all__ = ["SignalDiffusion"]


class SignalDiffusion(InverseChain):
    """Conditional diffusion on the signals themselves: the oracle that has what is usually not to be had.

    Parameters
    ----------
    denoiser : callable
        ``(o_ctx, phi_ctx, s_t, phi_trg, t) -> signals``, `s_t` in standard units. A module when trained.
    size : int
        Entries of a signal.
    steps : int
        Length of the chain, >= 1.

    Examples
    --------
    >>> import torch
    >>> from educe.prob import SignalDiffusion
    >>> model = SignalDiffusion(lambda o_ctx, phi_ctx, s, phi, t: torch.ones_like(s), size=3, steps=5)
    >>> model.sample(torch.zeros(2), 0.0, 0.0, 1).values["signal"].tolist()
    [[1.0, 1.0, 1.0]]
    """

    def __init__(self, denoiser: Denoiser, size: int, steps: int = 50) -> None:
        super().__init__(denoiser, steps)
        self.size = size

    def fit(
        self,
        signals: Tensor,
        views: Views,
        steps: int = 3000,
        *,
        batch: int = 128,
        rate: float = 1e-3,
        seed: int | Seed = 0,
    ) -> Self:
        """Train the denoiser on true signals and their context observations.

        Parameters
        ----------
        signals : Tensor
            (n, size).
        views : Views
            Their observations; only the context and the target's parameter are used.
        steps, batch : int
            Gradient steps and rows per step.
        rate : float
            Adam's first learning rate; it falls to zero as a cosine.
        seed : int or Seed
            Root of all draws.

        Returns
        -------
        SignalDiffusion
            Itself.
        """
        self._units(signals)

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            t = torch.randint(1, self.steps + 1, (len(rows),), generator=generator)
            noisy = self._noised((signals[rows] - self.centre) / self.scale, t, generator)
            guess = self.denoiser(views.o_ctx[rows], views.phi_ctx[rows], noisy, views.phi_trg[rows], t / self.steps)
            return ((guess - signals[rows]) / self.scale).square().mean()

        self._train(loss, len(signals), steps, batch, rate, Seed.of(seed))
        return self

    def _draw(self, o_ctx: Tensor, phi_ctx: Tensor, phi_target: Tensor, seeds: Sequence[Seed]) -> Tensor:
        def measure(current: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            signal = self.denoiser(o_ctx, phi_ctx, current, phi_target, t)
            return signal, (signal - self.centre) / self.scale

        return self._chain(measure, self.size, seeds)
