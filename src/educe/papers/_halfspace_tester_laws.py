"""Nine laws of the inputs and two kinds of label noise, with the truth of every draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from educe.core import Seed

__all__ = ["FLIPS", "LAWS", "NOISES", "make"]

NOISES = ("massart", "adversarial")
FLIPS = {"massart": 0.2, "adversarial": 0.03}
LAWS = ("gaussian", "cube", "laplace", "t3", "corners", "low rank", "spike", "clusters", "bad strip")


def draw_points(law: str, n: int, best: Any, random: np.random.Generator) -> Any:
    """Draw points whose distance from the boundary of `best` is as the law says."""
    d = len(best)
    if law == "cube":
        return random.uniform(-math.sqrt(3), math.sqrt(3), size=(n, d))
    if law == "laplace":
        return random.laplace(size=(n, d)) / math.sqrt(2)
    if law == "t3":
        return random.standard_t(3, size=(n, d)) / math.sqrt(3)
    if law == "corners":
        return random.choice([-1.0, 1.0], size=(n, d))
    x = random.normal(size=(n, d))
    if law == "low rank":
        plane = np.linalg.qr(random.normal(size=(d, d // 2)))[0]
        return math.sqrt(2) * (x @ plane) @ plane.T
    if law == "spike":
        return x * np.where(random.random(n) < 0.3, 1e-3, 1.0)[:, None]
    if law == "clusters":
        return 0.3 * x + 3 * random.choice([-1.0, 1.0], size=(n, 1)) * best
    if law == "bad strip":
        margins = x @ best
        along = margins[:, None] * best
        return np.where(np.abs(margins)[:, None] < 0.1, along + 0.1 * (x - along), x)
    return x


def flip_rates(noise: str, margins: Any) -> Any:
    """Probability of a flip at each point: constant, or one at the largest margins."""
    if noise == "massart":
        return np.full(len(margins), FLIPS[noise])
    rates = np.zeros(len(margins))
    rates[np.argsort(-np.abs(margins), kind="stable")[: int(FLIPS[noise] * len(margins))]] = 1.0
    return rates


def make(law: str, noise: str, n: int, best: Any, seed: Seed) -> tuple[Any, Any, Callable[[Any], float]]:
    """Return points, labels, and a function that measures a halfspace's excess error on fresh points."""
    random = seed.child(law, noise).numpy()
    x = draw_points(law, n, best, random)
    margins = x @ best
    y = np.where(margins >= 0, 1.0, -1.0) * np.where(random.random(n) < flip_rates(noise, margins), -1, 1)
    # Low-rank points live in the plane of one draw, so the truth is measured on those points themselves.
    fresh = x if law == "low rank" else draw_points(law, n // 4, best, seed.child(law, noise, "fresh").numpy())
    fresh_margins = fresh @ best
    gain = 1 - 2 * flip_rates(noise, fresh_margins)

    def excess(w: Any) -> float:
        return float((gain * ((fresh @ w >= 0) != (fresh_margins >= 0))).mean())

    return x, y, excess
