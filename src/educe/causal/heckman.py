"""Heckman's two-step correction for a hidden confounder of a binary treatment.

Source: Heckman (1979), in the form with one outcome equation per arm (the switching regression; Lee, 1978). A probit
explains the treatment; given it, the hidden cause's mean in each arm is an inverse Mills ratio, which joins the
covariates of that arm's linear regression. Identified by the normal shape alone where no covariate moves the treatment
without moving the outcome. The bootstrap gives the intervals; every term is linear, and nothing else is.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from educe.causal._binary_regression import fit_binary, inverse_mills
from educe.causal._observations import Floats, read_observations
from educe.core import Ledger, Posterior, Seed, UsageError

__all__ = ["heckman"]


def heckman(x: Any, t: Any, y: Any, *, bootstrap: int = 200, mass: float = 0.9, seed: int | Seed = 0) -> Posterior[Any]:
    """Estimate effects under a hidden confounder with a normal law and linear outcomes.

    Parameters
    ----------
    x : array, tensor or data frame
        (n, d) covariates.
    t : array
        (n,) treatment, 0 or 1.
    y : array
        (n,) outcome.
    bootstrap : int
        Resamplings of the units, >= 2.
    mass : float
        Probability inside the interval, in (0, 1).
    seed : int or Seed
        Source of the resamplings.

    Returns
    -------
    Posterior
        Bootstrap draws of ``"average"``. ``details``: ``average`` and ``effects`` (of every unit, given its
        covariates and treatment) of the full data, ``interval``, ``selection`` (coefficients of the inverse Mills
        ratios in the arms 0 and 1: zero without confounding).

    Raises
    ------
    UsageError
        The data are unfit, or treatment is separated by the covariates.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x, c, e = generator.normal(size=(3, 20_000))
    >>> t = (2 * x + c + e > 0).astype(float)
    >>> found = heckman(x, t, x + 2 * t + 1.5 * c, bootstrap=20)
    >>> bool(abs(found.details["average"] - 2) < 0.3)
    True
    """
    start = time.perf_counter()
    if bootstrap < 2 or not 0 < mass < 1:
        raise UsageError(f"bootstrap={bootstrap}, mass={mass} is out of range. Give >= 2 and a mass in (0, 1).")
    seen = read_observations(x, t, y)
    effects, selection = _two_steps(*seen)
    generator = Seed.of(seed).child("heckman").numpy()
    averages = []
    for _ in range(bootstrap):
        index = generator.integers(0, len(seen.t), len(seen.t))
        averages.append(float(_two_steps(seen.x[index], seen.t[index], seen.y[index])[0].mean()))
    low, high = np.quantile(averages, [(1 - mass) / 2, (1 + mass) / 2])
    return Posterior(
        {"average": torch.tensor(averages, dtype=torch.float64)},
        torch.zeros(bootstrap),
        ledger=Ledger(seconds=time.perf_counter() - start),
        details={
            "average": float(effects.mean()),
            "effects": effects.tolist(),
            "mass": mass,
            "interval": [float(low), float(high)],
            "selection": selection,
        },
    )


def _two_steps(x: Floats, t: Floats, y: Floats) -> tuple[Floats, list[float]]:
    design = np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)])
    index = design @ fit_binary(design, t, "probit")
    if float(np.where(t == 1, index, -index).min()) > 0:
        raise UsageError("The covariates separate treated from untreated units, so nothing is compared. Drop some.")
    ratios = {1: inverse_mills(index), 0: -inverse_mills(-index)}
    fits = {}
    for arm in (0, 1):
        rows = t == arm
        fits[arm] = np.linalg.lstsq(np.column_stack([design, ratios[arm]])[rows], y[rows], rcond=None)[0]
    own = np.where(t == 1, ratios[1], ratios[0])
    effects = np.column_stack([design, own]) @ (fits[1] - fits[0])
    return effects, [float(fits[0][-1]), float(fits[1][-1])]
