"""Features of a point and of the data a predictor was fitted on: position, seen bit, density, variance, distance.

Source: Lahlou et al. (2021), arXiv:2102.08501, section on stationarising features. An error predictor learns from the
errors of several predictors, fitted on different data; its features must therefore tell what a predictor's data say
about a point. Each function here makes a `Feature`, which is fitted on the data of one predictor and then maps points
to columns. Letters stand for them in `DEUP(features="xdv")`.

Densities are kernel estimates or one Gaussian (Mahalanobis); normalising flows and dropout are not here: give a
`Feature` of your own for those.
"""

# ruff: noqa: N803 - X is the name that scikit-learn gives to inputs.
from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from educe.core.errors import UsageError
from educe.core.seed import Seed

__all__ = ["Feature", "by_letters", "distance", "gaussian_process", "log_density", "model_variance", "position", "seen"]

Floats = npt.NDArray[np.float64]
Columns = Callable[[Floats], Floats]
# Below this a variance or a squared distance counts as zero; its logarithm stays finite.
TINY = 1e-12


@dataclass(frozen=True)
class Feature:
    """A feature that depends on the data a predictor was fitted on.

    Parameters
    ----------
    name : str
        For messages.
    fit : callable
        Takes ``(X, y, predictor, seed)``, the data and the fitted predictor, and returns a function from points
        ``(n, d)`` to columns ``(n, k)``.

    Examples
    --------
    >>> import numpy as np
    >>> from educe.uncertainty.features import Feature
    >>> radius = Feature("radius", lambda X, y, predictor, seed: lambda Z: np.linalg.norm(Z, axis=1, keepdims=True))
    >>> radius.fit(None, None, None, None)(np.array([[3.0, 4.0]]))
    array([[5.]])
    """

    name: str
    fit: Callable[[Floats, Floats, Any, Seed], Columns]


def position() -> Feature:
    """Return the coordinates themselves (letter ``x``).

    Returns
    -------
    Feature
    """
    return Feature("x", lambda X, y, predictor, seed: lambda Z: Z)


def seen() -> Feature:
    """Return 1 where the point is one of those the predictor was fitted on, else 0 (letter ``b``).

    Returns
    -------
    Feature
    """

    def fit(X: Floats, y: Floats, predictor: Any, seed: Seed) -> Columns:
        rows = {row.tobytes() for row in np.ascontiguousarray(X)}
        return lambda Z: np.array([[float(row.tobytes() in rows)] for row in np.ascontiguousarray(Z)]).reshape(-1, 1)

    return Feature("b", fit)


def distance() -> Feature:
    """Return the Euclidean distance to the nearest fitted point (letter ``D``).

    Returns
    -------
    Feature
    """

    def fit(X: Floats, y: Floats, predictor: Any, seed: Seed) -> Columns:
        return lambda Z: np.sqrt(_squared_distances(Z, X).min(1, keepdims=True))

    return Feature("D", fit)


def log_density(kind: Literal["kde", "mahalanobis"] = "kde", *, bandwidth: float = 0.1) -> Feature:
    """Return the log density of the fitted points (letter ``d``).

    Parameters
    ----------
    kind : {"kde", "mahalanobis"}
        A Gaussian kernel estimate on standardised coordinates, or one Gaussian.
    bandwidth : float
        Kernel width in standard deviations, > 0.

    Returns
    -------
    Feature

    Raises
    ------
    UsageError
        Another kind, or a bandwidth that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from educe.uncertainty.features import log_density
    >>> columns = log_density("mahalanobis").fit(np.array([[-1.0], [1.0]]), None, None, None)
    >>> columns(np.array([[0.0], [3.0]])).round(3).ravel().tolist()
    [-0.919, -5.419]
    """
    if kind not in ("kde", "mahalanobis"):
        raise UsageError(f"{kind!r} is no density. Use 'kde' or 'mahalanobis', or give a Feature of your own.")
    if not bandwidth > 0:
        raise UsageError(f"bandwidth={bandwidth} is not positive. Give a width in standard deviations.")

    def fit(X: Floats, y: Floats, predictor: Any, seed: Seed) -> Columns:
        dims = X.shape[1]
        centre, scale = X.mean(0), np.maximum(X.std(0), TINY)
        if kind == "mahalanobis":
            covariance = np.atleast_2d(np.cov(X.T, bias=True)) + TINY * np.eye(dims)
            inverse = np.linalg.inv(covariance)
            constant = -0.5 * (dims * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1])
            return lambda Z: (constant - 0.5 * np.einsum("ni,ij,nj->n", Z - centre, inverse, Z - centre))[:, None]
        points = (X - centre) / scale

        def columns(Z: Floats) -> Floats:
            exponents = -0.5 * _squared_distances((Z - centre) / scale, points) / bandwidth**2
            top = exponents.max(1, keepdims=True)
            constant = dims * np.log(bandwidth * np.sqrt(2 * np.pi)) + np.log(scale).sum() + np.log(len(X))
            result: Floats = top + np.log(np.exp(exponents - top).sum(1, keepdims=True)) - constant
            return result

        return columns

    return Feature("d", fit)


