"""Regression of 0 and 1 on covariates by maximum likelihood: logistic and probit, Newton's method."""

from __future__ import annotations

import math

import numpy as np
import torch

from educe.causal._observations import Floats

__all__ = ["fit_binary", "inverse_mills"]

# Only large enough to keep the solution finite where the classes can be separated.
RIDGE = 1e-6
MOST_STEPS = 50


def inverse_mills(values: Floats) -> Floats:
    """Normal density over distribution function, stable in the lower tail."""
    log_density = -0.5 * values**2 - 0.5 * math.log(2 * math.pi)
    return np.asarray(np.exp(log_density - torch.special.log_ndtr(torch.as_tensor(values)).numpy()))


def fit_binary(design: Floats, t: Floats, link: str) -> Floats:
    """Return the coefficients; `design` brings its own column of ones."""
    beta = np.zeros(design.shape[1])
    sign = 2 * t - 1
    for _ in range(MOST_STEPS):
        index = design @ beta
        if link == "logit":
            share = 1 / (1 + np.exp(-np.clip(index, -500, 500)))
            score, curvature = t - share, share * (1 - share)
        else:
            ratio = inverse_mills(sign * index)
            score, curvature = sign * ratio, ratio * (ratio + sign * index)
        information = (design * curvature[:, None]).T @ design + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(information, design.T @ score - RIDGE * beta)
        # Half a step of more than ten deviations: separated classes would otherwise run away.
        beta = beta + step * min(1.0, 10.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-9:
            break
    return beta
