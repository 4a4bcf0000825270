"""The OpenAPI document is true: no generated request is answered by a 5xx or off the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app
from tests.conftest import KEY, Server, make_runtime, plan_text

EXAMPLES = 15
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance, ignored_auth,
]  # fmt: skip
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.mark.slow
def test_generated_requests_are_answered_as_the_document_says(
    tmp_path: Path, providers: Server
) -> None:
    runtime = make_runtime(tmp_path / "state", plan_text(providers.url))
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(runtime))
    schema.config.request_timeout = 60.0  # the machine may be busy
    asked: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = [GenerationMode.POSITIVE]
        if operation.body or list(operation.iter_parameters()):  # else there is nothing to break
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:
            hammer(operation, mode, asked.setdefault(operation.label, set()))
    assert len(asked) > 10 and all(asked.values())
    assert asked["POST /v1/chat/completions"] & {400, 404}
    assert asked["GET /admin/status"] >= {200}


def hammer(operation: Any, mode: GenerationMode, seen: set[int]) -> None:
    """So many requests to one operation, each checked."""

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def one(data: st.DataObject) -> None:
        case: Case = data.draw(operation.as_strategy(generation_mode=mode))
        response = case.call(headers=HEADERS)
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS, headers=HEADERS)

    one()
