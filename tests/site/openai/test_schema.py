"""Requests made up from the API's own OpenAPI description: whatever is sent, no answer is a defect."""

from __future__ import annotations

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from educe.site.openai import Limits, ModelPool, create_openai_router

KEY = "a-long-random-key"


def app():
    made = FastAPI()
    pool = ModelPool({"fake": "fake:The answer is 24.|The answer is 25."})
    # Small limits, so that made-up numbers fall on both sides of them.
    made.include_router(create_openai_router(pool, Limits(n=4, tokens=64, request_tokens=1000), key=KEY))
    return made


schema = schemathesis.openapi.from_asgi("/openapi.json", app())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_made_up_request_is_a_defect(case):
    if isinstance(case.body, dict) and "model" in case.body:
        # Made-up names are never served; without this nothing would get past the look-up.
        case.body["model"] = "fake" if len(str(case.body["model"])) % 3 else "fake@self-consistency:2"
    case.headers = {**(case.headers or {}), "authorization": f"Bearer {KEY}"}
    case.call_and_validate(
        checks=[schemathesis.checks.not_a_server_error, response_schema_conformance, content_type_conformance]
    )
