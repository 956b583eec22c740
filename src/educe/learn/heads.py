"""Heads: what is fitted to the few labels on top of a representation.

Least squares (with an optional ridge penalty), multinomial logistic regression (Newton-free, by L-BFGS), and a table of
label frequencies for each cluster. Each has ``fit``, ``predict`` and ``get_params``. They are small on purpose: any
scikit-learn classifier or regressor can stand in their place.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from educe.core import UsageError
from educe.learn._arrays import Floats, classes_and_codes, matrix, targets
from educe.learn._estimator import Estimator

__all__ = ["CategoricalTable", "LeastSquares", "Logistic"]


class LeastSquares(Estimator):
    """Linear regression.

    Parameters
    ----------
    penalty : float
        Added to the Gram matrix's diagonal, >= 0. At 0 the solution of least norm is taken.
    intercept : bool
        Fit an unpenalised constant.

    Attributes
    ----------
    coef_, intercept_ : ndarray, float
        Weights of the features and the constant.

    Examples
    --------
    >>> LeastSquares().fit([[1.0], [2.0]], [2.0, 4.0]).predict([[3.0]])
    array([6.])
    """

    coef_: Floats
    intercept_: float

    def __init__(self, penalty: float = 0.0, intercept: bool = False) -> None:
        self.penalty = penalty
        self.intercept = intercept

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Fit to features and targets.

        Parameters
        ----------
        X : array_like
            (n, p).
        y : array_like
            (n,) numbers.
        """
        if not self.penalty >= 0:
            raise UsageError(f"penalty={self.penalty} is below zero. Give zero or more.")
        features = matrix(X)
        values = targets(y, len(features))
        self._remember(X, features)
        centre = features.mean(0) if self.intercept else np.zeros(features.shape[1])
        level = float(values.mean()) if self.intercept else 0.0
        shifted = features - centre
        if self.penalty > 0:
            gram = shifted.T @ shifted
            gram[np.diag_indices_from(gram)] += self.penalty
            weights = np.linalg.solve(gram, shifted.T @ (values - level))
        else:
            weights = np.linalg.lstsq(shifted, values - level, rcond=None)[0]
        self.coef_ = np.asarray(weights, dtype=np.float64)
        self.intercept_ = level - float(centre @ self.coef_)
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Predict targets.

        Parameters
        ----------
        X : array_like
            (n, p).
        """
        return np.asarray(self._recall(X) @ self.coef_ + self.intercept_, dtype=np.float64)


class Logistic(Estimator):
    """Multinomial logistic regression.

    Parameters
    ----------
    penalty : float
        Half of it times the squared norm of the weights is added to the summed loss, > 0; the constants are free.
    iterations : int
        Most L-BFGS steps, >= 1.

    Attributes
    ----------
    coef_, intercept_ : ndarray
        (classes, p) and (classes,), shifted to add up to zero over the classes.
    classes_ : ndarray
        The labels.

    Examples
    --------
    >>> Logistic().fit([[-1.0], [1.0], [2.0]], ["low", "high", "high"]).predict([[-3.0]])
    array(['low'], dtype='<U4')
    """

    coef_: Floats
    intercept_: Floats
    classes_: npt.NDArray[Any]

    def __init__(self, penalty: float = 1.0, iterations: int = 200) -> None:
        self.penalty = penalty
        self.iterations = iterations

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Fit to features and labels.

        Parameters
        ----------
        X : array_like
            (n, p).
        y : array_like
            (n,) labels of at least two classes.
        """
        if not (self.penalty > 0 and self.iterations >= 1):
            raise UsageError(
                f"penalty={self.penalty}, iterations={self.iterations} fit nothing. Give above zero and >= 1."
            )
        features = matrix(X)
        self.classes_, codes = classes_and_codes(y, len(features))
        if len(self.classes_) < 2:
            raise UsageError(f"y holds one class only ({self.classes_[0]!r}). Pass samples of two classes.")
        self._remember(X, features)
        inputs, labels = torch.as_tensor(features), torch.as_tensor(codes)
        weights = torch.zeros(len(self.classes_), features.shape[1], dtype=torch.float64, requires_grad=True)
        constants = torch.zeros(len(self.classes_), dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [weights, constants], max_iter=self.iterations, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
        )

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            logits = inputs @ weights.T + constants
            value = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            value = value + 0.5 * self.penalty * (weights**2).sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(loss)  # type: ignore[no-untyped-call]
        self.coef_ = np.asarray((weights - weights.mean(0)).detach().numpy(), dtype=np.float64)
        self.intercept_ = np.asarray((constants - constants.mean()).detach().numpy(), dtype=np.float64)
        return self

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Probability of each class.

        Parameters
        ----------
        X : array_like
            (n, p).

        Returns
        -------
        ndarray
            (n, classes).
        """
        logits = self._recall(X) @ self.coef_.T + self.intercept_
        return np.asarray(np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)), dtype=np.float64)

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Predict labels.

        Parameters
        ----------
        X : array_like
            (n, p).
        """
        best = self.predict_proba(X).argmax(1)
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels


class CategoricalTable(Estimator):
    """Label frequencies of every cluster, counted with the clusters' probabilities.

    Parameters
    ----------
    smoothing : float
        Pseudo-count of every label in every cluster, > 0.

    Attributes
    ----------
    table_ : ndarray
        (clusters, classes), rows add up to 1.
    classes_ : ndarray
        The labels.

    Examples
    --------
    >>> CategoricalTable().fit([[0.9, 0.1], [0.2, 0.8]], ["a", "b"]).predict([[1.0, 0.0]])
    array(['a'], dtype='<U1')
    """

    table_: Floats
    classes_: npt.NDArray[Any]

    def __init__(self, smoothing: float = 0.01) -> None:
        self.smoothing = smoothing

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Count labels.

        Parameters
        ----------
        X : array_like
            (n, clusters) probabilities.
        y : array_like
            (n,) labels.
        """
        if not self.smoothing > 0:
            raise UsageError(f"smoothing={self.smoothing} leaves empty clusters undefined. Give a number above zero.")
        shares = matrix(X)
        if shares.min() < 0 or np.abs(shares.sum(1) - 1).max() > 1e-6:
            raise UsageError("X holds rows that are no probabilities of clusters. Pass what represent() returns.")
        self.classes_, codes = classes_and_codes(y, len(shares))
        self._remember(X, shares)
        counts = shares.T @ np.eye(len(self.classes_))[codes] + self.smoothing
        self.table_ = np.asarray(counts / counts.sum(1, keepdims=True), dtype=np.float64)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Predict the label of the greatest probability, clusters averaged over.

        Parameters
        ----------
        X : array_like
            (n, clusters) probabilities.
        """
        best = (self._recall(X) @ self.table_).argmax(1)
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels
