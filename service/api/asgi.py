"""The few pieces of raw ASGI that the hot routes stand on."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from service.domain.errors import (
    BodyTooLarge,
    ContentRefused,
    EncodingRefused,
    HeadgateError,
    ModelNotFound,
    RefusalLimit,
)
from service.monitoring.load import Load

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")


class ClientGone(Exception):
    """The caller closed the connection before the request was whole."""


async def read_body(scope: Scope, receive: Receive, limit: int, load: Load) -> bytes:
    """The whole body, refused while reading once it passes ``limit`` bytes.

    ``load`` holds its bytes from then on; who called lets go of them.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise too_large(limit)
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise EncodingRefused("compressed bodies are not read; send no Content-Encoding")
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientGone
    if not message.get("more_body"):
        if len(body) > limit:
            raise too_large(limit)
        load.hold(len(body))
        return body
    held, parts = 0, []
    try:
        while True:
            load.hold(len(body))
            held += len(body)
            parts.append(body)
            if held > limit:
                raise too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
    except BaseException:
        load.held_bytes -= held
        raise


def too_large(limit: int) -> BodyTooLarge:
    """The refusal of a body."""
    return BodyTooLarge(f"the body is larger than {limit} bytes; send less")


def header(scope: Scope, name: bytes) -> str:
    """A request header's value, empty when absent."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def error_body(error: HeadgateError, request_id: str) -> dict[str, Any]:
    """OpenAI's error shape; with the incident's id where somebody may be asked about it."""
    message = error.message
    if error.status >= 500 or isinstance(error, ContentRefused | RefusalLimit):
        earlier = error.earlier if isinstance(error, ContentRefused) else ""
        message += f" (incident {request_id}" + (f", earlier {earlier})" if earlier else ")")
    content: dict[str, Any] = {
        "message": message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    if isinstance(error, ModelNotFound):
        content["did_you_mean"] = list(error.did_you_mean)
    if isinstance(error, ContentRefused) and error.suggestion:
        content["suggestion"] = error.suggestion
    return {"error": content}


def error_headers(error: HeadgateError, request_id: str) -> list[tuple[str, str]]:
    """Headers of an error answer."""
    headers = [("x-request-id", request_id)]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    headers.extend(error.headers)
    return headers


async def send_error(send: Send, error: HeadgateError, request_id: str) -> None:
    """Answer with an error."""
    body = msgspec.json.encode(error_body(error, request_id))
    headers: Headers = [
        (name.encode(), value.encode()) for name, value in error_headers(error, request_id)
    ]
    await send_bytes(send, error.status, body, headers)


async def send_bytes(send: Send, status: int, body: bytes, headers: Iterable[Any]) -> None:
    """Answer with JSON bytes."""
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})
