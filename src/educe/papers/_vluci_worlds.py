"""Worlds of the VLUCI reproduction: units whose confounder is known to the judge and hidden from the methods."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import Seed

__all__ = ["MISSPECIFIED", "World", "diabetes_world", "errors_of", "synthetic_world"]

Floats = npt.NDArray[np.float64]
MISSPECIFIED = ("uniform", "exponential", "depends on x", "noise grows")


class World(NamedTuple):
    """Covariates, confounder, treatment, outcome, individual effects, outcome of the other treatment, strength."""

    x: Floats
    c: Floats
    t: Floats
    y: Floats
    effect: Floats
    other: Floats
    strength: float


def _logistic(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)))


def synthetic_world(n: int, strength: float, seed: Seed, law: str = "normal") -> World:
    """Five covariates and one confounder that moves the treatment's log-odds by `strength`."""
    rng = seed.child("synthetic", law).numpy()
    x = rng.normal(size=(n, 5))
    c = rng.normal(size=n)
    if law == "uniform":
        c = rng.uniform(-(3**0.5), 3**0.5, size=n)
    elif law == "exponential":
        c = rng.exponential(size=n) - 1
    elif law == "depends on x":
        c = 0.7 * x[:, 0] + np.sqrt(1 - 0.49) * c
    t = (rng.random(n) < _logistic(x @ np.array([0.5, -0.5, 0.3, 0, 0.2]) + strength * c)).astype(float)
    control = x @ np.array([1, 0.5, -0.5, 0.8, 0]) + np.sin(x[:, 0]) + 1.5 * c
    effect = 1 + 0.5 * x[:, 1] + 0.5 * c
    width = 0.3 * (np.exp(0.8 * x[:, 3]) if law == "noise grows" else np.ones(n))
    y, other = (control + arm * effect + width * rng.normal(size=n) for arm in (t, 1 - t))
    return World(x, c, t, y, effect, other, strength)


def diabetes_world(seed: Seed, hide: int = 2) -> World | None:
    """Covariates of the diabetes table of scikit-learn; treatment and outcome depend on all, `hide` are taken away."""
    try:
        from sklearn.datasets import load_diabetes
    except ImportError:
        return None
    table: Any = load_diabetes().data
    rng = seed.child("diabetes").numpy()
    whole = (table - table.mean(axis=0)) / table.std(axis=0)
    order = rng.permutation(whole.shape[1])
    unseen, x = whole[:, order[:hide]], whole[:, np.sort(order[hide:])]
    c = unseen.sum(axis=1) / unseen.sum(axis=1).std()
    n = len(x)
    t = (rng.random(n) < _logistic(0.5 * x[:, 0] - 0.5 * x[:, 1] + 1.5 * c)).astype(float)
    control = x @ rng.choice([0.0, 0.3, 0.6], size=x.shape[1]) + 1.5 * c
    effect = 1 + 0.5 * x[:, 1] + 0.5 * c
    y, other = (control + arm * effect + 0.3 * rng.normal(size=n) for arm in (t, 1 - t))
    return World(x, c, t, y, effect, other, 1.5)


def errors_of(effects: Floats, truth: Floats) -> dict[str, float]:
    """Root mean squared error of individual effects (the root of PEHE), and the error of their mean."""
    return {
        "pehe": float(np.sqrt(np.mean((effects - truth) ** 2))),
        "ate error": abs(float(np.mean(effects) - np.mean(truth))),
    }
