"""The OpenAPI document is whole, and docs/api.md tells of the same paths."""

from __future__ import annotations

import re

import httpx

from service.api.document import CHAT_PATH
from service.domain.chat import Options
from tests.conftest import ROOT, Service


def operations(service: Service) -> set[str]:
    document = httpx.get(service.url + "/openapi.json").json()
    return {
        f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each
    }


def test_the_docs_and_the_document_name_the_same_paths(service: Service) -> None:
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    told = set(re.findall(r"^### `((?:GET|POST|PUT|DELETE|PATCH) /\S*)`", text, re.MULTILINE))
    assert told == operations(service)


def test_the_raw_route_stands_in_the_document_with_its_options(service: Service) -> None:
    document = httpx.get(service.url + "/openapi.json").json()
    operation = document["paths"][CHAT_PATH]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]["headgate"]["properties"]) == set(Options.__struct_fields__)
    assert operation["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/health/live"]["get"]


def test_every_header_that_is_sent_is_told(service: Service) -> None:
    source = (ROOT / "service" / "api" / "chat.py").read_text("utf-8")
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in re.findall(r'b"(x-[a-z-]+)"', source):
        assert f"`{name}`" in text, name
