"""Learn a halfspace through the origin and certify it, or reject the assumption on the inputs.

Source: Gollakota, Klivans, Stavropoulos, Vasilyan (2023), arXiv:2302.14853. Projected stochastic gradient descent on a
ramp loss over the unit sphere proposes w on one part of the data; `certify_halfspace` tests it on the rest. The paper
tests a whole list of iterates and its proof fixes no step sizes; here the descent is annealed in width, finished with
full-batch steps and gives one candidate for each width, between which the failure probability is divided.

There is no bias term and no more than two classes. Real tables are rarely close to a Gaussian with unit covariance
and will mostly be rejected; `whiten` helps with the covariance only.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from educe.core import EduceError, Ledger, Refusal, Seed, UsageError
from educe.learn._arrays import Floats, check_columns_vary, matrix, signs
from educe.learn._estimator import Estimator
from educe.learn.halfspace_certificate import Certified, certify_halfspace, check_parameters
from educe.learn.halfspace_moments import unit

__all__ = ["Rejected", "TesterLearner", "psgd_sphere", "ramp_loss"]

STARTS = 2
BATCH = 4000
POLISHING_STEPS = 50
LEARNING_SHARE = 0.4
WIDEST_STRIP = 0.64


class Rejected(EduceError):  # noqa: N818  (the outcome's own name)
    """A tester-learner was asked to predict although it rejected its data."""


def ramp_loss(margin: Any, sigma: float, *, smooth: bool = True) -> tuple[Floats, Floats]:
    """Ramp from 0 to 1 of a given width, and its slope.

    Parameters
    ----------
    margin : array_like
        Where to evaluate; the loss of a labelled point is the ramp at ``-y <w, x>``.
    sigma : float
        Width, > 0: 0 below ``-sigma / 2`` and 1 above ``sigma / 2``.
    smooth : bool
        Blend the outer thirds with a cubic, so that the slope is continuous (it then reaches ``4 / (3 sigma)``);
        otherwise a straight line of slope ``1 / sigma``.

    Returns
    -------
    value, slope : ndarray
        Of the margin's shape.

    Raises
    ------
    UsageError
        `sigma` is not above zero.

    Examples
    --------
    >>> value, slope = ramp_loss([-1, 0, 1], sigma=1.0)
    >>> value.tolist(), slope.tolist()
    ([0.0, 0.5, 1.0], [0.0, 1.0, 0.0])
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise UsageError(f"sigma={sigma} is no width. Give a number above zero, for instance 0.02.")
    t = np.asarray(margin, dtype=np.float64) / sigma
    distance = np.abs(t)
    if not smooth:
        return np.clip(t + 0.5, 0, 1), np.where(distance <= 0.5, 1 / sigma, 0.0)
    # Hermite cubic over the outer third: value 2/3 and slope 1 inside, value 1 and slope 0 outside.
    s = np.clip(3 * distance - 0.5, 0, 1)
    outer = 2 / 3 + (s + s**2 - s**3) / 3
    value = 0.5 + np.sign(t) * np.where(distance <= 1 / 6, distance, outer - 0.5)
    slope = np.where(distance <= 1 / 6, 1.0, np.where(distance < 0.5, 1 + 2 * s - 3 * s**2, 0.0)) / sigma
    return value, slope


def _gradient(w: Floats, table: Floats, labels: Floats, sigma: float, smooth: bool) -> Floats:
    margins = table @ w
    near = np.abs(margins) <= sigma / 2
    weights = ramp_loss(margins[near], sigma, smooth=smooth)[1] * labels[near]
    gradient = -(weights @ table[near]) / len(table)
    projected: Floats = gradient - (gradient @ w) * w
    return projected


