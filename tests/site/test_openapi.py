"""Whatever fits our OpenAPI document, no route answers with a defect."""

import asyncio

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from educe.site.app import create_app
from educe.site.config import SiteConfig

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EXAMPLES = 5


@pytest.fixture
def kind():
    return "sqlite"


def test_no_request_that_the_document_allows_is_a_defect(cards_url, tmp_path):
    config = SiteConfig(database=cards_url, folder=tmp_path / "site", models=("tiny=fake:4",))
    app = create_app(config)
    schema = schemathesis.openapi.from_dict(app.openapi())
    tried = 0
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)

        async def call(case):
            request = case.as_transport_kwargs(base_url="http://localhost")
            known = {
                name: request[name]
                for name in ("method", "url", "headers", "params", "data", "json", "files")
                if name in request
            }
            return await client.request(**known)

        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path.endswith("/events"):
                continue

            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy())
            def try_one(case):
                nonlocal tried
                tried += 1
                try:
                    answer = runner.run(call(case))
                except (httpx.InvalidURL, UnicodeEncodeError, httpx.LocalProtocolError):
                    return  # The client could not even send it.
                assert answer.status_code < 500, (case.method, case.path, answer.status_code, answer.text[:300])

            try_one()
        runner.run(client.aclose())
        runner.run(lifespan.__aexit__(None, None, None))
    assert tried > 50
