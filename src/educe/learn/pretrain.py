"""Fit a latent-variable model to unlabelled points, then a head to the few labelled ones.

Source: Ge, Tang, Fan, Jin (2023), "On the Provable Advantage of Unsupervised Pretraining", arXiv:2303.01566,
Algorithm 1. Any latent model with ``fit``, ``represent`` and ``log_prob`` and any head with ``fit`` and ``predict``
go together. The head sees ``represent(x)``, from which the best prediction under the fitted model is made; nothing is
fine-tuned. Whether it helps depends on the world being close to the model: on data that are not, it can lose to a
plain classifier.
"""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from educe.core import Posterior, UsageError
from educe.learn._arrays import Floats
from educe.learn._estimator import Estimator

__all__ = ["Head", "LatentModel", "MLEThenERM"]


@runtime_checkable
class LatentModel(Protocol):
    """What `MLEThenERM` needs of a latent-variable model."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Maximise the likelihood of unlabelled data."""

    def represent(self, X: Any) -> Floats:  # noqa: N803
        """Return what a head needs to know of the latent variable, (n, width)."""

    def log_prob(self, X: Any) -> Floats:  # noqa: N803
        """Return the log-likelihood of each row."""

    def posterior(self, x: Any) -> Posterior[Any]:
        """Return the latent variable's posterior given one point."""


@runtime_checkable
class Head(Protocol):
    """What `MLEThenERM` needs of a head; scikit-learn's predictors have it."""

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Fit to representations and labels."""

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predict labels from representations."""


class MLEThenERM(Estimator):
    """Maximum likelihood on unlabelled points, then empirical risk minimisation of the head alone.

    Parameters
    ----------
    latent : LatentModel
        Fitted in place, or used as it is when no unlabelled points are given.
    head : Head
        Fitted in place.

    Examples
    --------
    >>> from educe.learn import FactorModel, LeastSquares
    >>> random = np.random.default_rng(0)
    >>> z = random.normal(size=(5000, 1))
    >>> x = z @ np.full((1, 20), 2.0) + random.normal(size=(5000, 20))
    >>> model = MLEThenERM(FactorModel(1), LeastSquares()).fit(x, x[:10], 3 * z[:10, 0])
    >>> bool(abs(model.predict(x) - 3 * z[:, 0]).mean() < 0.3)
    True
    """

    def __init__(self, latent: LatentModel | None = None, head: Head | None = None) -> None:
        self.latent = latent
        self.head = head

    def _parts(self) -> tuple[LatentModel, Head]:
        if not isinstance(self.latent, LatentModel) or not isinstance(self.head, Head):
            raise UsageError(
                f"latent={self.latent!r} and head={self.head!r} are no latent model and head. "
                "Give for instance FactorModel(4) and LeastSquares()."
            )
        return self.latent, self.head

    def fit(self, X_unlabelled: Any, X: Any, y: Any) -> Self:  # noqa: N803
        """Fit the latent model, then the head.

        Parameters
        ----------
        X_unlabelled : array_like or None
            (m, d) points, or what the latent model takes; None when it is fitted already.
        X : array_like
            (n, d) labelled points.
        y : array_like
            (n,) labels.

        Raises
        ------
        UsageError
            The parts do not fit together or the data are malformed.
        """
        latent, head = self._parts()
        if X_unlabelled is not None:
            latent.fit(X_unlabelled)
        features = latent.represent(X)
        if len(features) < 1:
            raise UsageError("There is no labelled point. Give at least one.")
        head.fit(features, y)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def represent(self, X: Any) -> Floats:  # noqa: N803
        """Representation of points by the latent model.

        Parameters
        ----------
        X : array_like
            (n, d).
        """
        return self._parts()[0].represent(X)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predict labels.

        Parameters
        ----------
        X : array_like
            (n, d).
        """
        if not hasattr(self, "n_features_in_"):
            raise self._not_fitted()
        return self._parts()[1].predict(self.represent(X))
