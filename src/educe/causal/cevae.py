"""Causal effect variational autoencoder: covariates as noisy proxies of a hidden confounder.

Source: Louizos et al. (2017), arXiv:1705.08821. A normal z causes covariates, treatment and outcome; the guide
q(z | x, t, y) sees all of them, and two auxiliary networks q(t | x), q(y | x, t) stand in for treatment and outcome of
units whose own are unknown. Model and guide are programs of `educe.prob`, the bound is its `elbo`.

Covariates are modelled as normal, whatever they are; there is no early stopping. The effect is not identified in
general, and the posterior of z may stay unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from educe.causal._learner import Learner
from educe.causal._networks import Scale, perceptron, train
from educe.causal._observations import Floats, column, matrix, read_observations
from educe.core import Seed, UsageError
from educe.prob import BernoulliLogits, Normal, observe, program
from educe.prob.vi import E, Objective, elbo

__all__ = ["CEVAE"]


@dataclass(repr=False, eq=False)
class CEVAE(Learner):
    """A learner of effects whose covariates are proxies of what confounds.

    Parameters
    ----------
    latent : int
        Dimensions of the confounder.
    hidden : tuple of int
        Widths of all networks' layers.
    epochs, batch : int
        Passes over the data, and units in a step.
    rate, weight_decay : float
        Of Adam; the rate falls to zero along a cosine.
    draws : int
        Draws of the confounder that a prediction averages, >= 1.
    seed : int or Seed
        Source of weights, batches and draws.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x, t = generator.normal(size=(200, 3)), np.arange(200) % 2
    >>> CEVAE(latent=2, hidden=(16,), epochs=5).fit(x, t, x[:, 0] + t).effect(x).shape
    (200,)
    """

    latent: int = 20
    hidden: tuple[int, ...] = (200, 200, 200)
    epochs: int = 100
    batch: int = 100
    rate: float = 1e-3
    weight_decay: float = 1e-4
    draws: int = 20
    seed: int | Seed = 0

    def fit(self, x: Any, t: Any, y: Any) -> Self:
        """Learn model, guide and the networks that stand in for unknown treatments and outcomes.

        Parameters
        ----------
        x, t, y
            As for `TARNet.fit`.
        """
        if self.latent < 1 or self.draws < 1 or not self.hidden or min(self.hidden) < 1:
            raise UsageError(
                f"latent={self.latent}, draws={self.draws}, hidden={self.hidden} is out of range. "
                "Give numbers >= 1 and at least one layer."
            )
        seen = read_observations(x, t, y)
        root = Seed.of(self.seed).child("CEVAE")
        self._x_scale, self._y_scale = Scale.of(seen.x), Scale.of(seen.y)
        d, generator = seen.x.shape[1], root.child("weights").torch()
        sizes = {
            "proxies": (self.latent, 2 * d),
            "choice": (self.latent, 1),
            "outcome": (self.latent, 2),
            "guide": (d + 2, 2 * self.latent),
            "choice given x": (d, 1),
            "outcome given x": (d, 2),
        }
        self._net = torch.nn.ModuleDict(
            {name: perceptron(a, self.hidden, b, generator) for name, (a, b) in sizes.items()}
        )
        rows = [self._x_scale(seen.x), torch.as_tensor(seen.t, dtype=torch.float32), self._y_scale(seen.y)]
        bound = E(self._objective(), broadcast=True)

        def loss(part: torch.Tensor, seed: Seed) -> torch.Tensor:
            x_part, t_part, y_part = (row[part] for row in rows)
            stand_in = BernoulliLogits(self._net["choice given x"](x_part).squeeze(1)).log_prob(t_part)
            expected = _arm(self._net["outcome given x"](x_part), t_part)
            stand_in = stand_in - 0.5 * (y_part - expected).square()
            return -bound.surrogate(rows=[x_part, t_part, y_part], seed=seed) - stand_in.mean()

        self.losses_ = train(
            self._net.parameters(),
            loss,
            rows=len(seen.t),
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            weight_decay=self.weight_decay,
            seed=root,
        )
        return self

    def predict(self, x: Any, t: Any) -> Floats:
        """Return the outcome expected under a treatment, treatment and outcome as they were being unknown.

        Parameters
        ----------
        x, t
            As for `TARNet.predict`.
        """
        both = self._outcomes(x)
        return np.asarray(np.where(column(t, len(both), "t") == 1, both[:, 1], both[:, 0]))

    def effect(self, x: Any) -> Floats:
        """Return the expected difference between treated and not treated.

        Parameters
        ----------
        x
            As for `TARNet.predict`.
        """
        both = self._outcomes(x)
        return np.asarray(both[:, 1] - both[:, 0])

    def _outcomes(self, x: Any) -> Floats:
        """Expected outcomes of both arms (n, 2); every call draws the same confounders."""
        self._require_fit("losses_")
        inputs = self._x_scale(matrix(x, "x", len(self._x_scale.mean)))
        generator = Seed.of(self.seed).child("CEVAE", "predict").torch()
        total = torch.zeros(len(inputs), 2)
        with torch.no_grad():
            share = torch.sigmoid(self._net["choice given x"](inputs).squeeze(1))
            expected = self._net["outcome given x"](inputs)
            for _ in range(self.draws):
                t = (torch.rand(share.shape, generator=generator) < share).float()
                y = _arm(expected, t) + torch.randn(share.shape, generator=generator)
                loc, scale = self._guide(inputs, t, y)
                z = loc + scale * torch.randn(loc.shape, generator=generator)
                total += self._net["outcome"](z) / self.draws
        return np.asarray(total.double().numpy() * self._y_scale.width + self._y_scale.mean)

    def _guide(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loc, log_scale = self._net["guide"](torch.cat([x, t[:, None], y[:, None]], dim=1)).chunk(2, 1)
        return loc, log_scale.clamp(-6, 3).exp()

    def _objective(self) -> Objective:
        @program
        def model(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            z = yield Normal(torch.zeros(self.latent), torch.ones(self.latent)) @ "z"
            loc, log_scale = self._net["proxies"](z).chunk(2, -1)
            yield observe(Normal(loc, log_scale.clamp(-3, 3).exp()), x)
            yield observe(BernoulliLogits(self._net["choice"](z).squeeze(-1)), t)
            # Unit noise, as published.
            yield observe(Normal(_arm(self._net["outcome"](z), t), torch.ones(())), y)

        @program
        def guide(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            yield Normal(*self._guide(x, t, y)) @ "z"

        return elbo(model, guide)


def _arm(both: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.where(t == 1, both[..., 1], both[..., 0])
