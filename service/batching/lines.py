"""The lines of a batch's output and error files, in OpenAI's form: one for each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.domain.errors import HeadgateError

EXPIRED = "the completion window was over before this request was answered"
CANCELLED = "the batch was cancelled before this request was answered"


def answered(number: int, custom_id: str, body: bytes, told: Mapping[str, Any]) -> bytes:
    """The line of an answer; ``told``: how it was served, its decision_id among it."""
    response = {"status_code": 200, "request_id": told["decision_id"], "body": msgspec.Raw(body)}
    return _line(number, custom_id, response, None, told)


def refused(number: int, custom_id: str, error: HeadgateError) -> bytes:
    """The line of a request that was refused or failed as often as it was tried."""
    body = {"error": {"message": error.message, "type": error.type, "param": error.param,
                      "code": error.code}}  # fmt: skip
    response = {"status_code": error.status, "request_id": "", "body": body}
    return _line(number, custom_id, response, None, None)


def unanswered(number: int, custom_id: str, result: str) -> bytes:
    """The line of a request that was not answered in time (expired) or at all (cancelled)."""
    told = EXPIRED if result == "expired" else CANCELLED
    return _line(number, custom_id, None, {"code": f"batch_{result}", "message": told}, None)


def _line(
    number: int,
    custom_id: str,
    response: Mapping[str, Any] | None,
    error: Mapping[str, Any] | None,
    told: Mapping[str, Any] | None,
) -> bytes:
    line = {"id": f"batch_req_{number}", "custom_id": custom_id, "response": response,
            "error": error}  # fmt: skip
    return msgspec.json.encode(line if told is None else line | {"headgate": told})
