"""Answers in a given form: what a model must offer for `response_format` to work.

A model that has the capability ``"response_format"`` has a method `constrained` beside the interface of
`LanguageModel`: it returns a view of the model all of whose rows obey the form. No model of this library has it yet, so
requests for JSON are refused with a clear message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from educe.core import CapabilityError
from educe.lm import LanguageModel
from educe.site.openai._schema import ResponseFormat

__all__ = ["ConstrainedModel", "constrained"]


@runtime_checkable
class ConstrainedModel(Protocol):
    """A model that can be held to a form."""

    def constrained(self, form: Mapping[str, Any]) -> LanguageModel:
        """Return a view whose rows obey a form, given as OpenAI's ``response_format`` object.

        Raises
        ------
        UsageError
            The schema is malformed or not supported.
        """
        ...


def constrained(lm: LanguageModel, form: ResponseFormat | None) -> LanguageModel:
    """Hold a model to the form that a request asks for.

    Raises
    ------
    CapabilityError
        The model has no such method.
    """
    if form is None or form.type == "text":
        return lm
    if not isinstance(lm, ConstrainedModel):
        raise CapabilityError(f"Model {lm.name!r} cannot be held to a form. Leave 'response_format' out.")
    return lm.constrained(form.model_dump(by_alias=True, exclude_none=True))
