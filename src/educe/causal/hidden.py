"""A hidden confounder, inferred for every unit and handed to any learner of effects.

Source: Zhao, Huang, Wu, Peng and Sun (2023), VLUCI, arXiv:2308.00904. Only its abstract could be consulted; the
factorisation and the two bounds below are our reading of it. Observed covariates x and a hidden c, independent of each
other, both cause treatment and outcome: c ~ N(0, I), t | x, c logistic (or normal), y | x, t, c normal around one
network per arm (or logistic). The guides q(c | x, t, y) and, for the double bound, q(c | x, t) are networks; model
and guides are programs of `educe.prob`, the bounds are its `elbo`.

Without proxies or instruments a hidden confounder is not identified without assumptions on shapes. Here a normal c,
cut by a logistic choice, skews the outcome oppositely in the two arms, which is what betrays it (the selection model of
Heckman, 1979; `educe.causal.heckman`). Where c is not normal, or x tells something about it, nothing is promised, and
where there is no confounding one may be invented: read `sensitivity` beside every answer. No theorem stands behind it.

Not here: proxies of the confounder (`CEVAE`), time series, more than one treatment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from educe.causal._confounded_model import ConfoundedModel
from educe.causal._learner import Learner
from educe.causal._networks import Scale, train
from educe.causal._observations import Floats, Observations, column, matrix, read_observations
from educe.core import Ledger, Posterior, Seed, UsageError
from educe.prob.vi import E

__all__ = ["VLUCI"]

# Prior draws that are weighed by the treatment where a unit's outcome is unknown.
PRIOR_DRAWS = 512


@dataclass(repr=False, eq=False)
class VLUCI(Learner):
    """Variational learning of an unobserved confounder.

    Parameters
    ----------
    k : int
        Dimensions of the confounder.
    treatment : {"binary", "continuous"}
        0 and 1, or any number.
    outcome : {"normal", "bernoulli"}
        Any number, or 0 and 1.
    bound : {"single", "double"}
        One guide that sees treatment and outcome; or a second one that sees the treatment only and is the first one's
        prior.
    sigma_y : float
        Deviation of a normal outcome's noise in units of the outcome's deviation. Small on purpose: at 1 the networks
        explain the outcome without the confounder, and the method does nothing.
    learn_sigma : bool
        Learn that deviation from `sigma_y` on, instead of keeping it.
    strength : float, optional
        Fix the confounder's effect on a binary treatment's log-odds (its first dimension); learned when left out.
    hidden : tuple of int
        Widths of all networks' layers.
    epochs, batch : int
        Passes over the data, and units in a step.
    rate : float
        Of Adam; it falls to zero along a cosine.
    seed : int or Seed
        Source of weights, batches and draws.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x, c = generator.normal(size=(300, 2)), generator.normal(size=300)
    >>> t = (generator.logistic(size=300) < x[:, 0] + 1.5 * c).astype(float)
    >>> model = VLUCI(hidden=(16,), epochs=30).fit(x, t, x[:, 1] + t + 1.5 * c)
    >>> model.augment(x, t, x[:, 1] + t + 1.5 * c).shape
    (300, 3)
    """

    k: int = 1
    treatment: str = "binary"
    outcome: str = "normal"
    bound: str = "single"
    sigma_y: float = 0.13
    learn_sigma: bool = False
    strength: float | None = None
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 150
    batch: int = 500
    rate: float = 3e-3
    seed: int | Seed = 0

    def fit(self, x: Any, t: Any, y: Any) -> Self:
        """Learn model and guides.

        Parameters
        ----------
        x : array, tensor or data frame
            (n, d) observed covariates.
        t : array
            (n,) treatment.
        y : array
            (n,) outcome.

        Raises
        ------
        UsageError
            A parameter is out of range, a value is missing, a column is constant, an arm is (nearly) empty.
        """
        self._check()
        seen = read_observations(x, t, y, self.treatment, self.outcome)
        root = Seed.of(self.seed).child("VLUCI")
        self._scales = tuple(Scale.of(part) for part in seen)
        self._model = ConfoundedModel(
            seen.x.shape[1],
            self.k,
            self.hidden,
            binary_treatment=self.treatment == "binary",
            binary_outcome=self.outcome == "bernoulli",
            double=self.bound == "double",
            strength=self.strength,
            sigma=self.sigma_y,
            learn_sigma=self.learn_sigma,
            generator=root.child("weights").torch(),
        )
        rows = self._rows(seen)
        bounds = [E(objective, broadcast=True) for objective in self._model.objectives()]

        def loss(part: torch.Tensor, seed: Seed) -> torch.Tensor:
            batch = [row[part] for row in rows]
            values = [bound.surrogate(rows=batch, seed=seed.child("bound", i)) for i, bound in enumerate(bounds)]
            return -torch.stack(values).sum()

        start = time.perf_counter()
        self.losses_ = train(
            self._model.parameters(),
            loss,
            rows=len(seen.t),
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            weight_decay=0.0,
            seed=root,
        )
        self.ledger_ = Ledger(seconds=time.perf_counter() - start)
        return self

    def evidence(self, x: Any, t: Any, y: Any, n: int = 20) -> Floats:
        """Return a lower bound of log p(t, y | x) for each unit, outcomes in units of the fit's deviation.

        Parameters
        ----------
        x, t, y : array
            Units, as for `fit`.
        n : int
            Draws per unit, >= 1.

        Returns
        -------
        ndarray
            (units,) estimates of the bound; their mean is what `fit` maximised.
        """
        rows = self._rows(self._seen(x, t, y))
        seed = Seed.of(self.seed).child("evidence")
        total = torch.zeros(len(rows[0]))
        with torch.no_grad():
            for i, objective in enumerate(self._model.objectives()):
                total = total + E(objective, broadcast=True).samples(rows=rows, seed=seed.child("bound", i), n=n).mean(
                    0
                )
        return np.asarray(total.double().numpy())

    def posterior(self, x: Any, t: Any = None, y: Any = None, n: int = 100, seed: int | Seed = 0) -> Posterior[Any]:
        """Draw the units' confounders.

        Parameters
        ----------
        x : array
            Covariates of units, seen before or not.
        t : array, optional
            Treatments. Without them the draws are the prior's.
        y : array, optional
            Outcomes. Without them the confounder follows from the treatment alone: prior draws are weighed by the
            probability of each unit's treatment.
        n : int
            Draws, >= 1.
        seed : int or Seed
            Source of the draws.

        Returns
        -------
        Posterior
            Over mappings with one entry ``"c"``: (units, k). The sign of each dimension is arbitrary.
        """
        if n < 1:
            raise UsageError(f"n={n} asks for no draw. Give n >= 1.")
        self._require_fit("losses_")
        generator = Seed.of(seed).child("VLUCI", "posterior").torch()
        if t is None:
            if y is not None:
                raise UsageError("y without t says nothing about the confounder. Give the treatments too.")
            draws = torch.randn((n, len(matrix(x, "x", len(self._scales[0].mean))), self.k), generator=generator)
        elif y is None:
            draws = self._weighed_prior(x, t, n, generator)
        else:
            loc, scale = self._moments(self._seen(x, t, y))
            draws = loc + scale * torch.randn((n, *loc.shape), generator=generator)
        return Posterior({"c": draws.double()}, torch.zeros(n), ledger=self.ledger_)

    def augment(self, x: Any, t: Any, y: Any, *, draw: bool = True, seed: int | Seed = 0) -> Floats:
        """Put the inferred confounder beside the covariates: the inputs on which a base learner is fitted.

        Parameters
        ----------
        x, t, y : array
            Units, as for `fit`.
        draw : bool
            One posterior draw per unit; if False the posterior means. Draws follow the model's joint law, means are
            less spread than the confounder.
        seed : int or Seed
            Source of the draws.

        Returns
        -------
        ndarray
            (n, d + k).
        """
        if draw:
            values = self.posterior(x, t, y, 1, seed).values
            assert isinstance(values, dict)
            inferred = values["c"][0].numpy()
        else:
            self._require_fit("losses_")
            inferred = self._moments(self._seen(x, t, y))[0].double().numpy()
        return np.hstack([matrix(x), inferred])

    def effects(
        self, x: Any, t: Any = None, y: Any = None, n: int = 100, base: Any = None, seed: int | Seed = 0
    ) -> Floats:
        """Return individual effects of a binary treatment, averaged over each unit's confounder.

        Parameters
        ----------
        x, t, y, n, seed
            As for `posterior`.
        base : object, optional
            A learner that was fitted on `augment`; the model's own outcome networks when left out.

        Returns
        -------
        ndarray
            (n,).
        """
        draws = self._draws(x, t, y, n, seed)
        difference = self._under(x, 1.0, draws, base) - self._under(x, 0.0, draws, base)
        return np.asarray(difference.mean(axis=0))

    def counterfactual(
        self,
        x: Any,
        t: Any,
        y: Any,
        do: Any,
        base: Any = None,
        level: float = 0.9,
        n: int = 100,
        seed: int | Seed = 0,
    ) -> Posterior[Any]:
        """Predict the units' outcomes had they been treated otherwise, with intervals.

        Parameters
        ----------
        x, t, y : array
            Units with what happened to them; `y` may be None.
        do : float or array
            The treatment to set, for all of them or (n,) for each.
        base : object, optional
            A learner that was fitted on `augment`; the model's own outcome networks when left out.
        level : float
            Probability inside the intervals, in (0, 1).
        n : int
            Draws, >= 1.
        seed : int or Seed
            Source of the draws.

        Returns
        -------
        Posterior
            Over mappings with one entry ``"y"``: (units,). ``details["intervals"]`` lists ``[low, high]`` by unit; they
            cover the confounder and the outcome's noise, not the uncertainty of the networks, so they are too short.
        """
        if not 0 < level < 1:
            raise UsageError(f"level={level} is no probability strictly between 0 and 1. Give for instance 0.9.")
        outcomes = self._under(x, do, self._draws(x, t, y, n, seed), base)
        generator = Seed.of(seed).child("VLUCI", "outcome").numpy()
        if self.outcome == "normal":
            outcomes = outcomes + self.sigma_ * self._scales[2].width * generator.standard_normal(outcomes.shape)
        else:
            outcomes = (generator.random(outcomes.shape) < outcomes).astype(np.float64)
        tails = np.quantile(outcomes, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return Posterior(
            {"y": torch.as_tensor(outcomes)},
            torch.zeros(n),
            ledger=self.ledger_,
            details={"level": level, "intervals": tails.T.tolist()},
        )

    @property
    def sigma_(self) -> float:
        """The outcome noise's deviation, in units of the outcome's deviation."""
        self._require_fit("losses_")
        return float(self._model.log_sigma_y.detach().exp())

    def _check(self) -> None:
        allowed = {
            "treatment": ("binary", "continuous"),
            "outcome": ("normal", "bernoulli"),
            "bound": ("single", "double"),
        }
        for name, words in allowed.items():
            if getattr(self, name) not in words:
                raise UsageError(f"{name}={getattr(self, name)!r} is unknown. Give one of {list(words)}.")
        if self.k < 1 or not self.sigma_y > 0 or not self.hidden or min(self.hidden) < 1:
            raise UsageError(
                f"k={self.k}, sigma_y={self.sigma_y}, hidden={self.hidden} is out of range. "
                "Give k >= 1, sigma_y > 0 and at least one layer."
            )
        if self.strength is not None and self.treatment != "binary":
            raise UsageError("strength is a change of log-odds, so it needs treatment='binary'. Leave it out.")

    def _rows(self, seen: Observations) -> list[torch.Tensor]:
        """Standardise; what is 0 or 1 stays as it is."""
        x, t, y = (scale(part) for scale, part in zip(self._scales, seen, strict=True))
        if self.treatment == "binary":
            t = torch.as_tensor(seen.t, dtype=torch.float32)
        if self.outcome == "bernoulli":
            y = torch.as_tensor(seen.y, dtype=torch.float32)
        return [x, t, y]

    def _seen(self, x: Any, t: Any, y: Any) -> Observations:
        self._require_fit("losses_")
        table = matrix(x, "x", len(self._scales[0].mean))
        return Observations(table, column(t, len(table), "t"), column(y, len(table), "y"))

    def _moments(self, seen: Observations) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return self._model.guide(*self._rows(seen))

    def _weighed_prior(self, x: Any, t: Any, n: int, generator: torch.Generator) -> torch.Tensor:
        table = matrix(x, "x", len(self._scales[0].mean))
        x_rows, t_rows, _ = self._rows(Observations(table, column(t, len(table), "t"), np.zeros(len(table))))
        prior = torch.randn((PRIOR_DRAWS, len(table), self.k), generator=generator)
        parts = []
        with torch.no_grad():
            for draw in prior:
                law = self._model.choose(x_rows, draw)
                if self.treatment == "binary":
                    parts.append(torch.nn.functional.logsigmoid((2 * t_rows - 1) * law.parameters[0]))
                else:
                    parts.append(-0.5 * ((t_rows - law.parameters[0]) / law.parameters[1]).square())
        weights = torch.softmax(torch.stack(parts), dim=0)
        index = torch.multinomial(weights.T, n, replacement=True, generator=generator)
        return torch.gather(prior, 0, index.T[..., None].expand(n, len(table), self.k))

    def _draws(self, x: Any, t: Any, y: Any, n: int, seed: int | Seed) -> Floats:
        values = self.posterior(x, t, y, n, seed).values
        assert isinstance(values, dict)
        return np.asarray(values["c"].numpy())

    def _under(self, x: Any, do: Any, draws: Floats, base: Any) -> Floats:
        """Expected outcomes under a treatment: (draws, units)."""
        table = matrix(x)
        arm = column(do, len(table), "do")
        # One draw after the other: all at once would fill the memory with the networks' layers.
        if base is not None:
            return np.stack([np.asarray(base.predict(np.hstack([table, c]), arm), dtype=np.float64) for c in draws])
        mean, width = self._scales[2]
        if self.treatment == "continuous":
            arm = (arm - self._scales[1].mean) / self._scales[1].width
        inputs, level = self._scales[0](table), torch.as_tensor(arm, dtype=torch.float32)
        with torch.no_grad():
            parts = [self._model.expected(inputs, level, torch.as_tensor(c, dtype=torch.float32)) for c in draws]
        values = torch.stack(parts).double()
        values = torch.sigmoid(values) if self.outcome == "bernoulli" else values * float(width) + float(mean)
        return np.asarray(values.numpy())
