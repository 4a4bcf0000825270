"""A request to the service's own routes, made in this process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]],
     Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inward:
    """What is asked, and from which address. ``marks``: items of the ASGI scope, where no caller
    can put any: who asks, and what was approved; ``query``: what stands behind a question mark.
    """

    method: str
    path: str
    body: bytes
    address: str
    marks: Mapping[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    query: str = ""

    async def through(self, app: App) -> tuple[int, Any]:
        """Its way through an ASGI app: the status, and the JSON of the answer. What the app raises
        after it has answered is the app's own to log.
        """
        sent: list[Message] = []
        headers = list(self.headers)
        if self.body:
            headers += [(b"content-type", b"application/json"),
                        (b"content-length", str(len(self.body)).encode())]  # fmt: skip
        scope: MutableMapping[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": self.method, "path": self.path, "raw_path": quote(self.path).encode(),
            "root_path": "", "query_string": self.query.encode(), "client": (self.address, 0),
            "server": ("headgate", 0), "headers": headers, "state": {}, **self.marks,
        }  # fmt: skip

        async def receive() -> Message:
            return {"type": "http.request", "body": self.body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            await app(scope, receive, send)
        except Exception:
            if not sent:
                raise
        status = next(m["status"] for m in sent if m["type"] == "http.response.start")
        parts = [m.get("body", b"") for m in sent if m["type"] == "http.response.body"]
        return int(status), json.loads(b"".join(parts) or b"null")
