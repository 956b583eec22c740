"""Certify a halfspace through the origin from held-out labelled data, or refuse, without trusting the law of x.

Source: Gollakota, Klivans, Stavropoulos, Vasilyan (2023), arXiv:2302.14853 (testers T1 to T3 and the structural lemma
on stationary points). The paper proves rates with unspecified constants; the computable form here is ours:

* Given x, all moments of the sample in the strip ``|<w, x>| <= sigma / 2`` are exact, so only the labels are random
  there. If every label is flipped with its own probability of at most ``eta``, then the optimum ``w*`` at angle
  ``theta`` from ``w`` satisfies, with ``P`` the strip's mass over ``sigma``, ``tau`` the mean of ``|<w, x>|`` in it,
  ``m1`` a lower bound on ``E|<v, x>|`` in it, ``g`` the norm of the ramp loss's gradient and ``s`` the label noise,
  ``|tan theta| <= (2 - 2 eta) P tau / ((1 - 2 eta) m1 P - g - s)``.
* Under adversarial noise a share ``opt`` of all labels is wrong wherever an adversary likes; ``opt`` is unknown but
  below the error of ``w``, and the certificate is the worst case over it.
* `disagreement_bound` turns the angle into a share of points on which ``w`` and ``w*`` differ.

The statement that comes out holds with probability ``1 - delta`` for every law of x; thresholds on the moments only
decide when to refuse. It does not certify that x is Gaussian, covers no bias term, and trusts the bound on the noise.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from educe.core import Ledger, Refusal, UsageError
from educe.learn._arrays import Floats, check_columns_vary, matrix, signs
from educe.learn.halfspace_moments import (
    NORMAL_DENSITY_AT_ZERO,
    HalfspaceTest,
    Slices,
    check_spread,
    check_strip_mass,
    complement,
    unit,
)

__all__ = ["Certified", "certify_halfspace", "check_parameters"]

POINTS_PER_DIMENSION = 10


@dataclass(frozen=True)
class Certified:
    """An accepted halfspace and what is certified about it.

    Parameters
    ----------
    w : ndarray
        (d,) unit normal; the prediction is the sign of ``x @ w``.
    theta : float
        Bound on the angle to the optimum, in radians; under adversarial noise at the worst noise level still open.
    excess_bound : float
        Bound on error minus the optimum's error, valid with probability ``1 - delta``.
    test_error : float
        Share of held-out labels that `w` gets wrong.
    sigma : float
        Width of the strip that was examined.
    report : tuple of HalfspaceTest
        Every test with its value and range.
    train_error : float or None
        Error on the learning part, None where `w` came from outside.
    ledger : Ledger
        Wall time.
    """

    w: Floats
    theta: float
    excess_bound: float
    test_error: float
    sigma: float
    report: tuple[HalfspaceTest, ...]
    train_error: float | None = None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def accepted(self) -> bool:
        """Always true; a refusal is a `Refusal`."""
        return True


def _upper_rate(share: float, count: int, log_term: float) -> float:
    """Largest rate that a share of `count` trials leaves possible at level ``exp(-log_term)`` (exact Chernoff)."""
    low, high = min(1.0, max(0.0, share)), 1.0
    for _ in range(60):
        middle = (low + high) / 2
        divergence = (share * math.log(share / middle) if share > 0 else 0.0) + (
            (1 - share) * math.log((1 - share) / (1 - middle)) if 0 < share < 1 and middle < 1 else 0.0
        )
        if share <= 0:
            divergence = -math.log1p(-middle) if middle < 1 else math.inf
        low, high = (middle, high) if count * divergence <= log_term else (low, middle)
    return high


class _Strip(NamedTuple):
    """What the angle bound needs to know of the sample near the boundary."""

    mass: float  # over sigma
    distance: float  # mean of |<w, x>|
    first_moment: float  # lower bound on E|<v, z>| over unit v
    largest: float
    fourth: float
    gradient: float  # norm of the ramp loss's gradient
    noise: float  # what label noise can hide of it


def _flip_proxy(eta: float) -> float:
    """Sub-Gaussian variance proxy of a +-1 label flipped with probability <= eta (Kearns and Saul 1998)."""
    if eta <= 0:
        return 0.0
    return 1.0 if eta >= 0.499 else 2 * (1 - 2 * eta) / math.log((1 - eta) / eta)


def _tangent(strip: _Strip, kept: float, lost: float, slack: float) -> float:
    """Bound on ``|tan theta|`` when correct labels count at least `kept` and wrong-side points at most `lost`."""
    room = kept * strip.first_moment * strip.mass - strip.gradient - slack
    return lost * strip.mass * strip.distance / room if room > 0 else math.inf


def certify_halfspace(
    w: Any,
    X: Any,  # noqa: N803
    y: Any,
    *,
    sigma: float = 0.02,
    noise: Literal["massart", "adversarial"] = "massart",
    eta: float = 0.2,
    delta: float = 0.05,
    target: Literal["gaussian", "log_concave"] = "gaussian",
    max_excess: float = 0.25,
) -> Certified | Refusal:
    """Bound how much worse a halfspace is than the best one, or refuse.

    Parameters
    ----------
    w : array_like
        (d,) normal, from any learner; it must not have seen `X` and `y`.
    X : array_like
        (n, d) held-out points, d >= 2. The halfspace goes through the origin.
    y : array_like
        (n,) labels of two classes; the larger one is the positive side.
    sigma : float
        Width of the strip around the boundary that is examined, > 0.
    noise : {"massart", "adversarial"}
        Each label flipped with its own probability of at most `eta`, or a share of all labels flipped at will.
    eta : float
        Bound on the Massart noise, in [0, 0.5); without a role under adversarial noise.
    delta : float
        Probability with which the certificate may be wrong, in (0, 1).
    target : {"gaussian", "log_concave"}
        The law of x that the moments are held against.
    max_excess : float
        Refuse when the certified excess is above, in (0, 1).

    Returns
    -------
    Certified or Refusal
        A refusal's certificate is the tuple of `HalfspaceTest` up to the first that failed.

    Raises
    ------
    UsageError
        The input is malformed: NaN, a constant column, other than two classes, a parameter out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50000, 3))
    >>> y = np.sign(x[:, 0]) * np.where(rng.random(50000) < 0.1, -1, 1)
    >>> certify_halfspace([1, 0, 0], x, y, sigma=0.1, eta=0.1).accepted
    True
    >>> certify_halfspace([1, 1, 0], x, y, sigma=0.1, eta=0.1).reason
    'No angle to the optimum can be certified: the loss is not stationary at this halfspace.'
    """
    began = time.perf_counter()
    table = matrix(X, rows=2, columns=2)
    check_columns_vary(table)
    labels = signs(y, len(table))[0]
    direction = unit(w, table.shape[1])
    check_parameters(noise=noise, eta=eta, delta=delta, max_excess=max_excess)
    log_term = math.log(3 / delta)
    count, dimension = table.shape
    margins = table @ direction
    error = float((np.where(margins >= 0, 1.0, -1.0) != labels).mean())
    inside = np.abs(margins) <= sigma / 2
    report: list[HalfspaceTest] = []

    def refuse(reason: str) -> Refusal:
        return Refusal(reason, tuple(report), Ledger(seconds=time.perf_counter() - began))

    report.append(HalfspaceTest("points in the strip", int(inside.sum()), POINTS_PER_DIMENSION * dimension, math.inf))
    report += check_strip_mass(direction, table, sigma=sigma, target=target)
    needed = int(report[0].low)
    # With too little data the masses are noise, and it would be wrong to blame the law of x.
    enough = report[0].passed or count * sigma * NORMAL_DENSITY_AT_ZERO >= needed
    for test in report[1:] if enough else ():
        if not test.passed:
            return refuse(f"The {test.name} is {test.value:.3g} of the target's; x does not look like the target law.")
    if not report[0].passed:
        return refuse(
            f"The strip of width {sigma:g} holds {int(inside.sum())} of the {needed} points needed. "
            "Give more data or a larger sigma."
        )
    z = table[inside] @ complement(direction)
    report += check_spread(z, target=target)
    for test in report[-3:]:
        if not test.passed:
            return refuse(f"The {test.name} near the boundary is {test.value:.3g}; x does not look like the target.")
    smallest, largest, fourth = (test.value for test in report[-3:])
    scaled = z / (count * sigma)
    strip = _Strip(
        mass=float(inside.mean()) / sigma,
        distance=float(np.abs(margins[inside]).mean()),
        first_moment=smallest**1.5 / math.sqrt(smallest**2 + fourth),
        largest=largest,
        fourth=fourth,
        gradient=float(np.linalg.norm(labels[inside] @ scaled)),
        # w* is a fixed vector, so its direction needs one tail bound and no union over directions.
        noise=math.sqrt(2 * _flip_proxy(eta) * float(np.linalg.eigvalsh(scaled.T @ scaled)[-1]) * log_term),
    )
    slices = Slices.of(direction, table)
    highest = _upper_rate(error, count, log_term)
    lowest = 1 - _upper_rate(1 - error, count, log_term)

    def disagreement(tangent: float) -> float:
        bound = 1.0 if math.isinf(tangent) else slices.bound(math.atan(tangent))
        return _upper_rate(bound, count, log_term)

    if noise == "massart":
        tangent = _tangent(strip, 1 - 2 * eta, 2 - 2 * eta, strip.noise)
        excess = disagreement(tangent)
        report.append(HalfspaceTest("tangent of the angle", tangent, 0.0, sys.float_info.max))
        if not report[-1].passed:
            return refuse("No angle to the optimum can be certified: the loss is not stationary at this halfspace.")
    else:
        tangent, excess = _worst_noise_level(strip, disagreement, highest, sigma, count, log_term)
    report.append(HalfspaceTest("certified excess error", excess, 0.0, max_excess))
    if not report[-1].passed:
        return refuse(f"The certified excess error {excess:.3g} is above max_excess={max_excess:g}.")
    # The gradient cannot tell w* from -w*; an error this far below that of -w* can.
    ceiling = eta + excess if noise == "massart" else 0.5
    report.append(HalfspaceTest("least error rate of w", lowest, 0.0, ceiling))
    report.append(HalfspaceTest("greatest error rate of w", highest, 0.0, 1 - ceiling))
    if not (report[-2].passed and report[-1].passed):
        return refuse(f"The error rate {error:.3g} contradicts the noise model, which allows {ceiling:.3g} at most.")
    ledger = Ledger(seconds=time.perf_counter() - began)
    return Certified(direction, math.atan(tangent), excess, error, sigma, tuple(report), None, ledger)


def check_parameters(*, noise: str, eta: float, delta: float, max_excess: float) -> None:
    """Refuse parameters out of range."""
    if noise not in ("massart", "adversarial"):
        raise UsageError(f"noise={noise!r} is unknown. Use 'massart' or 'adversarial'.")
    if not 0 <= eta < 0.5:
        raise UsageError(f"eta={eta} is no Massart noise. Give a flip probability of 0 up to, not including, 0.5.")
    if not 0 < delta < 1:
        raise UsageError(f"delta={delta} is no probability strictly between 0 and 1. Give for instance 0.05.")
    if not 0 < max_excess < 1:
        raise UsageError(f"max_excess={max_excess} is no bound on an error rate. Give a number between 0 and 1.")


def _worst_noise_level(
    strip: _Strip, disagreement: Any, highest: float, sigma: float, count: int, log_term: float
) -> tuple[float, float]:
    """Angle and excess at the share of flipped labels, of all below the error of w, that is worst for w.

    A share `opt` leaves an excess of at most ``highest - opt``, and an angle that grows with `opt`; the two cross.
    """

    def angle(opt: float) -> float:
        flipped = opt + math.sqrt(2 * opt * log_term / count) + log_term / (3 * count)
        strip_mass = strip.mass * sigma
        flipped = min(flipped, strip_mass)
        by_second = math.sqrt(flipped * strip_mass * strip.largest)
        by_fourth = flipped**0.75 * (strip_mass * (strip.largest**2 + strip.fourth)) ** 0.25
        return _tangent(strip, 1.0, 2.0, 2 * min(by_second, by_fourth) / sigma)

    if disagreement(angle(0.0)) >= highest:
        return angle(0.0), highest
    low, high = 0.0, highest
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if disagreement(angle(middle)) <= highest - middle else (low, middle)
    return angle(low), highest - low
