"""Answers in other modalities are read for what they are, or not at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from service.orchestration.workflows.media import media_fields

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 8).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + b"x" * 12).decode()


def image(**datum: Any) -> dict[str, Any] | None:
    return media_fields("image", "application/json", json.dumps({"data": [datum]}).encode())


def test_a_picture_is_told_by_its_first_bytes_wherever_it_stands() -> None:
    assert image(b64_json=PNG) == {"image": {"media_type": "image/png", "b64": PNG}}
    assert image(b64_json=JPEG) == {"image": {"media_type": "image/jpeg", "b64": JPEG}}
    held = image(url=f"data:image/png;base64,{PNG}")
    assert held == {"image": {"media_type": "image/png", "b64": PNG}}


@pytest.mark.parametrize("datum", [
    {"url": "https://pictures.example/1.png"}, {"b64_json": "no base64"}, {"b64_json": "aGk="}, {},
])  # fmt: skip
def test_what_is_no_picture_is_none(datum: dict[str, Any]) -> None:
    assert image(**datum) is None


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b'{"data": []}', b'{"data": [{}]}'])
def test_an_answer_without_its_data_is_none(body: bytes) -> None:
    assert media_fields("image", "application/json", body) is None
    assert media_fields("embed", "application/json", body) is None


def test_sound_and_vectors() -> None:
    said = media_fields("speech", "audio/wav", b"RIFF")
    assert said == {"audio": {"media_type": "audio/wav", "b64": "UklGRg=="}}
    assert media_fields("speech", "audio/wav", b"") is None
    body = json.dumps({"data": [{"embedding": [1, 0]}, {"embedding": [0.5, 1]}]}).encode()
    assert media_fields("embed", "application/json", body) == {"vectors": [[1, 0], [0.5, 1]]}
