"""The scikit-learn conventions for estimators, kept without needing scikit-learn.

A subclass's constructor stores its arguments under their own names and does nothing else. `get_params`, `set_params`
and the repr follow from its signature; scikit-learn's ``clone``, pipelines, searches and ``check_estimator`` work with
it where scikit-learn is installed.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from educe.core import UsageError, nearest

__all__ = ["Estimator"]


class Estimator:
    """Base of objects with ``fit``; parameters are read off the constructor's signature."""

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls).parameters
        return {name: item.default for name, item in parameters.items()}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name.

        Parameters
        ----------
        deep : bool
            Accepted for compatibility; there are no nested estimators.
        """
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor parameters by name and return the estimator.

        Parameters
        ----------
        **params
            New values.

        Raises
        ------
        UsageError
            A name is unknown.
        """
        for name, value in params.items():
            if name not in self._defaults():
                raise UsageError(
                    f"Parameter {name!r} of {type(self).__name__} is unknown; {nearest(name, self._defaults())}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if repr(getattr(self, name)) != repr(default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None, target_tags=TargetTags(required=False), input_tags=InputTags(positive_only=True)
        )

    def _require_fit(self) -> None:
        if self.__sklearn_is_fitted__():
            return
        message = f"This {type(self).__name__} instance is not fitted yet. Call fit first."
        try:
            from sklearn.exceptions import NotFittedError
        except ImportError:
            raise UsageError(message) from None
        raise NotFittedError(message)
