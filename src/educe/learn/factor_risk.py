"""The factor model as a known world: draws, exact excess risk of a linear predictor, and informativeness.

Source: the factor-model instance of Ge, Tang, Fan, Jin (2023), arXiv:2303.01566. In the world ``x = B z + mu``,
``y = <b, z> + nu`` with normal z, mu, nu, the best predictor of y from x is ``<w*, x>``, and a linear predictor w has
the excess risk ``(w - w*)' Sigma (w - w*)``: no test set is needed. Regret is against the best predictor given x, not
given z, which nobody can reach.

`informativeness` estimates the constant kappa of the paper's condition at one fitted model: the total variation
distance of the joint laws of (x, z), after the best rotation, over that of the marginal laws of x. The rotation is
Procrustes', which need not be the one that minimises the distance, so the ratio errs upwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from educe.core import Seed, UsageError
from educe.learn._arrays import Floats, matrix
from educe.learn.factor_model import FactorModel
from educe.learn.heads import LeastSquares
from educe.learn.pretrain import MLEThenERM

__all__ = ["FactorWorld", "Informativeness", "excess_risk", "informativeness"]


@dataclass(frozen=True, eq=False)
class FactorWorld:
    """A factor model with a linear target.

    Parameters
    ----------
    loadings : ndarray
        (d, rank) matrix B.
    weights : ndarray
        (rank,) effect of the factors on y.
    label_variance : float
        Variance of nu, >= 0.
    outside : ndarray or None
        (d,) effect of the noise mu on y. With it, y depends on x beyond z, and the assumption of the theory fails.

    Examples
    --------
    >>> world = FactorWorld.draw(d=20, rank=2, seed=0)
    >>> x, y = world.labelled(50_000, seed=1)
    >>> residual = y - x @ world.best
    >>> bool(abs(residual.var() - world.conditional_variance) < 0.05)
    True
    """

    loadings: Floats
    weights: Floats
    label_variance: float = 0.25
    outside: Floats | None = None

    def __post_init__(self) -> None:
        loadings = matrix(self.loadings, "loadings")
        if np.shape(self.weights) != (loadings.shape[1],):
            raise UsageError(
                f"weights has shape {np.shape(self.weights)} but there are {loadings.shape[1]} factors. Give one each."
            )
        if not 0 <= self.label_variance < math.inf:
            raise UsageError(f"label_variance={self.label_variance} is no variance. Give zero or more.")

    @classmethod
    def draw(cls, d: int, rank: int, *, label_variance: float = 0.25, seed: int | Seed = 0) -> FactorWorld:
        """Draw loadings from N(0, 4 / d) and weights of length one.

        Parameters
        ----------
        d, rank : int
            Columns of x and factors, ``d > rank >= 1``.
        label_variance : float
            Variance of nu.
        seed : int or Seed
            Source of the draw.
        """
        if not d > rank >= 1:
            raise UsageError(f"d={d} and rank={rank} make no factor model. Give d > rank >= 1.")
        random = Seed.of(seed).child("world").numpy()
        weights = random.normal(size=rank)
        return cls(random.normal(0, 2 / math.sqrt(d), (d, rank)), weights / np.linalg.norm(weights), label_variance)

    @property
    def covariance(self) -> Floats:
        """Covariance of x, (d, d)."""
        return np.asarray(self.loadings @ self.loadings.T + np.eye(len(self.loadings)), dtype=np.float64)

    def _cross(self) -> Floats:
        cross = self.loadings @ self.weights
        return np.asarray(cross if self.outside is None else cross + self.outside, dtype=np.float64)

    @property
    def best(self) -> Floats:
        """Weights of the best predictor of y from x, (d,)."""
        return np.asarray(np.linalg.solve(self.covariance, self._cross()), dtype=np.float64)

    @property
    def conditional_variance(self) -> float:
        """Variance of y given x, the risk that is left to the best predictor."""
        total = float(self.weights @ self.weights) + self.label_variance
        if self.outside is not None:
            total += float(self.outside @ self.outside)
        return total - float(self._cross() @ self.best)

    def unlabelled(self, m: int, seed: int | Seed = 0) -> Floats:
        """Draw points.

        Parameters
        ----------
        m : int
            How many.
        seed : int or Seed
            Source of the draws.
        """
        return self.labelled(m, seed)[0]

    def labelled(self, n: int, seed: int | Seed = 0) -> tuple[Floats, Floats]:
        """Draw points with labels.

        Parameters
        ----------
        n : int
            How many.
        seed : int or Seed
            Source of the draws.

        Returns
        -------
        x, y : ndarray
            (n, d) and (n,).
        """
        random = Seed.of(seed).child("points").numpy()
        z = random.normal(size=(n, self.loadings.shape[1]))
        noise = random.normal(size=(n, len(self.loadings)))
        y = z @ self.weights + random.normal(0, math.sqrt(self.label_variance), n)
        if self.outside is not None:
            y = y + noise @ self.outside
        return z @ self.loadings.T + noise, y

    def model(self) -> MLEThenERM:
        """The method with the right number of factors, not fitted."""
        return MLEThenERM(FactorModel(self.loadings.shape[1], center=False), LeastSquares())

    def known(self) -> MLEThenERM:
        """The method with the true loadings, so that only the head is to be fitted."""
        return MLEThenERM(FactorModel.known(self.loadings), LeastSquares())

    def excess(self, model: Any) -> float:
        """Same as `excess_risk` of a model in this world.

        Parameters
        ----------
        model : MLEThenERM or array_like
            A fitted model, or the weights of a linear predictor.
        """
        return excess_risk(model, self)


def excess_risk(model: Any, truth: FactorWorld) -> float:
    """Squared-error risk of a linear predictor minus that of the best, in closed form.

    Parameters
    ----------
    model : MLEThenERM, fitted linear model or array_like
        A fitted `FactorModel` with a linear head, an object with ``coef_``, or the weights themselves.
    truth : FactorWorld
        The world.

    Returns
    -------
    float
        Zero only for the best predictor.

    Raises
    ------
    UsageError
        The model is not linear in x, or of another width.

    Examples
    --------
    >>> world = FactorWorld.draw(d=10, rank=2)
    >>> excess_risk(world.best, world)
    0.0
    """
    constant = 0.0
    if isinstance(model, MLEThenERM):
        latent, head = model.latent, model.head
        if not isinstance(latent, FactorModel) or not isinstance(getattr(head, "coef_", None), np.ndarray):
            raise UsageError("Only a factor model with a linear head has this risk in closed form. Use a test set.")
        zero = np.zeros((1, len(truth.loadings)))
        constant = float(model.predict(zero)[0])
        # A linear predictor is its values on the basis.
        weights = np.asarray(model.predict(np.eye(len(truth.loadings)))) - constant
    else:
        weights = np.asarray(getattr(model, "coef_", model), dtype=np.float64).reshape(-1)
        constant = float(np.asarray(getattr(model, "intercept_", 0.0)).reshape(-1)[0])
    if len(weights) != len(truth.loadings):
        raise UsageError(f"The predictor has {len(weights)} weights, x has {len(truth.loadings)} columns. Match them.")
    gap = weights - truth.best
    return float(gap @ truth.covariance @ gap) + constant**2


class Informativeness(NamedTuple):
    """Total variation of the joint laws, of the marginal laws, and their ratio kappa."""

    joint: float
    marginal: float
    kappa: float


def informativeness(
    model: FactorModel | Any, truth: FactorWorld, *, samples: int = 20_000, seed: int | Seed = 0
) -> Informativeness:
    """Estimate how much more wrong a factor model is about (x, z) than about x alone.

    Parameters
    ----------
    model : FactorModel or array_like
        Fitted with unit noise, or (d, rank) loadings.
    truth : FactorWorld
        The world.
    samples : int
        Monte Carlo draws, >= 100; the relative error is about ``1 / sqrt(samples)``.
    seed : int or Seed
        Of the draws.

    Returns
    -------
    Informativeness

    Raises
    ------
    UsageError
        The loadings' shape differs from the truth's.

    Examples
    --------
    >>> world = FactorWorld.draw(d=10, rank=2)
    >>> near = world.loadings + 0.02
    >>> bool(1 <= informativeness(near, world).kappa < 10)
    True
    """
    other = model.loadings_ if isinstance(model, FactorModel) else matrix(model, "loadings")
    own = truth.loadings
    if other.shape != own.shape:
        raise UsageError(f"The model's loadings are {other.shape}, the world's {own.shape}. Give the same shape.")
    if samples < 100:
        raise UsageError(f"samples={samples} is too few for a distance. Give at least 100.")
    left, _, right = np.linalg.svd(other.T @ own)
    rotated = other @ (left @ right)
    random = Seed.of(seed).child("informativeness").numpy()
    z = random.normal(size=(samples, own.shape[1]))
    noise = random.normal(size=(samples, len(own)))
    x = z @ own.T + noise
    # Both joint laws share the law of z, so the log-ratio is that of x given z.
    joint_ratio = 0.5 * ((noise**2).sum(1) - ((x - z @ rotated.T) ** 2).sum(1))
    marginal_ratio = FactorModel.known(other).log_prob(x) - FactorModel.known(own).log_prob(x)
    joint, marginal = (float(np.maximum(0, -np.expm1(ratio)).mean()) for ratio in (joint_ratio, marginal_ratio))
    return Informativeness(joint, marginal, joint / marginal if marginal > 0 else math.inf)
