"""A client that stays connected, and keys of every role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.storage.keys import ROLES
from tests.conftest import Service
from tests.service.api.test_auth import make_key


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def secrets(service: Service) -> dict[str, str]:
    return {role: make_key(service, role) for role in ROLES}


@pytest.fixture(scope="module")
def foreign(service: Service) -> dict[str, str]:
    return {role: make_key(service, role, "umbrella") for role in ROLES}
