"""What an operator does at the console is a request to the API, in this process, with their key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message

from service.domain.acting import VISITOR
from service.domain.clock import new_id
from service.domain.errors import HeadgateError
from service.domain.records import Key

REQUEST_ID = "headgate.request_id"  # as the app's own requests carry it


class Refused(HeadgateError):
    """The API's answer where it does not do it, in its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Done:
    """The API's answer. ``waits``: it does so for a second person."""

    status: int
    content: Any

    @property
    def waits(self) -> bool:
        """Whether it is kept until another person approves."""
        return self.status == 202


@dataclass(frozen=True, slots=True)
class Api:
    """The app's own routes, past the part that looks for a key in the headers: the key stands in
    the scope alone, where no caller can put one.
    """

    app: ASGIApp
    address: str

    async def post(self, key: Key, path: str, body: Mapping[str, Any], if_match: str = "") -> Done:
        """Send a body; raises Refused with what the API says."""
        content = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"),
                   (b"content-length", str(len(content)).encode())]  # fmt: skip
        if if_match:
            headers.append((b"if-match", if_match.encode()))
        return await self._asked(key, "POST", path, headers, content)

    async def get(self, key: Key, path: str) -> Done:
        """Ask for something."""
        return await self._asked(key, "GET", path, [], b"")

    async def _asked(
        self, key: Key, method: str, path: str, headers: list[tuple[bytes, bytes]], content: bytes
    ) -> Done:
        sent: list[Message] = []
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": method, "path": path, "raw_path": quote(path).encode(), "root_path": "",
            "query_string": b"", "client": (self.address, 0), "server": ("headgate", 0),
            "headers": headers, "state": {}, VISITOR: key, REQUEST_ID: new_id(),
        }  # fmt: skip

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception:
            if not sent:
                raise
        status = next(m["status"] for m in sent if m["type"] == "http.response.start")
        parts = [m.get("body", b"") for m in sent if m["type"] == "http.response.body"]
        told = json.loads(b"".join(parts) or b"null")
        if status >= 400:
            raise Refused(status, _message(told))
        return Done(status, told)


def _message(told: Any) -> str:
    error = told.get("error") if isinstance(told, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "The service could not do it; its log says why.")
