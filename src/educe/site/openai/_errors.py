"""Errors as OpenAI's clients read them: a status, and an object with message, type, param and code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from educe.core import BackendError, CapabilityError, DataError, EduceError, UsageError

__all__ = ["STOPPING", "ApiError", "ErrorDocument", "of_educe_error", "of_validation"]

RETRY_SECONDS = 1
_PARTS = re.compile(r"[.\[]")


class ErrorObject(BaseModel):
    """What went wrong."""

    message: str = Field(description="What is wrong and what to do.")
    type: str = Field(description="invalid_request_error, rate_limit_error or server_error.")
    param: str | None = Field(description="The field that is at fault.")
    code: str | None = Field(description="A word for programs.")


class ErrorDocument(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorObject


class ApiError(EduceError):
    """A refusal with its HTTP status.

    Parameters
    ----------
    status : int
        HTTP status, 4xx or 5xx.
    message : str
        What is wrong, and what to do.
    param : str or None
        The field that is at fault.
    code : str or None
        A word for programs.
    headers : mapping, optional
        Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """Return the error object that clients expect."""
        kind = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        return {
            "error": {
                "message": str(self),
                "type": "server_error" if self.status >= 500 else kind,
                "param": self.param,
                "code": self.code,
            }
        }


STOPPING = ApiError(
    503,
    "The server is stopping and has not finished this answer. Ask again in a moment.",
    code="server_stopping",
    headers={"retry-after": str(RETRY_SECONDS)},
)


def of_educe_error(error: EduceError, param: str | None = None) -> ApiError:
    """Give an error of the library its HTTP status.

    Parameters
    ----------
    error : EduceError
        What the model or the method raised.
    param : str, optional
        The field that it is about, where bad input is the cause.
    """
    if isinstance(error, ApiError):
        return error
    message = str(error)
    if isinstance(error, UsageError):
        code = "context_length_exceeded" if " context of " in message else "invalid_value"
        return ApiError(400, message, param=param, code=code)
    if isinstance(error, CapabilityError):
        return ApiError(400, message, param=param, code="unsupported_by_model")
    if isinstance(error, DataError) and "chat template" in message:
        return ApiError(400, message, param=param, code="invalid_value")
    if isinstance(error, BackendError):
        if getattr(error, "status", None) == 429:
            return ApiError(429, message, code="upstream_busy", headers={"retry-after": str(RETRY_SECONDS)})
        return ApiError(502, message, code="backend_error")
    return ApiError(500, message, code="internal_error")


def of_validation(failure: RequestValidationError) -> ApiError:
    """Turn what is wrong with a body into one error that names one field.

    Parameters
    ----------
    failure : RequestValidationError
        All that is wrong, for a value that may have several types once for each of them.
    """
    found = [(error["loc"][1:2], _named(error, failure.body)) for error in failure.errors()]
    errors = [named for field, named in found if field == found[0][0]]
    # Of a value that may have several types, the type that fits best has its error deepest inside.
    first, kind, _ = max(errors, key=lambda named: len(_PARTS.findall(named[0] or "")))
    if kind == "json_invalid":
        return ApiError(400, "The body is not JSON. Send one JSON object.", code="invalid_json")
    said = list(dict.fromkeys(message for param, _, message in errors if param == first))
    if first is None:
        return ApiError(400, f"The body is malformed: {' or '.join(said)}. Send one JSON object.", code="invalid_type")
    if kind == "extra_forbidden":
        return ApiError(
            400, f"Parameter {first!r} is not known here. Leave it out.", param=first, code="unknown_parameter"
        )
    if kind == "missing":
        return ApiError(
            400, f"Parameter {first!r} is missing. Give it.", param=first, code="missing_required_parameter"
        )
    code = kind if kind.startswith(("unsupported", "invalid")) else "invalid_value"
    return ApiError(400, f"Parameter {first!r} is not valid: {' or '.join(said)}. Correct it.", param=first, code=code)


def _named(error: Mapping[str, Any], body: Any) -> tuple[str | None, str, str]:
    """The field's path as clients write it, the kind of error, and its words."""
    path, here = "", body
    location: Sequence[str | int] = error["loc"][1:]
    for place, part in enumerate(location):
        last = place == len(location) - 1
        # Names of union members stand in the location too; they are no keys of the body.
        if isinstance(here, dict) and (part in here or (last and error["type"] == "missing")):
            path, here = f"{path}.{part}" if path else str(part), here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return path or None, str(error["type"]), message[:1].lower() + message[1:]
