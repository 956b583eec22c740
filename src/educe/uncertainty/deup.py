"""DEUP: predict a predictor's excess risk with a second model, fitted on out-of-sample errors.

Source: Lahlou et al. (2021), arXiv:2102.08501, algorithm 1. The total uncertainty of f at x is its expected loss there;
the aleatoric part is what even the Bayes predictor would lose; the epistemic part is the difference, which unlike a
posterior variance also holds the error of a wrong model class. Errors are out-of-sample: of points kept from the
predictor, or of folds (default ten) where there are none to spare; the folds' predictors saw a little less data, so
that small samples overstate the risk slightly. The features of a point are those of the fold's own predictor.

Targets are mean losses unless `log=True`. Log targets rank heavy-tailed errors better but estimate exp(E log loss),
which lies below the mean, by a factor of 3.6 for squared Gaussian errors. The paper's programs use logs in places; the
default here is the quantity that the paper defines. Interactive learning (algorithm 2) is not here.
"""

# ruff: noqa: N803 - X is the name that scikit-learn gives to inputs.
from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core.errors import UsageError
from educe.core.seed import Seed
from educe.uncertainty.features import Feature, by_letters, gaussian_process

__all__ = ["DEUP", "Prediction"]

Floats = npt.NDArray[np.float64]
Loss = Callable[[Floats, Floats], Floats]
# A logarithm of a loss below this says no more than that the prediction was right (the published programs clamp here).
LOWEST_LOG = -20.0
LOSSES: dict[str, Loss] = {
    "squared": lambda y, mean: (y - mean) ** 2,
    "zero-one": lambda y, mean: (y != mean).astype(np.float64),
}


class Prediction(NamedTuple):
    """What is predicted at each point, and how uncertain.

    Parameters
    ----------
    mean : (n,) float64
        The predictor's own prediction.
    epistemic : (n,) float64
        Predicted excess risk, 0 or more.
    aleatoric : (n,) float64
        The noise that was given or estimated; 0 where none was given.
    total : (n,) float64
        Their sum, the expected loss.
    supported : (n,) bool
        False where some feature lies outside what the error model has seen: there it extrapolates.
    """

    mean: Floats
    epistemic: Floats
    aleatoric: Floats
    total: Floats
    supported: npt.NDArray[np.bool_]


