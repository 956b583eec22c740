"""Diffusion over signals that are never seen: the measurement process stands inside the denoiser.

Source: Tewari et al. (2023), arXiv:2306.11719. The chain runs on the target observation alone. At each step the
denoiser proposes a whole signal, the differentiable forward model measures it, and that measurement is the usual
estimate of the clean observation (Ho et al. 2020, equation 7). Training compares measurements with observations at the
noisy view and at a new view of the same proposal, and never needs a signal. The last proposal is the sample.

What no measurement sees is not random in the samples: a null space that all views share gets one deterministic filling.
Beside it stand the same network without noise (`DeterministicInverse`) and a diffusion on true signals, an oracle
(`SignalDiffusion`). Guidance, thresholding and image encoders of the published program are not here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from educe.core.errors import UsageError
from educe.core.ledger import Ledger
from educe.core.posterior import Posterior
from educe.core.seed import Seed

__all__ = ["DeterministicInverse", "ForwardDiffusion", "Views", "cosine_schedule"]

Forward = Callable[[Tensor, Tensor], Tensor]
Denoiser = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
LOSSES = ("target", "novel", "context")


class Views(NamedTuple):
    """Observations of unknown signals, one row per signal.

    Parameters
    ----------
    o_ctx, o_trg, o_nov : (n, bins) float
        What was measured at the context, the target and a new view.
    phi_ctx, phi_trg, phi_nov : (n,) float
        The parameters of those measurements, such as angles.
    """

    o_ctx: Tensor
    phi_ctx: Tensor
    o_trg: Tensor
    phi_trg: Tensor
    o_nov: Tensor
    phi_nov: Tensor


def cosine_schedule(steps: int) -> Tensor:
    """Return the shares of signal variance that are left after 0, ..., `steps` steps (Nichol and Dhariwal 2021).

    Parameters
    ----------
    steps : int
        Length of the chain, >= 1.

    Returns
    -------
    Tensor
        (steps + 1,) from 1 down to about 0.

    Raises
    ------
    UsageError
        `steps` is below 1.

    Examples
    --------
    >>> from educe.prob import cosine_schedule
    >>> [round(share, 3) for share in cosine_schedule(2).tolist()]
    [1.0, 0.494, 0.0]
    """
    if steps < 1:
        raise UsageError(f"steps={steps} make no chain. Give at least one step.")
    shares = torch.cos((torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return (shares / shares[0]).clamp(0, 1).float()


class InverseChain:
    """What the three methods share: a denoiser, a chain, units of the diffused quantity, and a training loop."""

    def __init__(self, denoiser: Denoiser, steps: int) -> None:
        self.denoiser = denoiser
        self.steps = steps
        self.shares = cosine_schedule(steps)
        # One centre and one scale for all entries: noise of size 1 must neither drown nor miss the data.
        self.centre, self.scale = 0.0, 1.0
        self.losses_: list[float] = []

    def _units(self, values: Tensor) -> None:
        if values.ndim != 2 or not bool(torch.isfinite(values).all()):
            raise UsageError(f"Data of shape {tuple(values.shape)} are not finite rows. Give (n, size) finite numbers.")
        self.centre, self.scale = float(values.mean()), max(float(values.std()), 1e-6)

    def _noised(self, values: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        share = self.shares[t][:, None]
        return share.sqrt() * values + (1 - share).sqrt() * torch.randn(values.shape, generator=generator)

    def _train(
        self,
        loss: Callable[[Tensor, torch.Generator], Tensor],
        rows: int,
        steps: int,
        batch: int,
        rate: float,
        seed: Seed,
    ) -> None:
        if not isinstance(self.denoiser, torch.nn.Module):
            raise UsageError(f"{self.denoiser!r} has nothing to train. Give a torch.nn.Module.")
        if steps < 1 or batch < 1 or not rows:
            raise UsageError(f"steps={steps}, batch={batch}, rows={rows}: nothing to do. Give at least one of each.")
        optimiser = torch.optim.Adam(self.denoiser.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        generator = seed.child("train").torch()
        for _ in range(steps):
            value = loss(torch.randint(rows, (batch,), generator=generator), generator)
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            self.losses_.append(float(value.detach()))

    def _chain(
        self, measure: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], size: int, seeds: Sequence[Seed]
    ) -> Tensor:
        """Run the ancestral sampler; `measure` gives a signal and the estimate of what is diffused, in its units."""
        # Each row has its own stream: a sample does not depend on how many are drawn beside it.
        noise = torch.stack([torch.randn(self.steps, size, generator=seed.torch()) for seed in seeds])
        current, signal = noise[:, 0], noise[:, 0]
        for t in range(self.steps, 0, -1):
            signal, clean = measure(current, torch.full((len(seeds),), t / self.steps))
            if t == 1:
                break
            now, before = self.shares[t], self.shares[t - 1]
            keep = torch.clamp(now / before, min=1e-3)
            mean = (before.sqrt() * (1 - keep) * clean + keep.sqrt() * (1 - before) * current) / (1 - now)
            spread = ((1 - keep) * (1 - before) / (1 - now)).sqrt()
            current = mean + spread * noise[:, self.steps - t + 1]
        return signal

    def draw(self, o_ctx: Tensor, phi_ctx: Tensor, phi_target: Tensor, *, seed: int | Seed = 0) -> Tensor:
        """Draw one signal for each row of observations.

        Parameters
        ----------
        o_ctx : Tensor
            (n, bins) observations.
        phi_ctx, phi_target : Tensor
            (n,) parameters of what was measured, and of the view on which the chain runs.
        seed : int or Seed
            Root of the rows' streams.

        Returns
        -------
        Tensor
            (n, size) signals.
        """
        if o_ctx.ndim != 2 or phi_ctx.shape != (len(o_ctx),) or phi_target.shape != (len(o_ctx),):
            raise UsageError(
                f"Shapes {tuple(o_ctx.shape)}, {tuple(phi_ctx.shape)}, {tuple(phi_target.shape)} do not fit. "
                "Give o_ctx as (n, bins) and one parameter per row."
            )
        root = Seed.of(seed)
        with torch.no_grad():
            return self._draw(o_ctx, phi_ctx, phi_target, [root.child("row", i) for i in range(len(o_ctx))])

    def sample(
        self, o_ctx: Tensor, phi_ctx: float, phi_target: float, n: int, *, seed: int | Seed = 0
    ) -> Posterior[dict[str, Tensor]]:
        """Draw signals that explain one observation.

        Parameters
        ----------
        o_ctx : Tensor
            (bins,) the observation.
        phi_ctx, phi_target : float
            Parameters of what was measured, and of the view on which the chain runs.
        n : int
            Number of samples, >= 1.
        seed : int or Seed
            Root of the samples' streams.

        Returns
        -------
        Posterior
            Values ``{"signal": (n, size)}`` of equal weight.
        """
        if n < 1:
            raise UsageError(f"n={n} samples are no posterior. Give at least one.")
        start = time.perf_counter()
        rows = o_ctx.reshape(1, -1).expand(n, -1)
        signals = self.draw(rows, torch.full((n,), phi_ctx), torch.full((n,), phi_target), seed=seed)
        ledger = Ledger(calls=self.steps, seconds=time.perf_counter() - start)
        return Posterior({"signal": signals}, torch.zeros(n, dtype=torch.float64), ledger=ledger)

    def _draw(self, o_ctx: Tensor, phi_ctx: Tensor, phi_target: Tensor, seeds: Sequence[Seed]) -> Tensor:
        raise NotImplementedError


class ForwardDiffusion(InverseChain):
    """Conditional diffusion over unseen signals, trained on their measurements.

    Parameters
    ----------
    forward : callable
        Differentiable measurement ``(signals (n, size), phi (n,)) -> (n, bins)``.
    denoiser : callable
        ``(o_ctx, phi_ctx, o_t, phi_trg, t) -> signals``; `o_t` in standard units, `t` in (0, 1]. A module when trained.
    steps : int
        Length of the chain, >= 1.
    losses : sequence of str
        Of "target", "novel" and "context"; the last asks the proposal of the context alone (no noisy target) as well.

    Raises
    ------
    UsageError
        An unknown loss or none, or no steps.

    Examples
    --------
    The best denoiser of a standard normal signal that is measured as it is, with no context:

    >>> import torch
    >>> from educe.prob import ForwardDiffusion, cosine_schedule
    >>> shares = cosine_schedule(100)
    >>> best = lambda o_ctx, phi_ctx, o, phi, t: o * shares[(t * 100).round().long()].sqrt()[:, None]
    >>> model = ForwardDiffusion(lambda signal, phi: signal, best, steps=100)
    >>> samples = model.sample(torch.zeros(1), 0.0, 0.0, 500).values["signal"]
    >>> abs(float(samples.std()) - 1) < 0.2
    True
    """

    def __init__(
        self, forward: Forward, denoiser: Denoiser, steps: int = 50, losses: Sequence[str] = ("target", "novel")
    ) -> None:
        super().__init__(denoiser, steps)
        wrong = [name for name in losses if name not in LOSSES]
        if wrong or not losses:
            raise UsageError(f"losses={tuple(losses)!r} cannot be read. Use some of {LOSSES}.")
        self.forward = forward
        self.losses = tuple(losses)

    def fit(
        self, views: Views, steps: int = 3000, *, batch: int = 128, rate: float = 1e-3, seed: int | Seed = 0
    ) -> Self:
        """Train the denoiser on measurements.

        Parameters
        ----------
        views : Views
            Observations, one row per signal.
        steps, batch : int
            Gradient steps and rows per step.
        rate : float
            Adam's first learning rate; it falls to zero as a cosine.
        seed : int or Seed
            Root of all draws.

        Returns
        -------
        ForwardDiffusion
            Itself, with ``losses_`` per step.
        """
        self._units(views.o_trg)
        self._train(
            lambda rows, generator: self.loss(Views(*(part[rows] for part in views)), generator),
            len(views.o_trg), steps, batch, rate, Seed.of(seed),
        )  # fmt: skip
        return self

    def loss(self, views: Views, generator: torch.Generator) -> Tensor:
        """Return the mean squared error of measurements, in standard units, at random steps of the chain.

        Parameters
        ----------
        views : Views
            A batch.
        generator : Generator
            Source of steps and noise.

        Returns
        -------
        Tensor
            A scalar.
        """
        t = torch.randint(1, self.steps + 1, (len(views.o_trg),), generator=generator)
        noisy = self._noised((views.o_trg - self.centre) / self.scale, t, generator)
        return sum(self._errors(views, noisy, t / self.steps), torch.zeros(()))

    def _errors(self, views: Views, noisy: Tensor, t: Tensor) -> Iterator[Tensor]:
        signal = self.denoiser(views.o_ctx, views.phi_ctx, noisy, views.phi_trg, t)
        if "target" in self.losses:
            yield ((self.forward(signal, views.phi_trg) - views.o_trg) / self.scale).square().mean()
        if "novel" in self.losses:
            yield ((self.forward(signal, views.phi_nov) - views.o_nov) / self.scale).square().mean()
        if "context" in self.losses:
            alone = self.denoiser(
                views.o_ctx, views.phi_ctx, torch.zeros_like(noisy), views.phi_trg, torch.ones_like(t)
            )
            yield ((self.forward(alone, views.phi_trg) - views.o_trg) / self.scale).square().mean()

    def measure(self, posterior: Posterior[Any], phi: float) -> Tensor:
        """Measure every signal of a posterior at one parameter.

        Parameters
        ----------
        posterior : Posterior
            What `sample` returned.
        phi : float
            The parameter, such as an angle.

        Returns
        -------
        Tensor
            (n, bins).
        """
        if not isinstance(posterior.values, dict) or "signal" not in posterior.values:
            raise UsageError("This posterior holds no signals. Give what sample() returned.")
        signals: Tensor = posterior.values["signal"]
        return self.forward(signals, torch.full((len(signals),), phi))

    def _draw(self, o_ctx: Tensor, phi_ctx: Tensor, phi_target: Tensor, seeds: Sequence[Seed]) -> Tensor:
        def measure(current: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            signal = self.denoiser(o_ctx, phi_ctx, current, phi_target, t)
            return signal, (self.forward(signal, phi_target) - self.centre) / self.scale

        return self._chain(measure, o_ctx.shape[1], seeds)


class DeterministicInverse(ForwardDiffusion):
    """The same network and losses without a noisy target: one signal for each observation, a mean of many.

    Parameters
    ----------
    forward, denoiser, losses
        As in `ForwardDiffusion`; the denoiser is asked with zeros for the target at t = 1.

    Examples
    --------
    >>> import torch
    >>> from educe.prob import DeterministicInverse
    >>> model = DeterministicInverse(lambda signal, phi: signal, lambda o_ctx, phi_ctx, o, phi, t: o_ctx)
    >>> model.sample(torch.tensor([2.0]), 0.0, 0.0, 2).values["signal"].tolist()
    [[2.0], [2.0]]
    """

    def __init__(self, forward: Forward, denoiser: Denoiser, losses: Sequence[str] = ("target", "novel")) -> None:
        super().__init__(forward, denoiser, 1, losses)

    def _noised(self, values: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        return torch.zeros_like(values)

    def _draw(self, o_ctx: Tensor, phi_ctx: Tensor, phi_target: Tensor, seeds: Sequence[Seed]) -> Tensor:
        return self.denoiser(o_ctx, phi_ctx, torch.zeros_like(o_ctx), phi_target, torch.ones(len(o_ctx)))
