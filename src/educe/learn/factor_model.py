"""Gaussian factor model by maximum likelihood, in closed form: x = mean + B z + noise, z standard normal.

Source: Tipping and Bishop (1999), "Probabilistic principal component analysis", with the noise variance either known
(as in Ge, Tang, Fan, Jin 2023, arXiv:2303.01566, where it is 1) or learned. The loadings are identified up to a
rotation of the factors only. Noise is the same in all columns: this is not the factor analysis with one variance per
column.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch

from educe.core import Posterior, Seed, UsageError
from educe.learn._arrays import Floats, matrix
from educe.learn._estimator import Estimator

__all__ = ["FactorModel"]


class FactorModel(Estimator):
    """Factor model with isotropic noise.

    Parameters
    ----------
    rank : int
        Number of factors, >= 1, below the number of columns.
    noise : float or "learn"
        Variance of the noise in every column.
    center : bool
        Fit a mean; otherwise it is zero, as in the paper.

    Attributes
    ----------
    loadings_ : ndarray
        (d, rank); columns are orthogonal, strongest first.
    mean_ : ndarray
        (d,).
    noise_variance_ : float
        Given or learned.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> x = random.normal(size=(2000, 1)) @ [[3.0, 4.0, 0.0]] + random.normal(size=(2000, 3))
    >>> FactorModel(rank=1).fit(x).loadings_.ravel().round(1)
    array([3., 4., 0.])
    """

    _kind: ClassVar[Literal["transformer"]] = "transformer"
    loadings_: Floats
    mean_: Floats
    noise_variance_: float

    def __init__(self, rank: int = 1, noise: float | Literal["learn"] = 1.0, center: bool = True) -> None:
        self.rank = rank
        self.noise = noise
        self.center = center

    @classmethod
    def known(cls, loadings: Any, *, noise: float = 1.0, mean: Any = None) -> Self:
        """Build the model from its parameters instead of data.

        Parameters
        ----------
        loadings : array_like
            (d, rank).
        noise : float
            Variance, > 0.
        mean : array_like, optional
            (d,); zero when left out.
        """
        values = matrix(loadings, "loadings")
        model = cls(values.shape[1], noise, mean is not None)
        model._check(values.shape[0])
        model.n_features_in_ = values.shape[0]
        model.loadings_ = values
        model.mean_ = np.zeros(len(values)) if mean is None else np.asarray(mean, dtype=np.float64)
        model.noise_variance_ = float(noise)
        return model

    def _check(self, columns: int) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, (int, np.integer)) or self.rank < 1:
            raise UsageError(f"rank={self.rank!r} is no number of factors. Give a whole number >= 1.")
        if self.rank >= max(columns, 2):
            raise UsageError(f"rank={self.rank} is not below the {columns} columns of X. Give a smaller rank.")
        if self.noise != "learn" and not (isinstance(self.noise, (int, float)) and 0 < self.noise < math.inf):
            raise UsageError(f"noise={self.noise!r} is no variance. Give a number above zero, or 'learn'.")

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Maximise the likelihood of a table.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (m, d), m >= 2. No labels.
        y : object
            Ignored; there for pipelines.

        Raises
        ------
        UsageError
            The input is malformed, or `noise` is to be learned from points that the factors fit exactly.
        """
        table = matrix(X, rows=2)
        self._check(table.shape[1])
        self._remember(X, table)
        self.mean_ = table.mean(0) if self.center else np.zeros(table.shape[1])
        centred = table - self.mean_
        values, vectors = np.linalg.eigh(centred.T @ centred / len(table))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        rest = values[self.rank :]
        variance = float(rest.mean()) if self.noise == "learn" and len(rest) else self.noise
        if variance == "learn" or variance <= 1e-12 * max(values[0], 1e-300):
            raise UsageError(
                f"{self.rank} factors fit these {len(table)} points exactly, so no noise can be learned. "
                "Give more rows, a smaller rank, or the noise."
            )
        self.noise_variance_ = float(variance)
        scale = np.sqrt(np.maximum(values[: self.rank] - self.noise_variance_, 0))
        axes = vectors[:, : self.rank]
        # The likelihood leaves the signs open; this choice makes refits agree.
        axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(self.rank)] < 0, -1, 1)
        self.loadings_ = axes * scale
        return self

    def _capacity(self) -> Floats:
        gram = self.loadings_.T @ self.loadings_ + self.noise_variance_ * np.eye(self.loadings_.shape[1])
        return np.asarray(gram, dtype=np.float64)

    def represent(self, X: Any) -> Floats:  # noqa: N803
        """Posterior mean of the factors.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).

        Returns
        -------
        ndarray
            (n, rank).
        """
        table = self._recall(X)
        return np.asarray(
            np.linalg.solve(self._capacity(), self.loadings_.T @ (table - self.mean_).T).T, dtype=np.float64
        )

    def transform(self, X: Any) -> Floats:  # noqa: N803
        """Same as `represent`, under the name that pipelines use.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        """
        return self.represent(X)

    def fit_transform(self, X: Any, y: Any = None) -> Floats:  # noqa: N803
        """Fit, then represent the same table.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (m, d).
        y : object
            Ignored.
        """
        return self.fit(X, y).represent(X)

    def log_prob(self, X: Any) -> Floats:  # noqa: N803
        """Log-density of each row.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).

        Returns
        -------
        ndarray
            (n,).
        """
        centred = self._recall(X) - self.mean_
        capacity, variance = self._capacity(), self.noise_variance_
        d, rank = self.loadings_.shape
        projected = centred @ self.loadings_
        distance = ((centred**2).sum(1) - (projected * np.linalg.solve(capacity, projected.T).T).sum(1)) / variance
        log_determinant = float(np.linalg.slogdet(capacity)[1]) + (d - rank) * math.log(variance)
        return np.asarray(-0.5 * (distance + log_determinant + d * math.log(2 * math.pi)), dtype=np.float64)

    def posterior(self, x: Any, n: int = 256, seed: int | Seed = 0) -> Posterior[dict[str, torch.Tensor]]:
        """Draw factors given one point.

        Parameters
        ----------
        x : array_like
            (d,).
        n : int
            Number of draws, >= 1.
        seed : int or Seed
            Source of the draws.

        Returns
        -------
        Posterior
            `n` equally weighted draws from the exact Gaussian posterior; a particle is ``{"z": (rank,) tensor}``.
        """
        if n < 1:
            raise UsageError(f"n={n} asks for no draw. Give n >= 1.")
        mean = self.represent(np.asarray(x, dtype=np.float64)[None, :])[0]
        root = np.linalg.cholesky(self.noise_variance_ * np.linalg.inv(self._capacity()))
        draws = mean + Seed.of(seed).child("posterior").numpy().normal(size=(n, len(mean))) @ root.T
        return Posterior({"z": torch.as_tensor(draws)}, torch.zeros(n, dtype=torch.float64))
