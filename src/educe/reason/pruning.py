"""Reasoning pruning: which sampled paths are so improbable that they should not vote.

Source: Zhou et al. (2025), arXiv:2502.00511, section on reasoning pruning, and the authors' program. A mixture of two
Weibull laws is fitted to the paths' probabilities by maximum likelihood; a path goes when it more probably belongs to
the component of the lower mean and lies below the average probability. The average is a guard: at least one path
is always kept.

The fit starts from fixed numbers and is therefore not invariant to the scale of the probabilities: dividing them by
their mean first (``scale=True``) makes it so, and is needed for whole-path probabilities, which are tiny. The local
optimiser may stop on a bound, which `WeibullMixture.on_bound` tells.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import UsageError

__all__ = ["Pruning", "WeibullMixture", "weibull_prune"]

Floats = npt.NDArray[np.float64]
# Start, bounds and order (weight, shape and scale of one component, shape and scale of the other) are the authors'.
START = (0.5, 1.0, 1.0, 1.5, 2.0)
BOUNDS = ((0.2, 0.8), (0.01, None), (0.01, None), (0.01, None), (0.01, None))
FEWEST = 8
LEAST = 1e-300


class WeibullMixture(NamedTuple):
    """Two Weibull laws; the one of the higher mean comes first.

    Parameters
    ----------
    weight : float
        Share of the first component.
    high_shape, high_scale, low_shape, low_scale : float
        Shape k and scale lambda of each, > 0.
    log_likelihood : float
        Of the data that it was fitted to, as they were scaled.
    on_bound : bool
        The optimiser stopped on a bound.
    """

    weight: float
    high_shape: float
    high_scale: float
    low_shape: float
    low_scale: float
    log_likelihood: float
    on_bound: bool

    def high_posterior(self, p: npt.ArrayLike) -> Floats:
        """Probability that each value comes from the component of the higher mean.

        Parameters
        ----------
        p : array-like
            Values > 0, on the scale that was fitted.
        """
        values = np.maximum(np.asarray(p, dtype=np.float64), LEAST)
        high = math.log(self.weight) + log_density(values, self.high_shape, self.high_scale)
        low = math.log1p(-self.weight) + log_density(values, self.low_shape, self.low_scale)
        return np.asarray(np.exp(high - np.logaddexp(high, low)))


class Pruning(NamedTuple):
    """Which paths stay, and the mixture that says so (None where there were too few paths to fit one)."""

    keep: npt.NDArray[np.bool_]
    mixture: WeibullMixture | None


def log_density(values: Floats, shape: float, scale: float) -> Floats:
    """Logarithm of the Weibull density (k/l) (x/l)^(k-1) exp(-(x/l)^k)."""
    ratio = np.log(values / scale)
    with np.errstate(over="ignore"):
        return np.asarray(math.log(shape / scale) + (shape - 1) * ratio - np.exp(shape * ratio))


def weibull_prune(p: npt.ArrayLike, *, scale: bool = False) -> Pruning:
    """Find the paths that should not vote.

    Parameters
    ----------
    p : (paths,) array-like
        Probabilities of the sampled paths, >= 0 and not all 0.
    scale : bool
        Divide by the mean first.

    Returns
    -------
    Pruning
        ``keep`` has at least one True. With fewer than 8 paths nothing is fitted and all are kept.

    Raises
    ------
    UsageError
        There is no path, or a probability is negative or not finite.

    Examples
    --------
    >>> keep, mixture = weibull_prune([0.9, 0.8, 0.85, 0.95, 0.9, 0.01, 0.02, 0.9, 0.015, 0.01])
    >>> keep.tolist()
    [True, True, True, True, True, False, False, True, False, False]
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise UsageError(f"Probabilities of shape {values.shape} are no list of paths. Give one number per path.")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() <= 0:
        raise UsageError("A path probability is negative or not finite, or all are 0. Give numbers >= 0.")
    if scale:
        values = values / values.max()
        values = values / values.mean()
    if len(values) < FEWEST:
        return Pruning(np.ones(len(values), dtype=bool), None)
    mixture = _fit(np.maximum(values, LEAST))
    # The comparison with the mean is inclusive up to rounding: equal paths must all stay.
    keep = (mixture.high_posterior(values) >= 0.5) | (values >= values.mean() * (1 - 1e-12))
    return Pruning(keep, mixture)


def _fit(values: Floats) -> WeibullMixture:
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise UsageError("Pruning needs SciPy. Install it with `pip install 'educe[science]'`.") from None

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Negative log-likelihood and its gradient."""
        weight, shape1, scale1, shape2, scale2 = parameters
        first = math.log(weight) + log_density(values, shape1, scale1)
        second = math.log1p(-weight) + log_density(values, shape2, scale2)
        total = np.maximum(np.logaddexp(first, second), -1e300)
        share = np.exp(np.minimum(first - total, 0.0))
        slopes = [share / weight - (1 - share) / (1 - weight)]
        for part, shape, scale in ((share, shape1, scale1), (1 - share, shape2, scale2)):
            ratio = np.log(values / scale)
            power = np.exp(np.minimum(shape * ratio, 600.0))
            slopes += [part * (1 / shape + ratio - ratio * power), part * (shape / scale) * (power - 1)]
        gradient = np.array([-slope.sum() for slope in slopes])
        # A likelihood without bound (a component that shrinks to one value) must not become infinite.
        return float(np.clip(-total.sum(), -1e12, 1e12)), np.clip(gradient, -1e12, 1e12)

    found = minimize(loss, START, jac=True, method="L-BFGS-B", bounds=BOUNDS)
    weight, shape1, scale1, shape2, scale2 = (float(value) for value in found.x)
    bound = any(
        (low is not None and value <= low + 1e-9) or (high is not None and value >= high - 1e-9)
        for value, (low, high) in zip(found.x, BOUNDS, strict=True)
    )
    first, second = (shape1, scale1), (shape2, scale2)
    if _log_mean(*first) < _log_mean(*second):
        weight, first, second = 1 - weight, second, first
    return WeibullMixture(weight, *first, *second, -float(found.fun), bound)


def _log_mean(shape: float, scale: float) -> float:
    """Logarithm of the mean; the gamma function of 1 + 1/k overflows for the smallest shapes."""
    return math.log(scale) + math.lgamma(1 + 1 / shape)
