"""Learn a polynomial threshold by least absolute deviations, the agnostic learner that trusts the law of x.

Source: Kalai, Klivans, Mansour, Servedio (2008), "Agnostically learning halfspaces": minimise the mean of
``|p(x) - y|`` over polynomials p, then threshold p where the training error is least. The linear program is solved by
iteratively reweighted least squares, which comes close to its optimum but not onto it. The number of monomials is
``C(d + degree, degree)``, which is what makes the method slow. It certifies nothing.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from educe.core import UsageError
from educe.learn._arrays import Floats, matrix, signs
from educe.learn._estimator import Estimator
from educe.learn.moment_tester import monomial_exponents

__all__ = ["PolynomialL1"]

MOST_FEATURES = 2_000


class PolynomialL1(Estimator):
    """Polynomial threshold classifier by L1 regression.

    Parameters
    ----------
    degree : int
        Largest total degree, >= 1.
    iterations : int
        Reweighting steps, >= 1.

    Attributes
    ----------
    coef_ : ndarray
        One weight per monomial, in the order of `monomial_exponents`.
    threshold_ : float
        Predictions are the second class where the polynomial is above.
    classes_ : ndarray
        The two labels.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> y = np.where(x[:, 0] * x[:, 1] > 0, "same", "apart")
    >>> bool(PolynomialL1(degree=2).fit(x, y).score(x, y) > 0.85)
    True
    """

    _kind: ClassVar[Literal["classifier"]] = "classifier"
    coef_: Floats
    threshold_: float
    classes_: npt.NDArray[Any]

    def __init__(self, degree: int = 3, iterations: int = 50) -> None:
        self.degree = degree
        self.iterations = iterations

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Fit the polynomial and its threshold.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        y : array_like
            (n,) labels of two classes.

        Raises
        ------
        UsageError
            The input is malformed or has more than 2,000 monomials.
        """
        if self.degree < 1 or self.iterations < 1:
            raise UsageError(f"degree={self.degree}, iterations={self.iterations} fit nothing. Give both >= 1.")
        table = matrix(X, rows=2)
        labels, self.classes_ = signs(y, len(table))
        self._remember(X, table)
        if math.comb(table.shape[1] + self.degree, self.degree) > MOST_FEATURES:
            raise UsageError(
                f"d={table.shape[1]} has more than {MOST_FEATURES} monomials of degree {self.degree}. Lower the degree."
            )
        features = self._features(table)
        weights = np.ones(len(table))
        for _ in range(self.iterations):
            weighted = features * weights[:, None]
            gram = features.T @ weighted
            gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram) / len(gram)
            self.coef_ = np.asarray(np.linalg.solve(gram, weighted.T @ labels), dtype=np.float64)
            weights = 1 / np.maximum(np.abs(features @ self.coef_ - labels), 1e-4)
        values = features @ self.coef_
        order = np.argsort(values)
        # Error of predicting +1 above each cut: positives at or below it plus negatives above it.
        errors = np.concatenate([[0], np.cumsum(labels[order])]) + (labels < 0).sum()
        cuts = np.concatenate([[values[order[0]] - 1], values[order]])
        middle = (cuts[:-1] + cuts[1:]) / 2
        cuts[1:-1] = middle[1:]
        self.threshold_ = float(cuts[int(np.argmin(errors))])
        return self

    def _features(self, table: Floats) -> Floats:
        exponents = monomial_exponents(table.shape[1], self.degree)
        known = {item: column for column, item in enumerate(exponents)}
        features = np.ones((len(table), len(exponents)))
        for column, item in enumerate(exponents[1:], 1):
            features[:, column] = features[:, known[item[:-1]]] * table[:, item[-1]]
        return features

    def decision_function(self, X: Any) -> Floats:  # noqa: N803
        """Value of the polynomial above its threshold.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        """
        values: Floats = self._features(self._recall(X)) @ self.coef_ - self.threshold_
        return values

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Predict labels.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        """
        positive = (self.decision_function(X) > 0).astype(int)
        labels: npt.NDArray[Any] = self.classes_[positive]
        return labels

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Share of labels predicted rightly.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        y : array_like
            (n,) true labels.
        """
        return float((self.predict(X) == np.asarray(y)).mean())
