"""The average effect of a binary treatment, with all that should stand beside it.

`average_effect` is the augmented inverse-propensity estimator (Robins, Rotnitzky and Zhao, 1994) with cross-fitting
(Chernozhukov et al., 2018): right if either the propensity or the outcome model is. Its answer carries an interval, an
overlap report, a placebo (the same estimate with the treatment shuffled, which must be near zero) and a sensitivity
check: the robustness value of Cinelli and Hazlett (2020), the share of residual variance of treatment and outcome that
a hidden confounder would have to explain to bring the estimate to zero. Where an arm has no counterparts the answer is
a refusal.

Assumes that the covariates hold every common cause; see `VLUCI` and `heckman` where they do not.
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from educe.causal._binary_regression import fit_binary
from educe.causal._observations import Floats, matrix, read_observations
from educe.causal.cate import TLearner
from educe.core import Ledger, Posterior, Refusal, Seed, UsageError

__all__ = ["Overlap", "average_effect", "overlap", "robustness_value"]

# Propensities outside this range count as no overlap, and are cut to it.
LOWEST = 0.01
DRAWS = 1000


class Overlap(NamedTuple):
    """How comparable the arms are.

    `propensity` (n,) is fitted by logistic regression. `outside` is the share of units with a propensity below 0.01 or
    above 0.99, `lowest` and `highest` its range, `effective` the effective number of units in the arms 0 and 1 after
    weighting, `imbalance` the largest standardised difference of means and `column` the covariate that has it.
    """

    propensity: Floats
    outside: float
    lowest: float
    highest: float
    effective: tuple[float, float]
    imbalance: float
    column: int


class _Linear:
    """Least squares with an intercept."""

    def fit(self, x: Floats, y: Floats) -> _Linear:
        self._beta = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0]
        return self

    def predict(self, x: Floats) -> Floats:
        return np.asarray(np.column_stack([np.ones(len(x)), x]) @ self._beta)


def overlap(x: Any, t: Any) -> Overlap:
    """Report how comparable treated and untreated units are.

    Parameters
    ----------
    x : array, tensor or data frame
        (n, d) covariates.
    t : array
        (n,) treatment, 0 or 1.

    Returns
    -------
    Overlap

    Raises
    ------
    UsageError
        A value is missing, a column is constant, or an arm is (nearly) empty.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x = generator.normal(size=(500, 2))
    >>> overlap(x, x[:, 1] + 0.1 * generator.normal(size=500) > 0).column
    1
    """
    # The outcome plays no part: a column that varies stands in for it.
    table = matrix(x)
    seen = read_observations(table, t, np.arange(len(table)))
    propensity = _propensity(seen.x, seen.t, seen.x)
    arms = [seen.t == 0, seen.t == 1]
    weights = [1 / np.clip(1 - propensity[arms[0]], LOWEST, 1), 1 / np.clip(propensity[arms[1]], LOWEST, 1)]
    effective = tuple(float(w.sum() ** 2 / (w**2).sum()) for w in weights)
    width = np.sqrt((seen.x[arms[0]].var(axis=0) + seen.x[arms[1]].var(axis=0)) / 2)
    apart = np.abs(seen.x[arms[1]].mean(axis=0) - seen.x[arms[0]].mean(axis=0)) / np.maximum(width, 1e-12)
    outside = (propensity < LOWEST) | (propensity > 1 - LOWEST)
    return Overlap(
        propensity,
        float(outside.mean()),
        float(propensity.min()),
        float(propensity.max()),
        (effective[0], effective[1]),
        float(apart.max()),
        int(apart.argmax()),
    )


def average_effect(
    x: Any,
    t: Any,
    y: Any,
    learner: Any = None,
    *,
    folds: int = 5,
    mass: float = 0.9,
    allowed: float = 0.1,
    seed: int | Seed = 0,
) -> Posterior[Any] | Refusal:
    """Estimate the average effect, with interval, overlap, placebo and sensitivity.

    Parameters
    ----------
    x : array, tensor or data frame
        (n, d) covariates.
    t : array
        (n,) treatment, 0 or 1.
    y : array
        (n,) outcome.
    learner : object, optional
        Outcome model with ``fit(x, t, y)`` and ``predict(x, t)``, such as `TARNet`; refitted on every fold. Linear
        regression per arm when left out.
    folds : int
        Parts for cross-fitting, >= 2.
    mass : float
        Probability inside the intervals, in (0, 1).
    allowed : float
        The share of units without overlap above which the answer is a refusal.
    seed : int or Seed
        Source of folds, of the placebo and of the draws.

    Returns
    -------
    Posterior or Refusal
        Normal draws of ``"effect"``. ``details``: ``effect``, ``standard_error``, ``interval``, ``overlap`` (an
        `Overlap` as a mapping, without the propensities), ``placebo`` (``effect``, ``interval``, ``passed``),
        ``robustness_value``. A refusal names the share of units without counterparts and the covariate that sets the
        arms apart, and carries the `Overlap`.

    Raises
    ------
    UsageError
        The data are unfit, or a parameter is out of range.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x = generator.normal(size=(1000, 2))
    >>> t = (generator.logistic(size=1000) < x[:, 0]).astype(float)
    >>> found = average_effect(x, t, x[:, 0] + t + generator.normal(size=1000))
    >>> low, high = found.details["interval"]
    >>> low < 1 < high, found.details["placebo"]["passed"]
    (True, True)
    """
    start = time.perf_counter()
    if folds < 2 or not 0 < mass < 1 or not 0 <= allowed < 1:
        raise UsageError(
            f"folds={folds}, mass={mass}, allowed={allowed} is out of range. Give >= 2, and shares in (0, 1)."
        )
    seen = read_observations(x, t, y)
    report = overlap(seen.x, seen.t)
    if report.outside > allowed:
        return Refusal(
            f"The average effect is not identified from these data: {report.outside:.0%} of the units have a "
            f"propensity outside [{LOWEST}, {1 - LOWEST}], so the other arm has no counterparts to them; column "
            f"{report.column} of x sets the arms apart most.",
            report,
        )
    root = Seed.of(seed).child("average_effect")
    model = TLearner(_Linear()) if learner is None else learner
    effect, error = _doubly_robust(*seen, model, folds, root)
    order = root.child("placebo").numpy().permutation(len(seen.t))
    false, false_error = _doubly_robust(seen.x, seen.t[order], seen.y, model, folds, root.child("placebo"))
    z = _normal_quantile((1 + mass) / 2)
    design = np.column_stack([np.ones(len(seen.t)), seen.x, seen.t])
    details = {
        "effect": effect,
        "standard_error": error,
        "mass": mass,
        "interval": [effect - z * error, effect + z * error],
        "overlap": {name: value for name, value in report._asdict().items() if name != "propensity"},
        "placebo": {
            "effect": false,
            "interval": [false - z * false_error, false + z * false_error],
            # Four standard errors: a sound estimate fails once in 16,000 times.
            "passed": abs(false) <= 4 * false_error,
        },
        "robustness_value": robustness_value(effect / error, len(seen.t) - design.shape[1]),
    }
    draws = effect + error * root.child("draws").numpy().standard_normal(DRAWS)
    ledger = Ledger(seconds=time.perf_counter() - start)
    return Posterior({"effect": torch.as_tensor(draws)}, torch.zeros(DRAWS), ledger=ledger, details=details)


def robustness_value(t_statistic: float, degrees: int, share: float = 1.0) -> float:
    """Return how strong a hidden confounder must be to explain an estimate away.

    Parameters
    ----------
    t_statistic : float
        The estimate over its standard error.
    degrees : int
        Residual degrees of freedom, >= 1.
    share : float
        The part of the estimate to explain away, in (0, 1].

    Returns
    -------
    float
        Partial R-squared with treatment and with outcome, in [0, 1]: a confounder with less of both cannot do it.
        Exact for linear regression, a guide elsewhere.

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> round(robustness_value(4.18, 783), 3)  # the example of Cinelli and Hazlett
    0.139
    """
    if degrees < 1 or not 0 < share <= 1 or not math.isfinite(t_statistic):
        raise UsageError(
            f"t_statistic={t_statistic}, degrees={degrees}, share={share} is out of range. "
            "Give a finite number, >= 1, and a share in (0, 1]."
        )
    f = share * abs(t_statistic) / math.sqrt(degrees)
    return 0.5 * (math.sqrt(f**4 + 4 * f**2) - f**2)


def _doubly_robust(x: Floats, t: Floats, y: Floats, learner: Any, folds: int, seed: Seed) -> tuple[float, float]:
    """Mean and standard error of the cross-fitted influence values."""
    parts = np.empty(len(t), dtype=int)
    # Folds within arms, so that none lacks an arm.
    for arm in (0, 1):
        rows = seed.child("folds", arm).numpy().permutation(np.flatnonzero(t == arm))
        parts[rows] = np.arange(len(rows)) % folds
    values = np.empty(len(t))
    for fold in range(folds):
        out, kept = parts == fold, parts != fold
        share = np.clip(_propensity(x[kept], t[kept], x[out]), LOWEST, 1 - LOWEST)
        fitted = copy.deepcopy(learner).fit(x[kept], t[kept], y[kept])
        control, treated = fitted.predict(x[out], 0), fitted.predict(x[out], 1)
        residual = np.where(t[out] == 1, (y[out] - treated) / share, -(y[out] - control) / (1 - share))
        values[out] = treated - control + residual
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _propensity(x: Floats, t: Floats, at: Floats) -> Floats:
    mean, width = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-12)
    design, wanted = (np.column_stack([np.ones(len(part)), (part - mean) / width]) for part in (x, at))
    return np.asarray(1 / (1 + np.exp(-np.clip(wanted @ fit_binary(design, t, "logit"), -500, 500))))


def _normal_quantile(p: float) -> float:
    return float(torch.special.ndtri(torch.tensor(p, dtype=torch.float64)))
