"""Covariance of compositions as an estimator with the conventions of scikit-learn.

It wraps `partial_correlation` (Erb 2019, arXiv:1904.09480) for pipelines, cross-validation of the shrinkage and
``clone``. The likelihood that `score` returns is that of the logistic-normal model in isometric coordinates, so it can
be compared between shrinkages, and does not depend on the basis.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from educe.core import UsageError
from educe.science._estimator import Estimator
from educe.science._tables import Matrix, PartTable, read_parts, read_table
from educe.science.coda.logratio import ilr_basis
from educe.science.coda.partial_correlation import PartialCorrelation, _from_table
from educe.science.coda.zeros import replace_zeros

__all__ = ["CompositionalCovariance"]


class CompositionalCovariance(Estimator):
    """Covariance, concentration and partial correlations of the parts of a composition.

    Parameters
    ----------
    shrink : str or float or None
        ``"ledoit-wolf"``, the weight of the isotropic target in (0, 1], or None. The default copes with more parts
        than samples.
    zeros : str
        ``"replace"`` puts 0.65 of the detection limit in place of zeros, leaves all else as it is, and counts them in
        ``zeros_replaced_``; a sample of zeros only says nothing and is left out, counted in ``samples_dropped_``.
        ``"raise"`` refuses both.
    detection_limit : float or array_like or None
        As in `replace_zeros`. When None, the least positive amount of each part at ``fit``.

    Raises
    ------
    UsageError
        From ``fit``: a parameter is out of range or the table is refused.

    Examples
    --------
    >>> from educe.science import roman_cups
    >>> model = CompositionalCovariance(shrink=None).fit(roman_cups().amounts)
    >>> round(float(model.partial_correlation_[1, 2]), 3)
    0.727
    """

    precision_: Matrix
    covariance_: Matrix
    location_: Matrix
    partial_correlation_: Matrix
    partial_variance_: Matrix
    shrinkage_: float
    detection_limit_: Matrix
    zeros_replaced_: dict[str, int]
    samples_dropped_: int
    result_: PartialCorrelation
    n_features_in_: int

    def __init__(
        self, shrink: str | float | None = "ledoit-wolf", zeros: str = "replace", detection_limit: Any = None
    ) -> None:
        self.shrink = shrink
        self.zeros = zeros
        self.detection_limit = detection_limit

    def _amounts(self, table: PartTable, limit: Any) -> tuple[PartTable, dict[str, int], int]:
        if self.zeros not in ("replace", "raise"):
            raise UsageError(f"zeros={self.zeros!r} is unknown. Use 'replace' or 'raise'.")
        if self.zeros == "raise" or not (table.amounts == 0).any():
            return read_parts(table), {}, 0
        kept = table.amounts[(table.amounts != 0).any(axis=1)]
        if not len(kept):
            raise UsageError(f"All {len(table.amounts)} sample(s) are zeros only. Pass samples that hold something.")
        done = replace_zeros(PartTable(kept, table.parts), limit, keep_sums=False)
        return PartTable(done.amounts, done.parts), done.replaced, len(table.amounts) - len(kept)

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Estimate from a table.

        Parameters
        ----------
        X : array_like
            (samples, parts) amounts, at least two samples and two parts.
        y : object
            Not used.

        Returns
        -------
        CompositionalCovariance
            Itself, with ``precision_`` (K), ``covariance_`` (its pseudo-inverse, of centred log-ratios), ``location_``
            (mean of the centred log-ratios), ``partial_correlation_``, ``partial_variance_``, ``shrinkage_``,
            ``zeros_replaced_``, ``samples_dropped_`` and the whole `PartialCorrelation` as ``result_``.

        Raises
        ------
        UsageError
            A parameter is out of range or the table is refused.
        """
        given = read_table(X)
        if min(given.amounts.shape) < 2:
            raise UsageError(
                f"{len(given.amounts)} sample(s) of {len(given.parts)} feature(s) have no covariance of log-ratios. "
                "Give at least two of each."
            )
        table, replaced, dropped = self._amounts(given, self.detection_limit)
        result = _from_table(table, self.shrink)
        basis = ilr_basis(len(table.parts))
        logs = np.log(table.amounts)
        self.location_ = (logs - logs.mean(axis=1, keepdims=True)).mean(axis=0)
        self.precision_ = result.concentration
        self.covariance_ = basis @ np.linalg.inv(basis.T @ result.concentration @ basis) @ basis.T
        self.partial_correlation_ = result.rho
        self.partial_variance_ = result.partial_variance
        self.shrinkage_ = result.shrinkage
        self.detection_limit_ = (
            np.where(given.amounts > 0, given.amounts, np.inf).min(axis=0)
            if self.detection_limit is None
            else np.broadcast_to(np.asarray(self.detection_limit, dtype=np.float64), len(given.parts)).copy()
        )
        self.zeros_replaced_ = replaced
        self.samples_dropped_ = dropped
        self.result_ = result
        self.n_features_in_ = len(table.parts)
        vars(self).pop("feature_names_in_", None)
        if hasattr(X, "columns") and all(isinstance(column, str) for column in X.columns):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Mean log-likelihood of samples in isometric coordinates.

        Parameters
        ----------
        X : array_like
            (samples, parts) amounts.
        y : object
            Not used.

        Returns
        -------
        float

        Raises
        ------
        UsageError
            The table is refused or has other parts than the fitted one.
        """
        self._require_fit()
        given = read_table(X)
        if len(given.parts) != self.n_features_in_:
            raise UsageError(
                f"X has {len(given.parts)} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input. Pass the same parts as in fit."
            )
        table = self._amounts(given, self.detection_limit_)[0]
        basis = ilr_basis(len(table.parts))
        precision = basis.T @ self.precision_ @ basis
        gap = (np.log(table.amounts) - self.location_) @ basis
        determinant = np.linalg.slogdet(precision)[1]
        distance = np.einsum("ni,ij,nj->n", gap, precision, gap).mean()
        return float(0.5 * (determinant - distance - len(precision) * np.log(2 * np.pi)))
