"""Mixture of equally likely spherical Gaussians of one variance, by the EM algorithm.

Source: the mixture of Ge, Tang, Fan, Jin (2023), arXiv:2303.01566: uniform weights, unit covariance, unknown centres.
EM (Dempster, Laird, Rubin 1977) climbs to a local maximum; several starts by k-means++ (Arthur, Vassilvitskii 2007) are
run and the best kept, and the likelihoods of all are reported, since a local maximum looks like a bad rate. Weights and
covariance shapes are not fitted; scikit-learn's mixture does that.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch

from educe.core import Posterior, Seed, UsageError
from educe.learn._arrays import Floats, matrix
from educe.learn._estimator import Estimator

__all__ = ["GaussianMixture"]

SEEDING_ROWS = 2_000


class GaussianMixture(Estimator):
    """Spherical mixture with uniform weights.

    Parameters
    ----------
    components : int
        Number of clusters, >= 1.
    variance : float or "learn"
        Variance in every direction, of all clusters.
    starts : int
        Independent starts, >= 1.
    iterations : int
        Most EM steps of a start, >= 1.
    tolerance : float
        A start ends when the mean log-likelihood gains less, > 0.
    seed : int or Seed
        Of the starts.

    Attributes
    ----------
    means_ : ndarray
        (components, d).
    variance_ : float
        Given or learned.
    log_likelihoods_ : ndarray
        (starts,) mean log-likelihood at the end of each start; the largest was kept.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.normal(-5, 1, size=(200, 2)), random.normal(5, 1, size=(200, 2))])
    >>> np.sort(GaussianMixture(2).fit(x).means_[:, 0]).round()
    array([-5.,  5.])
    """

    _kind: ClassVar[Literal["transformer"]] = "transformer"
    means_: Floats
    variance_: float
    log_likelihoods_: Floats

    def __init__(
        self,
        components: int = 2,
        variance: float | Literal["learn"] = 1.0,
        starts: int = 5,
        iterations: int = 200,
        tolerance: float = 1e-6,
        seed: int | Seed = 0,
    ) -> None:
        self.components = components
        self.variance = variance
        self.starts = starts
        self.iterations = iterations
        self.tolerance = tolerance
        self.seed = seed

    @classmethod
    def known(cls, means: Any, *, variance: float = 1.0) -> Self:
        """Build the mixture from its parameters instead of data.

        Parameters
        ----------
        means : array_like
            (components, d).
        variance : float
            > 0.
        """
        values = matrix(means, "means")
        model = cls(len(values), variance)
        model.n_features_in_ = values.shape[1]
        model.means_, model.variance_ = values, float(variance)
        model.log_likelihoods_ = np.zeros(0)
        return model

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Maximise the likelihood of a table.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (m, d), at least as many different rows as components. No labels.
        y : object
            Ignored; there for pipelines.

        Raises
        ------
        UsageError
            The input is malformed, or the variance is to be learned and a start fits the points exactly.
        """
        if min(self.components, self.starts, self.iterations) < 1 or not self.tolerance > 0:
            raise UsageError(
                f"components={self.components}, starts={self.starts}, iterations={self.iterations}, "
                f"tolerance={self.tolerance} fit nothing. Give whole numbers >= 1 and a tolerance above zero."
            )
        if self.variance != "learn" and not (isinstance(self.variance, (int, float)) and 0 < self.variance < math.inf):
            raise UsageError(f"variance={self.variance!r} is no variance. Give a number above zero, or 'learn'.")
        table = matrix(X, rows=max(2, self.components))
        self._remember(X, table)
        seed = Seed.of(self.seed)
        runs = [self._climb(table, seed.child("start", index).numpy()) for index in range(self.starts)]
        self.log_likelihoods_ = np.array([run[2] for run in runs])
        self.means_, self.variance_, _ = runs[int(self.log_likelihoods_.argmax())]
        return self

    def _climb(self, table: Floats, random: np.random.Generator) -> tuple[Floats, float, float]:
        means = _spread_centres(table, self.components, random)
        squares = (table**2).sum(1)
        learn = self.variance == "learn"
        variance = float(table.var(0).mean()) if self.variance == "learn" else float(self.variance)
        if not variance > 0:
            raise UsageError("All rows of X are equal, so no variance can be learned. Give the variance.")
        previous = -math.inf
        for _ in range(self.iterations):
            log_terms = _log_terms(table, squares, means, variance)
            totals = np.logaddexp.reduce(log_terms, axis=1)
            value = float(totals.mean())
            if value - previous < self.tolerance:
                break
            previous = value
            shares = np.exp(log_terms - totals[:, None])
            mass = shares.sum(0)
            # A cluster that lost all its points stays where it is.
            means = np.where(mass[:, None] > 1e-10, shares.T @ table / np.maximum(mass, 1e-10)[:, None], means)
            if learn:
                spread = float((squares * shares.sum(1)).sum() - (mass[:, None] * means**2).sum())
                variance = spread / table.size
                if variance <= 1e-12 * max(1.0, float(squares.mean())):
                    raise UsageError(
                        f"{self.components} clusters fit these {len(table)} points exactly, so no variance can be "
                        "learned. Give fewer components or the variance."
                    )
        totals = np.logaddexp.reduce(_log_terms(table, squares, means, variance), axis=1)
        return means, variance, float(totals.mean())

    def represent(self, X: Any) -> Floats:  # noqa: N803
        """Probability of each cluster.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).

        Returns
        -------
        ndarray
            (n, components), rows add up to 1.
        """
        table = self._recall(X)
        terms = _log_terms(table, (table**2).sum(1), self.means_, self.variance_)
        return np.asarray(np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True)), dtype=np.float64)

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
        """
        table = self._recall(X)
        terms = _log_terms(table, (table**2).sum(1), self.means_, self.variance_)
        return np.asarray(np.logaddexp.reduce(terms, axis=1), dtype=np.float64)

    def posterior(self, x: Any) -> Posterior[int]:
        """Which cluster one point belongs to.

        Parameters
        ----------
        x : array_like
            (d,).

        Returns
        -------
        Posterior
            Over cluster numbers; its log-evidence is left out, see `log_prob`.
        """
        table = self._recall(np.asarray(x, dtype=np.float64)[None, :])
        terms = _log_terms(table, (table**2).sum(1), self.means_, self.variance_)[0]
        return Posterior(list(range(len(terms))), torch.as_tensor(terms))


def _log_terms(table: Floats, squares: Floats, means: Floats, variance: float) -> Floats:
    """Log of weight times density, (n, components)."""
    distances = squares[:, None] - 2 * table @ means.T + (means**2).sum(1)
    constant = -0.5 * table.shape[1] * math.log(2 * math.pi * variance) - math.log(len(means))
    return np.asarray(constant - 0.5 * np.maximum(distances, 0) / variance, dtype=np.float64)


def _spread_centres(table: Floats, count: int, random: np.random.Generator) -> Floats:
    """k-means++: each next centre is a row drawn in proportion to its squared distance from the nearest one so far."""
    if len(table) > SEEDING_ROWS:
        table = table[random.choice(len(table), size=max(SEEDING_ROWS, count), replace=False)]
    chosen = [table[random.integers(len(table))]]
    distances = ((table - chosen[0]) ** 2).sum(1)
    while len(chosen) < count:
        total = float(distances.sum())
        index = random.choice(len(table), p=distances / total) if total > 0 else random.integers(len(table))
        chosen.append(table[index])
        distances = np.minimum(distances, ((table - chosen[-1]) ** 2).sum(1))
    return np.stack(chosen)
