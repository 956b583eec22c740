"""Laws of coverage: forecast how many samples it takes until one is right.

Source: Brown et al. (2024), arXiv:2407.21787. The law ``exp_power`` is log c(k) = a k^b with a, b < 0, fitted by least
squares on c. It describes the middle of a curve. What lies beyond the data is set by the hardest problems: if a
problem's rate of right samples has the law Beta(alpha, beta), then c(k) = 1 - B(alpha, beta + k) / B(alpha, beta)
exactly, and 1 - c(k) falls like k^-alpha. That is the law ``beta_binomial``, fitted by maximum likelihood where the
counts are given, else by least squares. Where the rates' law has more weight near zero than the data can tell, both
forecasts are too high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

from educe.core import UsageError
from educe.reason.coverage import Curve

__all__ = ["Alignment", "CoverageLaw", "align_curves", "fit_coverage"]

Floats = npt.NDArray[np.float64]
LAWS = ("exp_power", "beta_binomial", "both")
MOST_SAMPLES = 1e15


@dataclass(frozen=True)
class CoverageLaw:
    """A fitted law of coverage.

    Parameters
    ----------
    law : str
        ``"exp_power"`` or ``"beta_binomial"``.
    parameters : tuple of float
        (a, b), or (alpha, beta).
    replicates : tuple of tuple of float
        Parameters of the refits to bootstrap curves, for intervals.

    Examples
    --------
    >>> law = CoverageLaw("beta_binomial", (1.0, 1.0))
    >>> law.predict([1, 3]).tolist(), round(law.samples_for(0.9), 6)
    ([0.5, 0.75], 9.0)
    """

    law: str
    parameters: tuple[float, float]
    replicates: tuple[tuple[float, float], ...] = ()

    def predict(self, k: npt.ArrayLike) -> Floats:
        """Coverage at k samples.

        Parameters
        ----------
        k : array-like
            Numbers of samples, > 0; need not be whole.
        """
        return _values(self.law, self.parameters, np.asarray(k, dtype=np.float64))

    def samples_for(self, target: float) -> float:
        """Number of samples at which a coverage is reached, ``inf`` where that takes more than 1e15.

        Parameters
        ----------
        target : float
            Coverage, in (0, 1).

        Raises
        ------
        UsageError
            The target is out of range.
        """
        if not 0 < target < 1:
            raise UsageError(f"target={target} is no coverage strictly between 0 and 1. Give for instance 0.9.")
        low, high = -36.0, math.log(MOST_SAMPLES)
        if float(self.predict(math.exp(high))) < target:
            return math.inf
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (low, middle) if float(self.predict(math.exp(middle))) >= target else (middle, high)
        return math.exp(high)

    def interval(self, k: npt.ArrayLike, mass: float = 0.95) -> tuple[Floats, Floats]:
        """Bootstrap interval of the forecast at k samples.

        Parameters
        ----------
        k : array-like
            Numbers of samples.
        mass : float
            Probability inside, in (0, 1).

        Raises
        ------
        UsageError
            The law was fitted without bootstrap curves.
        """
        if not self.replicates:
            raise UsageError("This law was fitted to one curve alone. Fit a Curve with replicates for intervals.")
        forecasts = np.stack([_values(self.law, pair, np.asarray(k, dtype=np.float64)) for pair in self.replicates])
        low, high = np.quantile(forecasts, [(1 - mass) / 2, (1 + mass) / 2], axis=0)
        return low, high


def _values(law: str, parameters: tuple[float, float], k: Floats) -> Floats:
    first, second = parameters
    with np.errstate(over="ignore"):
        if law == "exp_power":
            return np.asarray(np.exp(first * k**second))
        log_miss = _lgamma(second + k) - _lgamma(first + second + k)
        return np.asarray(-np.expm1(log_miss + math.lgamma(first + second) - math.lgamma(second)))


def _lgamma(values: npt.ArrayLike) -> Floats:
    return np.asarray(torch.lgamma(torch.as_tensor(np.array(values, dtype=np.float64))).numpy())


@overload
def fit_coverage(
    ks: Curve | npt.ArrayLike, cov: npt.ArrayLike | None = ..., law: Literal["exp_power", "beta_binomial"] = ...,
    *, weights: npt.ArrayLike | None = ..., counts: tuple[npt.ArrayLike, npt.ArrayLike] | None = ...,
) -> CoverageLaw: ...  # fmt: skip
@overload
def fit_coverage(
    ks: Curve | npt.ArrayLike, cov: npt.ArrayLike | None = ..., law: Literal["both"] = ...,
    *, weights: npt.ArrayLike | None = ..., counts: tuple[npt.ArrayLike, npt.ArrayLike] | None = ...,
) -> dict[str, CoverageLaw]: ...  # fmt: skip
def fit_coverage(
    ks: Curve | npt.ArrayLike,
    cov: npt.ArrayLike | None = None,
    law: str = "exp_power",
    *,
    weights: npt.ArrayLike | None = None,
    counts: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Any:
    """Fit a law to a coverage curve.

    Parameters
    ----------
    ks : Curve or array-like
        A curve from `coverage`, or numbers of samples.
    cov : array-like, optional
        Coverage at those numbers; left out with a curve.
    law : str
        ``"exp_power"``, ``"beta_binomial"`` or ``"both"``.
    weights : array-like, optional
        Weight of each point in the least squares; equal when left out.
    counts : pair of array-like, optional
        Samples and right samples per problem. The beta-binomial law is then fitted to these by maximum likelihood; a
        curve brings its own.

    Returns
    -------
    CoverageLaw, or dict of str to CoverageLaw for ``"both"``

    Raises
    ------
    UsageError
        The law is unknown, the lengths differ, there are fewer than two points, or SciPy is missing.

    Examples
    --------
    >>> ks = [1, 3, 10, 30, 100]
    >>> fitted = fit_coverage(ks, CoverageLaw("exp_power", (-2.0, -0.5)).predict(ks))
    >>> [round(value, 6) for value in fitted.parameters]
    [-2.0, -0.5]
    """
    if law not in LAWS:
        raise UsageError(f"Coverage law {law!r} is unknown. Use one of {', '.join(LAWS)}.")
    if law == "both":
        return {name: fit_coverage(ks, cov, name, weights=weights, counts=counts) for name in LAWS[:2]}  # type: ignore[call-overload,misc]
    curves: Floats = np.empty((0, 0))
    if isinstance(ks, Curve):
        points, values, curves = ks.ks.astype(np.float64), ks.mean, ks.replicates
        counts = (ks.samples, ks.right) if counts is None else counts
    else:
        points = np.asarray(ks, dtype=np.float64)
        values = np.asarray(cov, dtype=np.float64)
    if points.ndim != 1 or points.shape != values.shape or len(points) < 2:
        raise UsageError(f"Points {points.shape} and coverage {values.shape} do not fit. Give two equal lengths >= 2.")
    if law == "beta_binomial" and counts is not None:
        drawn, right = (np.asarray(part, dtype=np.float64) for part in counts)
        return CoverageLaw(law, _beta_binomial(drawn, right))
    scale = np.ones(len(points)) if weights is None else np.sqrt(np.asarray(weights, dtype=np.float64))
    best = _least_squares(law, points, values, scale, None)
    refits = tuple(_least_squares(law, points, curve, scale, best) for curve in curves)
    return CoverageLaw(law, best, refits)


# Parameters are fitted as logarithms of their sizes; both laws have only signs that are known.
SIGNS: Mapping[str, float] = {"exp_power": -1.0, "beta_binomial": 1.0}
STARTS: Mapping[str, Sequence[tuple[float, float]]] = {
    "exp_power": ((1.0, 0.3), (3.0, 0.3), (10.0, 0.7), (100.0, 1.0)),
    "beta_binomial": ((0.3, 1.0), (0.5, 10.0), (2.0, 100.0)),
}


def _least_squares(
    law: str, points: Floats, values: Floats, scale: Floats, start: tuple[float, float] | None
) -> tuple[float, float]:
    optimize = _scipy_optimize()
    sign = SIGNS[law]

    def residuals(logs: Floats) -> Floats:
        first, second = np.exp(np.clip(logs, -40, 40))
        return scale * (_values(law, (sign * first, sign * second), points) - values)

    starts = STARTS[law] if start is None else ((abs(start[0]), abs(start[1])),)
    found = min((optimize.least_squares(residuals, np.log(pair)) for pair in starts), key=lambda fit: float(fit.cost))
    first, second = np.exp(np.clip(found.x, -40, 40))
    return sign * float(first), sign * float(second)


def _beta_binomial(drawn: Floats, right: Floats) -> tuple[float, float]:
    """Maximum likelihood of the rates' Beta law from counts of right samples."""

    def loss(logs: Floats) -> float:
        alpha, beta = np.exp(logs)
        each = _lgamma(right + alpha) + _lgamma(drawn - right + beta) - _lgamma(drawn + alpha + beta)
        return -float((each + math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)).sum())

    bounds = [(-12.0, 16.0)] * 2
    fits = [_scipy_optimize().minimize(loss, np.log(pair), method="L-BFGS-B", bounds=bounds)
            for pair in STARTS["beta_binomial"]]  # fmt: skip
    alpha, beta = np.exp(min(fits, key=lambda fit: float(fit.fun)).x)
    return float(alpha), float(beta)