def psgd_sphere(
    X: Any,  # noqa: N803
    y: Any,
    *,
    sigma: float,
    start: Any = None,
    steps: int = 300,
    batch: int | None = BATCH,
    step: float = 0.3,
    smooth: bool = True,
    seed: int | Seed = 0,
) -> Floats:
    """Projected stochastic gradient descent on the ramp loss over the unit sphere.

    Parameters
    ----------
    X : array_like
        (n, d) points.
    y : array_like
        (n,) labels of two classes.
    sigma : float
        Width of the ramp.
    start : array_like, optional
        (d,) first iterate; a uniformly random direction when left out.
    steps : int
        How many, >= 0.
    batch : int or None
        Points in a step, with a step size of ``step / sqrt(1 + t / 10)``; None for all points and a constant step
        size. Batches are consecutive blocks of one shuffled order, gone through as often as needed.
    step : float
        Size of the first step, > 0.
    smooth : bool
        Which ramp; see `ramp_loss`.
    seed : int or Seed
        Of the start and the batches.

    Returns
    -------
    ndarray
        (steps + 1, d) unit vectors, the start first.

    Raises
    ------
    UsageError
        The input is malformed.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5000, 3))
    >>> path = psgd_sphere(x, np.sign(x[:, 0]), sigma=0.5, seed=1)
    >>> bool(path[-1, 0] > 0.99)
    True
    """
    table = matrix(X)
    labels = signs(y, len(table))[0]
    if steps < 0 or (batch is not None and batch < 1):
        raise UsageError(f"steps={steps} and batch={batch} make no descent. Give steps >= 0 and batch >= 1.")
    if not (math.isfinite(step) and step > 0):
        raise UsageError(f"step={step} goes nowhere. Give a number above zero.")
    random = Seed.of(seed).child("psgd").numpy()
    w = unit(random.normal(size=table.shape[1]) if start is None else start, table.shape[1])
    path = [w]
    if batch is not None:
        order = random.permutation(len(table))[: steps * batch]
        table, labels = table[order], labels[order]
    blocks = 1 if batch is None else max(1, len(table) // batch)
    for t in range(steps):
        block = slice(None) if batch is None else slice(t % blocks * batch, (t % blocks + 1) * batch)
        gradient = _gradient(w, table[block], labels[block], sigma, smooth)
        size = step if batch is None else step / math.sqrt(1 + t / 10)
        w = unit(w - size * gradient, len(w))
        path.append(w)
    return np.stack(path)


class TesterLearner(Estimator):
    """Learn a halfspace that comes with a bound on its excess error, or reject.

    Parameters
    ----------
    noise : {"massart", "adversarial"}
        Noise model; see `certify_halfspace`. Under adversarial noise a grid of widths from `sigma` up by factors of 4
        is tried, since the right one depends on the unknown noise level; one rejected width rejects.
    eta : float
        Bound on the Massart noise, in [0, 0.5).
    sigma : float
        Width of the strip, > 0. About a fifth of the excess error aimed at; the data must fill the strip.
    delta : float
        Probability with which the certificate may be wrong.
    target : {"gaussian", "log_concave"}
        The law of x that is assumed and tested.
    max_excess : float
        Reject when no smaller excess error can be certified.
    whiten : bool
        Multiply x by the inverse root of its second moment (of the learning part) first. The halfspace stays one.
    if_rejected : {"raise", "predict"}
        What `predict` does after a rejection: raise `Rejected`, or predict with the uncertified halfspace, which is
        what tools that score on arbitrary data (cross-validation, scikit-learn's battery) need.
    seed : int or Seed
        Of the split, the starts and the batches.

    Attributes
    ----------
    result_ : Certified or Refusal
        The outcome; a `Refusal` carries the report of the tests as its certificate.
    coef_ : ndarray
        (1, d) unit normal in the coordinates of the input, also after a rejection.
    classes_ : ndarray
        The two labels; the second is the positive side.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100000, 3))
    >>> y = np.sign(x @ [1, 1, 1]) * np.where(rng.random(100000) < 0.1, -1, 1)
    >>> learner = TesterLearner(eta=0.1, sigma=0.1).fit(x, y)
    >>> learner.result_.accepted, bool(learner.result_.excess_bound < 0.2)
    (True, True)
    >>> cube = np.sign(x)
    >>> TesterLearner(eta=0.1, sigma=0.1).fit(cube, y).result_.reason
    "The strip mass is 0 of the target's; x does not look like the target law."
    """

    # Otherwise pytest takes the class for a test wherever a user's test module imports it.
    __test__: ClassVar[bool] = False
    _kind: ClassVar[Literal["classifier"]] = "classifier"
    result_: Certified | Refusal
    coef_: Floats
    classes_: npt.NDArray[Any]

    def __init__(
        self,
        noise: Literal["massart", "adversarial"] = "massart",
        eta: float = 0.2,
        sigma: float = 0.02,
        delta: float = 0.05,
        target: Literal["gaussian", "log_concave"] = "gaussian",
        max_excess: float = 0.25,
        whiten: bool = False,
        if_rejected: Literal["raise", "predict"] = "raise",
        seed: int | Seed = 0,
    ) -> None:
        self.noise = noise
        self.eta = eta
        self.sigma = sigma
        self.delta = delta
        self.target = target
        self.max_excess = max_excess
        self.whiten = whiten
        self.if_rejected = if_rejected
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn on 40 % of the rows, test on the others.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d), n >= 10, d >= 2, finite, no constant column.
        y : array_like
            (n,) labels of two classes.

        Raises
        ------
        UsageError
            The input is malformed.
        """
        began = time.perf_counter()
        check_parameters(noise=self.noise, eta=self.eta, delta=self.delta, max_excess=self.max_excess)
        if self.if_rejected not in ("raise", "predict"):
            raise UsageError(f"if_rejected={self.if_rejected!r} is unknown. Use 'raise' or 'predict'.")
        table = matrix(X, rows=10, columns=2)
        labels, self.classes_ = signs(y, len(table))
        check_columns_vary(table)
        self._remember(X, table)
        seed = Seed.of(self.seed)
        order = seed.child("split").numpy().permutation(len(table))
        cut = max(4, int(LEARNING_SHARE * len(table)))
        learning, testing = order[:cut], order[cut:]
        transform = _whitener(table[learning]) if self.whiten else np.eye(table.shape[1])
        train, train_labels = table[learning] @ transform, labels[learning]
        test, test_labels = table[testing] @ transform, labels[testing]
        widths = [self.sigma]
        while self.noise == "adversarial" and widths[-1] * 4 <= WIDEST_STRIP:
            widths.append(widths[-1] * 4)
        outcomes: list[tuple[Floats, Certified | Refusal]] = []
        for index, width in enumerate(widths):
            w = self._propose(train, train_labels, width, seed.child("width", index))
            outcome: Certified | Refusal
            if min(np.ptp(test_labels), np.ptp(test, axis=0).min()) == 0:
                outcome = Refusal("The testing part holds one class or a constant column. Give more rows.", ())
            else:
                outcome = certify_halfspace(
                    w, test, test_labels, sigma=width, noise=self.noise, eta=self.eta,
                    delta=self.delta / len(widths), target=self.target, max_excess=self.max_excess,
                )  # fmt: skip
            outcomes.append((w, outcome))
            if isinstance(outcome, Refusal):
                break
        rejected = [pair for pair in outcomes if isinstance(pair[1], Refusal)]
        accepted = [pair[1] for pair in outcomes if isinstance(pair[1], Certified)]
        w = rejected[0][0] if rejected else min(accepted, key=lambda item: item.test_error).w
        normal = unit(transform @ w, len(w))
        self.coef_ = normal[None, :]
        ledger = Ledger(seconds=time.perf_counter() - began)
        if rejected and isinstance(rejected[0][1], Refusal):
            self.result_ = replace(rejected[0][1], ledger=ledger)
        else:
            best = min(accepted, key=lambda item: item.test_error)
            self.result_ = replace(best, w=normal, train_error=_error(w, train, train_labels), ledger=ledger)
        return self

    def _propose(self, table: Floats, labels: Floats, width: float, seed: Seed) -> Floats:
        """Take the end of each descent and its mirror image, and polish the one with the least training error."""
        candidates = []
        for index in range(STARTS):
            own = seed.child("start", index)
            w = None
            for stage, sigma in enumerate((max(0.5, width), max(0.2, width), width)):
                w = psgd_sphere(table, labels, sigma=sigma, start=w, seed=own.child(stage))[-1]
            candidates += [w, -w] if w is not None else []
        best = min(candidates, key=lambda w: _error(w, table, labels))
        # A step of the ramp's own width is stable however narrow it is: the curvature grows as 1 / sigma.
        path = psgd_sphere(
            table, labels, sigma=width, start=best, batch=None, step=width, steps=POLISHING_STEPS, smooth=False
        )
        polished: Floats = path[-1]
        return polished

    def decision_function(self, X: Any) -> Floats:  # noqa: N803
        """Signed distance to the boundary; see `predict`.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        """
        table = self._recall(X)
        if isinstance(self.result_, Refusal) and self.if_rejected == "raise":
            raise Rejected(
                f"The data were rejected: {self.result_.reason} "
                "Read result_, or set if_rejected='predict' to use the uncertified halfspace."
            )
        scores: Floats = table @ self.coef_[0]
        return scores

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Predict labels with the learned halfspace.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).

        Returns
        -------
        ndarray
            (n,) of `classes_`.

        Raises
        ------
        Rejected
            The fit rejected its data and `if_rejected` is ``"raise"``.
        UsageError
            The input does not look like that of the fit.
        """
        positive = (self.decision_function(X) >= 0).astype(int)
        labels: npt.NDArray[Any] = self.classes_[positive]
        return labels

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Share of labels predicted rightly.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).
        y : array_like
            (n,) true labels.
        """
        return float((self.predict(X) == np.asarray(y)).mean())


def _error(w: Floats, table: Floats, labels: Floats) -> float:
    return float((np.where(table @ w >= 0, 1.0, -1.0) != labels).mean())


def _whitener(table: Floats) -> Floats:
    values, vectors = np.linalg.eigh(table.T @ table / len(table))
    if values[0] <= 1e-10 * values[-1]:
        raise UsageError("The columns of X are linearly dependent, so they cannot be whitened. Drop some columns.")
    root: Floats = vectors / np.sqrt(values) @ vectors.T
    return root
