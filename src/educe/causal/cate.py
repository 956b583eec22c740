"""Learners of individual effects for a binary treatment, on one protocol: `fit(x, t, y)`, `predict(x, t)`, `effect(x)`.

`TARNet` and `CFR`: Shalit, Johansson and Sontag (2017), arXiv:1606.03976: one representation of the covariates, one
head per arm; CFR also pulls the arms' representations together, here by the linear or the Gaussian-kernel maximum mean
discrepancy. `DragonNet`: Shi, Blei and Veitch (2019), arXiv:1906.02120: a third head for the propensity, and optional
targeted regularisation. `TLearner`: any regressor with scikit-learn's `fit` and `predict`, once per arm.

All assume that the covariates hold every common cause of treatment and outcome; `educe.causal.VLUCI` adds one that is
not seen. No intervals here: see `educe.causal.average_effect`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from educe.causal._learner import Learner
from educe.causal._networks import Scale, perceptron, train
from educe.causal._observations import Floats, column, matrix, read_observations
from educe.core import Seed, UsageError

__all__ = ["CFR", "DragonNet", "TARNet", "TLearner"]


@dataclass(repr=False, eq=False)
class TARNet(Learner):
    """One representation of the covariates, one head per arm, squared loss.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the representation's layers; each head has one layer of the last width.
    epochs, batch : int
        Passes over the data, and units in a step.
    rate, weight_decay : float
        Of Adam; the rate falls to zero along a cosine.
    seed : int or Seed
        Source of weights and batches.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x = generator.normal(size=(400, 2))
    >>> t = (generator.random(400) < 0.5).astype(float)
    >>> model = TARNet(hidden=(16,), epochs=60, batch=50).fit(x, t, x[:, 0] + 2 * t)
    >>> bool(abs(model.effect(x).mean() - 2) < 0.2)
    True
    """

    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 150
    batch: int = 500
    rate: float = 3e-3
    weight_decay: float = 1e-4
    seed: int | Seed = 0

    def fit(self, x: Any, t: Any, y: Any) -> Self:
        """Learn both arms' outcomes.

        Parameters
        ----------
        x : array, tensor or data frame
            (n, d) covariates.
        t : array
            (n,) treatment, 0 or 1.
        y : array
            (n,) outcome.

        Raises
        ------
        UsageError
            A value is missing, a column is constant, an arm is (nearly) empty, or lengths differ.
        """
        seen = read_observations(x, t, y)
        root = Seed.of(self.seed).child(type(self).__name__)
        self._x_scale, self._y_scale = Scale.of(seen.x), Scale.of(seen.y)
        self._build(seen.x.shape[1], root.child("weights").torch())
        inputs, outcome = self._x_scale(seen.x), self._y_scale(seen.y)
        arm = torch.as_tensor(seen.t, dtype=torch.float32)
        share = float(seen.t.mean())
        self.losses_ = train(
            self._net.parameters(),
            lambda part, _: self._loss(inputs[part], arm[part], outcome[part], share),
            rows=len(arm),
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            weight_decay=self.weight_decay,
            seed=root,
        )
        return self

    def predict(self, x: Any, t: Any) -> Floats:
        """Return the outcome expected under a treatment.

        Parameters
        ----------
        x : array, tensor or data frame
            (n, d) covariates.
        t : int or array
            One treatment for all units, or (n,).

        Returns
        -------
        ndarray
            (n,).
        """
        self._require_fit("losses_")
        table = matrix(x, "x", len(self._x_scale.mean))
        arm = column(t, len(table), "t")
        with torch.no_grad():
            heads = self._heads(self._net["features"](self._x_scale(table))).double().numpy()
        chosen = np.where(arm == 1, heads[:, 1], heads[:, 0])
        return np.asarray(chosen * self._y_scale.width + self._y_scale.mean)

    def effect(self, x: Any) -> Floats:
        """Return the expected difference between treated and not treated.

        Parameters
        ----------
        x : array, tensor or data frame
            (n, d) covariates.

        Returns
        -------
        ndarray
            (n,).
        """
        return self.predict(x, 1) - self.predict(x, 0)

    def _build(self, inputs: int, generator: torch.Generator) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise UsageError(f"hidden={self.hidden} leaves no layer. Give widths such as (64, 64).")
        width = self.hidden[-1]
        self._net = torch.nn.ModuleDict({"features": perceptron(inputs, self.hidden, width, generator, last=False)})
        for name in ("control", "treated"):
            self._net[name] = perceptron(width, (width,), 1, generator)

    def _heads(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._net["control"](features), self._net["treated"](features)], dim=1)

    def _loss(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor, share: float) -> torch.Tensor:
        del share
        control, treated = self._heads(self._net["features"](x)).unbind(1)
        return (y - torch.where(t == 1, treated, control)).square().mean()


@dataclass(repr=False, eq=False)
class CFR(TARNet):
    """TARNet whose representation looks alike in both arms.

    Parameters
    ----------
    hidden, epochs, batch, rate, weight_decay, seed
        As for `TARNet`.
    balance : float
        Weight of the discrepancy between the arms; 0 is TARNet with arms of equal weight.
    discrepancy : {"linear", "rbf"}
        Distance of means, or maximum mean discrepancy with a Gaussian kernel of median width.

    Examples
    --------
    >>> CFR(balance=0.1)
    CFR(balance=0.1)
    """

    balance: float = 1.0
    discrepancy: str = "linear"

    def _build(self, inputs: int, generator: torch.Generator) -> None:
        if self.balance < 0 or self.discrepancy not in ("linear", "rbf"):
            raise UsageError(
                f"balance={self.balance}, discrepancy={self.discrepancy!r} is unknown. "
                "Give a balance >= 0, and 'linear' or 'rbf'."
            )
        super()._build(inputs, generator)

    def _loss(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor, share: float) -> torch.Tensor:
        features = self._net["features"](x)
        control, treated = self._heads(features).unbind(1)
        errors = (y - torch.where(t == 1, treated, control)).square()
        weights = t / (2 * share) + (1 - t) / (2 * (1 - share))
        distance = mean_discrepancy(features[t == 1], features[t == 0], self.discrepancy)
        return (weights * errors).mean() + self.balance * distance


def mean_discrepancy(a: torch.Tensor, b: torch.Tensor, kind: str) -> torch.Tensor:
    """Squared maximum mean discrepancy (biased form) of two samples; zero where one of them is empty."""
    if not len(a) or not len(b):
        return torch.zeros(())
    if kind == "linear":
        return (a.mean(0) - b.mean(0)).square().sum()
    both = torch.cat([a, b])
    squares = torch.cdist(both, both).square()
    kernel = torch.exp(-squares / squares.detach().median().clamp(min=1e-6))
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


@dataclass(repr=False, eq=False)
class DragonNet(TARNet):
    """TARNet with a head for the propensity, and optional targeted regularisation.

    Parameters
    ----------
    hidden, epochs, batch, rate, weight_decay, seed
        As for `TARNet`.
    propensity : float
        Weight of the propensity's cross-entropy.
    targeted : float
        Weight of targeted regularisation: a learned shift along t / e(x) - (1 - t) / (1 - e(x)), which is part of
        the prediction too. 0 leaves it out.

    Examples
    --------
    >>> DragonNet(targeted=1.0)
    DragonNet(targeted=1.0)
    """

    propensity: float = 1.0
    targeted: float = 0.0

    def _build(self, inputs: int, generator: torch.Generator) -> None:
        if self.propensity < 0 or self.targeted < 0:
            raise UsageError(f"propensity={self.propensity}, targeted={self.targeted} is negative. Give >= 0.")
        super()._build(inputs, generator)
        self._net["propensity"] = perceptron(self.hidden[-1], (), 1, generator)
        self._net.register_parameter("shift", torch.nn.Parameter(torch.zeros(())))

    def _heads(self, features: torch.Tensor) -> torch.Tensor:
        heads = super()._heads(features)
        if not self.targeted:
            return heads
        share = self._propensity(features)
        step = self._net.get_parameter("shift") * torch.stack([-1 / (1 - share), 1 / share], dim=1)
        return heads + step

    def _propensity(self, features: torch.Tensor) -> torch.Tensor:
        share: torch.Tensor = torch.sigmoid(self._net["propensity"](features).squeeze(1))
        return share.clamp(0.01, 0.99)

    def _loss(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor, share: float) -> torch.Tensor:
        del share
        features = self._net["features"](x)
        plain = super()._heads(features)
        chosen = torch.where(t == 1, plain[:, 1], plain[:, 0])
        loss = (y - chosen).square().mean()
        logits = self._net["propensity"](features).squeeze(1)
        loss = loss + self.propensity * torch.nn.functional.binary_cross_entropy_with_logits(logits, t)
        if self.targeted:
            shifted = self._heads(features)
            loss = loss + self.targeted * (y - torch.where(t == 1, shifted[:, 1], shifted[:, 0])).square().mean()
        return loss


@dataclass(repr=False, eq=False)
class TLearner(Learner):
    """Two copies of any regressor, one per arm.

    Parameters
    ----------
    regressor : object
        With scikit-learn's ``fit(x, y)`` and ``predict(x)``; copied, never fitted itself.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> x = np.arange(40.0).reshape(-1, 1)
    >>> t = np.arange(40) % 2
    >>> [round(float(e), 6) for e in TLearner(LinearRegression()).fit(x, t, x[:, 0] * (1 + t)).effect([[3.0]])]
    [3.0]
    """

    regressor: Any

    def fit(self, x: Any, t: Any, y: Any) -> Self:
        """Fit one copy per arm.

        Parameters
        ----------
        x, t, y
            As for `TARNet.fit`.
        """
        if not (hasattr(self.regressor, "fit") and hasattr(self.regressor, "predict")):
            raise UsageError(f"{self.regressor!r} has no fit and predict. Give a regressor.")
        seen = read_observations(x, t, y)
        self.n_features_in_ = seen.x.shape[1]
        self.regressors_ = tuple(
            copy.deepcopy(self.regressor).fit(seen.x[seen.t == arm], seen.y[seen.t == arm]) for arm in (0, 1)
        )
        return self

    def predict(self, x: Any, t: Any) -> Floats:
        """Return the outcome expected under a treatment.

        Parameters
        ----------
        x, t
            As for `TARNet.predict`.
        """
        self._require_fit("regressors_")
        table = matrix(x, "x", self.n_features_in_)
        arm = column(t, len(table), "t")
        control, treated = (np.asarray(model.predict(table), dtype=np.float64) for model in self.regressors_)
        return np.asarray(np.where(arm == 1, treated, control))

    def effect(self, x: Any) -> Floats:
        """Return the expected difference between treated and not treated.

        Parameters
        ----------
        x
            As for `TARNet.predict`.
        """
        return self.predict(x, 1) - self.predict(x, 0)