def _scipy_optimize() -> Any:
    try:
        import scipy.optimize
    except ImportError:
        raise UsageError("Fitting needs SciPy. Install it with `pip install 'educe[science]'`.") from None
    return scipy.optimize


@dataclass(frozen=True)
class Alignment:
    """Curves shifted onto one another.

    Parameters
    ----------
    anchor : float
        The coverage at which all pass through one point.
    shifts : mapping of str to float
        What to add to log k of each curve, in nats; 0 for the first.
    spread : float
        Largest vertical distance between the shifted curves where at least two overlap.
    """

    anchor: float
    shifts: Mapping[str, float]
    spread: float


def align_curves(curves: Mapping[str, Curve], anchor: float | None = None) -> Alignment:
    """Shift curves of a family of models along log k until all pass through one coverage.

    Parameters
    ----------
    curves : mapping of str to Curve
        At least two, each increasing.
    anchor : float, optional
        The coverage to meet at; the smallest that all curves have when left out.

    Returns
    -------
    Alignment

    Raises
    ------
    UsageError
        There are fewer than two curves, or one does not reach the anchor.

    Examples
    --------
    >>> from educe.reason import coverage
    >>> strong = coverage(([400] * 50, [40] * 50), [1, 2, 4, 8, 16, 32, 64], replicates=0)
    >>> weak = coverage(([400] * 50, [20] * 50), [1, 2, 4, 8, 16, 32, 64], replicates=0)
    >>> round(align_curves({"strong": strong, "weak": weak}).shifts["weak"], 1)
    -0.7
    """
    if len(curves) < 2:
        raise UsageError(f"{len(curves)} curve cannot be aligned. Give at least two.")
    floor = max(float(curve.mean.min()) for curve in curves.values())
    ceiling = min(float(curve.mean.max()) for curve in curves.values())
    level = floor if anchor is None else anchor
    if not floor <= level <= ceiling:
        raise UsageError(f"Coverage {level:.3g} is not common to all curves. Give one in [{floor:.3g}, {ceiling:.3g}].")
    logs = {name: np.log(curve.ks.astype(np.float64)) for name, curve in curves.items()}
    at = {name: float(np.interp(level, curve.mean, logs[name])) for name, curve in curves.items()}
    first = next(iter(at.values()))
    shifts = {name: first - value for name, value in at.items()}
    moved = {name: logs[name] + shifts[name] for name in curves}
    grid = np.linspace(min(x[0] for x in moved.values()), max(x[-1] for x in moved.values()), 200)
    table = np.stack([np.interp(grid, moved[name], curve.mean, np.nan, np.nan) for name, curve in curves.items()])
    shared = (~np.isnan(table)).sum(0) >= 2
    spread = np.nanmax(table[:, shared], axis=0) - np.nanmin(table[:, shared], axis=0) if shared.any() else np.zeros(1)
    return Alignment(level, shifts, float(spread.max()))
