"""The conventions of scikit-learn for learners of effects: parameters by name, so that `sklearn.base.clone` works.

A learner is a dataclass whose fields are its parameters. `fit` takes covariates, treatment and outcome apart, so these
are no scikit-learn estimators and do not claim to pass its battery.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, ClassVar, Self

from educe.core import UsageError, nearest

__all__ = ["Learner"]


class Learner:
    """Base of the learners: parameters by name, a short repr."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool
            Kept for scikit-learn; nested estimators are returned whole.
        """
        del deep
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters by name.

        Parameters
        ----------
        **parameters
            New values.

        Raises
        ------
        UsageError
            A name is unknown.
        """
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise UsageError(f"{type(self).__name__} has no parameter {name!r}; {nearest(name, known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{item.name}={getattr(self, item.name)!r}"
            for item in fields(self)
            if item.default is MISSING or getattr(self, item.name) != item.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _require_fit(self, name: str) -> None:
        if not hasattr(self, name):
            raise UsageError(f"This {type(self).__name__} is not fitted yet. Call fit(x, t, y) first.")