def model_variance(source: Literal["predictor", "gp", "ensemble"] = "predictor", *, members: int = 30) -> Feature:
    """Return the log variance of a prediction (letter ``v``).

    Parameters
    ----------
    source : {"predictor", "gp", "ensemble"}
        The predictor's own ``predict(X, return_std=True)``; the posterior of a Gaussian process fitted beside it
        (needs scikit-learn); or the variance over copies of the predictor fitted on bootstrap resamples.
    members : int
        Number of copies, >= 2.

    Returns
    -------
    Feature

    Raises
    ------
    UsageError
        Another source, fewer than two members, or (when fitted) a predictor that gives no standard deviation.
    """
    if source not in ("predictor", "gp", "ensemble"):
        raise UsageError(f"{source!r} is no source of variance. Use 'predictor', 'gp' or 'ensemble'.")
    if members < 2:
        raise UsageError(f"members={members} have no variance. Give at least two.")

    def fit(X: Floats, y: Floats, predictor: Any, seed: Seed) -> Columns:
        if source == "ensemble":
            copies = []
            for i in range(members):
                chosen = seed.child("bootstrap", i).numpy().integers(len(X), size=len(X))
                copies.append(copy.deepcopy(predictor).fit(X[chosen], y[chosen]))
            return lambda Z: _log(np.var([each.predict(Z) for each in copies], axis=0))
        model = predictor
        if source == "gp":
            model = gaussian_process(seed).fit(X, y)
        elif "return_std" not in inspect.signature(predictor.predict).parameters:
            raise UsageError(
                f"{type(predictor).__name__}.predict takes no return_std, so there is no variance to read. "
                "Use model_variance('ensemble') or model_variance('gp')."
            )
        return lambda Z: _log(np.asarray(model.predict(Z, return_std=True)[1]) ** 2)

    return Feature("v", fit)


def by_letters(letters: str) -> tuple[Feature, ...]:
    """Turn letters into features: x position, b seen bit, d log density, v model variance, D distance.

    Parameters
    ----------
    letters : str
        Each at most once.

    Returns
    -------
    tuple of Feature

    Raises
    ------
    UsageError
        No letter, an unknown one, or one that stands twice.

    Examples
    --------
    >>> from educe.uncertainty.features import by_letters
    >>> [feature.name for feature in by_letters("xd")]
    ['x', 'd']
    """
    known = {"x": position, "b": seen, "d": log_density, "v": model_variance, "D": distance}
    wrong = [letter for letter in letters if letter not in known]
    if not letters or wrong or len(set(letters)) < len(letters):
        raise UsageError(f"features={letters!r} cannot be read. Use letters of 'xbdvD', each at most once.")
    return tuple(known[letter]() for letter in letters)


def gaussian_process(seed: Seed) -> Any:
    """Make scikit-learn's Gaussian process with a scaled squared-exponential kernel and noise.

    Parameters
    ----------
    seed : Seed
        For restarts of the search for its hyper-parameters.

    Returns
    -------
    GaussianProcessRegressor

    Raises
    ------
    UsageError
        scikit-learn is not installed.

    Examples
    --------
    >>> from educe.core import Seed
    >>> from educe.uncertainty.features import gaussian_process
    >>> type(gaussian_process(Seed(0))).__name__
    'GaussianProcessRegressor'
    """
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    except ImportError:
        raise UsageError("Gaussian processes need scikit-learn. Install `pip install 'educe[science]'`.") from None
    kernel = ConstantKernel(1.0, (1e-4, 1e4)) * RBF(1.0, (1e-2, 1e2)) + WhiteKernel(0.1, (1e-8, 1e2))
    return GaussianProcessRegressor(
        kernel, normalize_y=True, n_restarts_optimizer=1, random_state=int(seed.bits()) % 2**32
    )


def _log(variance: npt.ArrayLike) -> Floats:
    return np.log(np.maximum(np.asarray(variance, dtype=np.float64), TINY)).reshape(-1, 1)


def _squared_distances(Z: Floats, X: Floats) -> Floats:
    difference = Z[:, None, :] - X[None, :, :]
    result: Floats = np.einsum("nmd,nmd->nm", difference, difference)
    return result
