"""Bayesian regression on powers of one variable, with known noise: a posterior in closed form.

Source: Bishop (2006), Pattern Recognition and Machine Learning, equations 3.49 to 3.59. Its posterior variance is
right where the truth is a polynomial of that degree, and blind to the error that stays when it is not: the predictor
on which methods for epistemic uncertainty are told apart.
"""

# ruff: noqa: N803 - X is the name that scikit-learn gives to inputs.
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core.errors import UsageError

__all__ = ["BayesianPolynomial"]

Floats = npt.NDArray[np.float64]


class BayesianPolynomial:
    """Polynomial with independent Gaussian priors on its coefficients and Gaussian noise of known size.

    Parameters
    ----------
    degree : int
        Highest power, >= 0.
    noise : float
        Standard deviation of the noise, > 0.
    prior : float
        Standard deviation of each coefficient before data, > 0.

    Raises
    ------
    UsageError
        A parameter is out of range (when fitted).

    Examples
    --------
    >>> import numpy as np
    >>> from educe.uncertainty import BayesianPolynomial
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> model = BayesianPolynomial(degree=2, noise=0.1).fit(x, 1 + x[:, 0] ** 2)
    >>> model.predict(np.array([[0.5]])).round(2).tolist()
    [1.25]
    """

    def __init__(self, degree: int = 3, noise: float = 0.2, prior: float = 10.0) -> None:
        self.degree = degree
        self.noise = noise
        self.prior = prior

    def __repr__(self) -> str:
        return f"BayesianPolynomial(degree={self.degree}, noise={self.noise}, prior={self.prior})"

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> BayesianPolynomial:
        """Compute the posterior of the coefficients.

        Parameters
        ----------
        X : array-like
            (n, 1).
        y : array-like
            (n,).

        Returns
        -------
        BayesianPolynomial
            Itself, with ``coefficients_`` and ``covariance_``.
        """
        if self.degree < 0 or not self.noise > 0 or not self.prior > 0:
            raise UsageError(f"{self!r} is out of range. Give degree >= 0, noise > 0 and prior > 0.")
        powers = self._powers(X)
        precision = powers.T @ powers / self.noise**2 + np.eye(self.degree + 1) / self.prior**2
        self.covariance_ = np.linalg.inv(precision)
        self.coefficients_ = np.linalg.solve(precision, powers.T @ np.asarray(y, dtype=np.float64) / self.noise**2)
        return self

    def predict(self, X: npt.ArrayLike, return_std: bool = False) -> Any:
        """Return the posterior mean, and on demand the standard deviation of the mean function, noise left out.

        Parameters
        ----------
        X : array-like
            (n, 1).
        return_std : bool
            Return a pair.

        Returns
        -------
        (n,) float64, or a pair of them
        """
        if not hasattr(self, "coefficients_"):
            raise UsageError("This BayesianPolynomial has seen no data. Call fit first.")
        powers = self._powers(X)
        mean = powers @ self.coefficients_
        if not return_std:
            return mean
        return mean, np.sqrt(np.einsum("ni,ij,nj->n", powers, self.covariance_, powers))

    def _powers(self, X: npt.ArrayLike) -> Floats:
        x = np.asarray(X, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != 1:
            raise UsageError(f"X has shape {x.shape}. A polynomial takes one column, (n, 1).")
        powers: Floats = x ** np.arange(self.degree + 1)
        return powers
