"""The conventions of scikit-learn without a dependency on it: parameters, tags, the state before a fit.

scikit-learn recognises an estimator by what it can do; `Estimator` can do that, and imports scikit-learn only when
scikit-learn itself asks (tags) or is loaded already (its error for an estimator that was not fitted).
"""

from __future__ import annotations

import inspect
import sys
import warnings
from typing import Any, ClassVar, Literal, Self

from educe.core import UsageError, nearest
from educe.learn._arrays import Floats, column_names, matrix

__all__ = ["Estimator"]


class Estimator:
    """Base of the room's estimators: a constructor only stores its parameters under their own names."""

    _kind: ClassVar[Literal["classifier", "transformer"] | None] = None

    n_features_in_: int
    feature_names_in_: Any

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls.__init__).parameters
        return {name: item.default for name, item in parameters.items() if name != "self"}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool
            Add those of parameters that are estimators themselves, as ``name__parameter``.
        """
        own = {name: getattr(self, name) for name in self._parameters()}
        if not deep:
            return own
        nested = {
            f"{name}__{inner}": item
            for name, value in own.items()
            if hasattr(value, "get_params") and not isinstance(value, type)
            for inner, item in value.get_params().items()
        }
        return own | nested

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters by name.

        Parameters
        ----------
        **parameters
            New values; ``name__parameter`` reaches into a parameter that is an estimator.

        Raises
        ------
        UsageError
            A name is unknown.
        """
        for path, value in parameters.items():
            name, _, inner = path.partition("__")
            if name not in self._parameters():
                raise UsageError(
                    f"{type(self).__name__} has no parameter {name!r}; {nearest(name, self._parameters())}"
                )
            if inner:
                getattr(self, name).set_params(**{inner: value})
            else:
                setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._parameters().items()
            if default is inspect.Parameter.empty or repr(getattr(self, name)) != repr(default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=self._kind,
            target_tags=TargetTags(required=self._kind == "classifier"),
            # Origin-centred methods owe no good score on the shifted blobs of scikit-learn's battery.
            classifier_tags=ClassifierTags(poor_score=True, multi_class=False) if self._kind == "classifier" else None,
            transformer_tags=TransformerTags(preserves_dtype=[]) if self._kind == "transformer" else None,
        )

    def _remember(self, table: Any, values: Floats) -> None:
        """Note width and column names of the table that is being fitted."""
        self.n_features_in_ = values.shape[1]
        names = column_names(table)
        if names is not None:
            import numpy as np

            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _recall(self, table: Any, name: str = "X") -> Floats:
        """Read a table that must look like the fitted one."""
        if not hasattr(self, "n_features_in_"):
            raise self._not_fitted()
        given, fitted = column_names(table), getattr(self, "feature_names_in_", None)
        if (given is None) != (fitted is None):
            has, was = ("does not have valid", "with") if given is None else ("has", "without")
            warnings.warn(
                f"{name} {has} feature names, but {type(self).__name__} was fitted {was} feature names", stacklevel=3
            )
        elif given is not None and fitted is not None and list(given) != list(fitted):
            raise UsageError(
                "The feature names should match those that were passed during fit: "
                f"{list(given)} against {list(fitted)}. Reorder or rename the columns."
            )
        values = matrix(table, name)
        if values.shape[1] != self.n_features_in_:
            raise UsageError(
                f"{name} has {values.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input. Pass the columns of the fit."
            )
        return values

    def _not_fitted(self) -> Exception:
        message = f"This {type(self).__name__} is not fitted yet. Call fit first."
        theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
        return UsageError(message) if theirs is None else type("NotFitted", (UsageError, theirs), {})(message)