class DEUP:
    """Predictor of another predictor's excess risk.

    Parameters
    ----------
    predictor : object
        Anything with ``fit(X, y)`` and ``predict(X)``; it is copied, never changed.
    error_model : {"forest", "gp", "mlp"} or object
        scikit-learn's random forest (300 trees), Gaussian process or network, or a regressor of your own.
    features : str or sequence of Feature
        Letters of ``xbdvD`` (see `educe.uncertainty.features`) or features.
    aleatoric : None, float, callable or "repeats"
        Noise in units of the loss: none (then the epistemic part is the total, an upper bound), a constant, a function
        of X, or for squared loss the sample variance of rows with equal X (their mean where a row is alone).
    folds : int
        Folds where no out-of-sample data are given, >= 2.
    log : bool
        Fit logarithms of the excess: for ranking, not for calibration.
    loss : {"squared", "zero-one"} or callable
        Loss per row from targets and predictions.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from educe.uncertainty import DEUP, BayesianPolynomial
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> deup = DEUP(BayesianPolynomial(degree=1, noise=0.1), features="x").fit(x, x[:, 0] ** 2)
    >>> bool(deup.predict(x[:1]).epistemic[0] > 0.2 > deup.predict(x[42:43]).epistemic[0])
    True
    """

    def __init__(
        self,
        predictor: Any,
        error_model: Literal["forest", "gp", "mlp"] | Any = "forest",
        features: str | Sequence[Feature] = "xdv",
        aleatoric: float | Callable[[Floats], npt.ArrayLike] | Literal["repeats"] | None = None,
        folds: int = 10,
        log: bool = False,
        loss: Literal["squared", "zero-one"] | Loss = "squared",
    ) -> None:
        for name in ("fit", "predict"):
            if not callable(getattr(predictor, name, None)):
                raise UsageError(f"{type(predictor).__name__} has no {name}. Give a predictor with fit and predict.")
        if isinstance(error_model, str) and error_model not in ("forest", "gp", "mlp"):
            raise UsageError(f"{error_model!r} is no error model. Use 'forest', 'gp', 'mlp' or a regressor.")
        if isinstance(aleatoric, str) and (aleatoric != "repeats" or loss != "squared"):
            raise UsageError(
                f"aleatoric={aleatoric!r} with loss={loss!r} cannot be estimated. "
                "Give a number, a function, or 'repeats' with squared loss."
            )
        if isinstance(aleatoric, int | float) and not 0 <= aleatoric < np.inf:
            raise UsageError(f"aleatoric={aleatoric} is no noise. Give a finite number of 0 or more.")
        if folds < 2:
            raise UsageError(f"folds={folds} leave nothing out. Give at least two.")
        if isinstance(loss, str) and loss not in LOSSES:
            raise UsageError(f"{loss!r} is no loss. Use {sorted(LOSSES)} or a function of targets and predictions.")
        self.predictor = predictor
        self.error_model = error_model
        self.features = features
        self.aleatoric = aleatoric
        self.folds = folds
        self.log = log
        self.loss = loss
        self._features = by_letters(features) if isinstance(features, str) else tuple(features)
        if not self._features:
            raise UsageError("No feature is given. Name at least one, such as 'x'.")

    def __repr__(self) -> str:
        return f"DEUP({self.predictor!r}, error_model={self.error_model!r}, features={self.features!r})"

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        X_out: npt.ArrayLike | None = None,
        y_out: npt.ArrayLike | None = None,
        *,
        seed: int | Seed = 0,
    ) -> DEUP:
        """Fit the predictor, collect its out-of-sample errors, and fit the error model to them.

        Parameters
        ----------
        X : array-like
            (n, d) inputs.
        y : array-like
            (n,) targets.
        X_out, y_out : array-like or None
            Data that the predictor does not see; folds of X and y are used where they are left out.
        seed : int or Seed
            Root of the folds and of the error model's draws.

        Returns
        -------
        DEUP
            Itself, with ``predictor_``, ``errors_`` (excess losses) and ``fold_`` (-1 for given data) per row used.

        Raises
        ------
        UsageError
            Shapes do not fit, a number is not finite, or there are fewer rows than folds.
        """
        root = Seed.of(seed).child("deup")
        inputs, targets = _rows(X, y)
        if (X_out is None) != (y_out is None):
            raise UsageError("Only one of X_out and y_out is given. Give both or neither.")
        self.predictor_ = copy.deepcopy(self.predictor).fit(inputs, targets)
        self._columns = self._fit_features(inputs, targets, self.predictor_, root.child("features"))
        if X_out is not None and y_out is not None:
            outside, truth = _rows(X_out, y_out)
            if outside.shape[1] != inputs.shape[1]:
                raise UsageError(f"X_out has {outside.shape[1]} columns and X {inputs.shape[1]}. Give the same ones.")
            columns, losses = self._columns(outside), self._losses(truth, self.predictor_.predict(outside))
            self.fold_ = np.full(len(outside), -1)
        else:
            outside, truth = inputs, targets
            columns, losses = self._by_folds(inputs, targets, root)
        noise = self._noise(outside, truth)
        self.errors_ = losses - noise
        goal = np.log(np.maximum(self.errors_, np.exp(LOWEST_LOG))) if self.log else self.errors_
        # Forests and networks draw by row number: sorted rows make the fit a function of the set of rows.
        order = np.lexsort((goal, *columns.T))
        self._centre, self._scale = columns.mean(0), np.where(columns.std(0) > 0, columns.std(0), 1.0)
        self._low, self._high = columns.min(0), columns.max(0)
        self.error_model_ = _error_model(self.error_model, root.child("error model"))
        with warnings.catch_warnings():
            # A search that stops early, or at a bound, still gives the best fit found.
            warnings.simplefilter("ignore")
            self.error_model_.fit(self._standard(columns)[order], goal[order])
        return self

    def predict(self, X: npt.ArrayLike) -> Prediction:
        """Predict, with the epistemic, aleatoric and total uncertainty of each prediction.

        Parameters
        ----------
        X : array-like
            (n, d) inputs.

        Returns
        -------
        Prediction

        Raises
        ------
        UsageError
            Nothing was fitted, or X has the wrong shape.
        """
        if not hasattr(self, "error_model_"):
            raise UsageError("This DEUP has seen no data. Call fit first.")
        inputs, _ = _rows(X, None)
        columns = self._columns(inputs)
        raw = np.asarray(self.error_model_.predict(self._standard(columns)), dtype=np.float64).reshape(-1)
        # Far from its data a regressor of logarithms may say anything; e^50 is beyond every loss.
        epistemic = np.exp(np.minimum(raw, 50.0)) if self.log else np.maximum(raw, 0.0)
        aleatoric = np.full(len(inputs), self._typical_noise) if self.aleatoric == "repeats" else self._noise(inputs)
        supported = ((columns >= self._low) & (columns <= self._high)).all(1)
        mean = np.asarray(self.predictor_.predict(inputs))
        return Prediction(mean, epistemic, aleatoric, epistemic + aleatoric, supported)

    def _by_folds(self, X: Floats, y: Floats, root: Seed) -> tuple[Floats, Floats]:
        """Errors and features out of fold; rows with equal X share a fold, so that none is seen by its judge."""
        _, group = np.unique(X, axis=0, return_inverse=True)
        group = group.reshape(-1)
        if group.max() + 1 < self.folds:
            raise UsageError(f"{group.max() + 1} distinct rows do not fill {self.folds} folds. Use fewer folds.")
        shuffled = root.child("folds").numpy().permutation(group.max() + 1)
        self.fold_ = (shuffled % self.folds)[group]
        columns: list[Floats] = [np.empty(0)] * len(X)
        losses = np.empty(len(X))
        for k in range(self.folds):
            out = self.fold_ == k
            judged = copy.deepcopy(self.predictor).fit(X[~out], y[~out])
            found = self._fit_features(X[~out], y[~out], judged, root.child("features", k))(X[out])
            losses[out] = self._losses(y[out], judged.predict(X[out]))
            for row, values in zip(np.flatnonzero(out), found, strict=True):
                columns[row] = values
        return np.stack(columns), losses

    def _fit_features(self, X: Floats, y: Floats, predictor: Any, seed: Seed) -> Callable[[Floats], Floats]:
        fitted = [feature.fit(X, y, predictor, seed.child(i)) for i, feature in enumerate(self._features)]
        return lambda Z: np.concatenate([np.asarray(each(Z), dtype=np.float64) for each in fitted], axis=1)

    def _losses(self, y: Floats, mean: Any) -> Floats:
        loss = LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        values = np.asarray(loss(y, np.asarray(mean)), dtype=np.float64)
        if values.shape != y.shape or not np.isfinite(values).all():
            raise UsageError(f"The loss has shape {values.shape} or is not finite. Return one finite number per row.")
        return values

    def _noise(self, X: Floats, y: Floats | None = None) -> Floats:
        if self.aleatoric is None:
            return np.zeros(len(X))
        if self.aleatoric == "repeats" and y is not None:
            _, group = np.unique(X, axis=0, return_inverse=True)
            group = group.reshape(-1)
            counts = np.bincount(group)
            squares = np.bincount(group, (y - (np.bincount(group, y) / counts)[group]) ** 2)
            if not (counts > 1).any():
                raise UsageError("No two rows share their X, so noise cannot be told. Repeat queries or give a number.")
            self._typical_noise = float(squares[counts > 1].sum() / (counts[counts > 1] - 1).sum())
            variance = np.where(counts > 1, squares / np.maximum(counts - 1, 1), self._typical_noise)
            return np.asarray(variance[group], dtype=np.float64)
        value = self.aleatoric(X) if callable(self.aleatoric) else self.aleatoric
        noise: Floats = np.broadcast_to(np.asarray(value, dtype=np.float64), (len(X),)).copy()
        if not (np.isfinite(noise) & (noise >= 0)).all():
            raise UsageError("The noise is negative or not finite at some X. Return numbers of 0 or more.")
        return noise

    def _standard(self, columns: Floats) -> Floats:
        scaled: Floats = (columns - self._centre) / self._scale
        return scaled


def _rows(X: npt.ArrayLike, y: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    inputs = np.asarray(X, dtype=np.float64)
    targets = np.zeros(len(inputs)) if y is None else np.asarray(y, dtype=np.float64)
    if inputs.ndim != 2 or not len(inputs) or targets.shape != (len(inputs),):
        raise UsageError(f"Shapes {inputs.shape} and {targets.shape} do not fit. Give X as (n, d) and y as (n,).")
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise UsageError("X or y holds a number that is not finite. Remove or fill such rows.")
    return inputs, targets


def _error_model(kind: Any, seed: Seed) -> Any:
    if not isinstance(kind, str):
        return copy.deepcopy(kind)
    if kind == "gp":
        return gaussian_process(seed)
    try:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        raise UsageError("Error models need scikit-learn. Install `pip install 'educe[science]'`.") from None
    state = int(seed.bits()) % 2**32
    if kind == "forest":
        return RandomForestRegressor(300, min_samples_leaf=5, random_state=state)
    return MLPRegressor((64, 64), max_iter=500, random_state=state)
