"""`check_gradient`: is a gradient estimator unbiased? A z-score for every parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from educe.core import Seed, UsageError
from educe.prob.vi.expectation import E, Parameters
from educe.prob.vi.strategies import enum

__all__ = ["GradientCheck", "check_gradient"]

CHUNK = 20_000


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradient` found.

    Parameters
    ----------
    estimate : dict of str to Tensor
        Mean of the estimator.
    expected : dict of str to Tensor
        What it was compared with.
    z : dict of str to Tensor
        Difference in standard errors; beyond 4 something is wrong, or many parameters were looked at.
    variance : dict of str to Tensor
        Of a single estimate.
    reference : str
        ``"given"``, ``"enumeration"`` or ``"finite differences"``.
    """

    estimate: dict[str, torch.Tensor]
    expected: dict[str, torch.Tensor]
    z: dict[str, torch.Tensor]
    variance: dict[str, torch.Tensor]
    reference: str

    @property
    def largest(self) -> float:
        """Largest absolute z-score."""
        return max(float(value.abs().max()) for value in self.z.values())


def check_gradient(
    objective: Callable[..., Any],
    parameters: Parameters,
    exact: Mapping[str, torch.Tensor] | None = None,
    n: int = 20_000,
    seed: int | Seed = 0,
    step: float = 0.05,
) -> GradientCheck:
    """Compare the mean of a gradient estimator with the gradient.

    Parameters
    ----------
    objective : callable
        See `E`, with the strategies to be checked.
    parameters : mapping of str to Tensor
        Where, in float64.
    exact : mapping of str to Tensor or None
        The gradient, if known. Otherwise it is found by enumeration if all draws are finite, else by central
        differences of plain estimates, whose own standard error counts.
    n : int
        Single-sample estimates, >= 2.
    seed : int or Seed
        Same seed, same scores.
    step : float
        Of the central differences; their bias is of order ``step ** 2``.

    Returns
    -------
    GradientCheck

    Examples
    --------
    >>> from educe.prob import Bernoulli
    >>> from educe.prob.vi import reinforce
    >>> def cost(p):
    ...     heads = yield Bernoulli(torch.sigmoid(p["t"])) @ reinforce
    ...     return (heads - 0.4) ** 2 + p["t"] * heads
    >>> found = check_gradient(cost, {"t": torch.tensor(0.2, dtype=torch.float64)})
    >>> found.reference, found.largest < 4
    ('enumeration', True)
    """
    if n < 2:
        raise UsageError(f"n={n} gives no standard error. Give n >= 2.")
    expectation = E(objective)
    parts = [
        expectation.gradients(parameters, Seed.of(seed).child("part", i), min(CHUNK, n - i)).gradient
        for i in range(0, n, CHUNK)
    ]
    drawn = {name: torch.cat([part[name] for part in parts]) for name in parameters}
    estimate = {name: value.mean(0) for name, value in drawn.items()}
    variance = {name: value.var(0) for name, value in drawn.items()}
    squared_error = {name: value / n for name, value in variance.items()}
    reference = "given"
    expected = dict(exact or {})
    if exact is None:
        try:
            expected = expectation.value_and_grad(parameters, strategy=enum).gradient
            reference = "enumeration"
        except UsageError:
            expected, extra = _differences(expectation, parameters, n, Seed.of(seed).child("differences"), step)
            squared_error = {name: squared_error[name] + extra[name] for name in parameters}
            reference = "finite differences"
    z = {}
    for name, value in estimate.items():
        gap = value - expected[name]
        # An estimator without variance is right to rounding or wrong.
        z[name] = gap / (squared_error[name] + (1e-9 * (1 + expected[name].abs())) ** 2).sqrt()
    return GradientCheck(estimate, expected, z, variance, reference)


def _differences(
    expectation: E, parameters: Parameters, n: int, seed: Seed, step: float
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Central differences with common random numbers, with their squared standard errors."""
    gradient = {name: torch.zeros_like(value) for name, value in parameters.items()}
    error = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for name, value in parameters.items():
        for index in range(value.numel()):
            sides = []
            for sign in (1, -1):
                moved = value.detach().clone()
                moved.reshape(-1)[index] += sign * step
                with torch.no_grad():
                    sides.append(expectation.samples({**parameters, name: moved}, seed=seed.child(name, index), n=n))
            slope = (sides[0] - sides[1]) / (2 * step)
            gradient[name].reshape(-1)[index] = slope.mean()
            error[name].reshape(-1)[index] = slope.var() / n
    return gradient, error
