"""Answers in other modalities as fields of a step's result."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec


class _Datum(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None
    embedding: list[float] | None = None


class _Answer(msgspec.Struct):
    data: list[_Datum] = []


_answer = msgspec.json.Decoder(_Answer).decode
_STARTS = (
    (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"),
    (b"GIF8", "image/gif"),
)  # fmt: skip


def media_fields(kind: str, media: str, body: bytes) -> dict[str, Any] | None:
    """An image, audio or vectors; None where the answer holds none. A picture that is given by an
    address elsewhere is none: nothing is fetched.
    """
    if kind == "speech":
        if not body:
            return None
        return {"audio": {"media_type": media, "b64": base64.b64encode(body).decode()}}
    try:
        data = _answer(body).data
    except (msgspec.DecodeError, RecursionError):
        return None
    if kind == "embed":
        vectors = [each.embedding for each in data]
        return {"vectors": vectors} if vectors and None not in vectors else None
    return _picture(data[0]) if data else None


def _picture(made: _Datum) -> dict[str, Any] | None:
    coded = made.b64_json
    if coded is None:
        head, _, coded = (made.url or "").partition(";base64,")
        if not head.startswith("data:image/"):
            return None
    try:
        start = base64.b64decode(coded[:16], validate=True)
    except (binascii.Error, ValueError):
        return None
    found = (media for sign, media in _STARTS if start.startswith(sign))
    media = next(found, "")
    return {"image": {"media_type": media, "b64": coded}} if media else None
