"""What an operator does at the console is a request to the API, in this process, with their key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from service.domain.acting import VISITOR
from service.domain.clock import new_id
from service.domain.errors import HeadgateError
from service.domain.inward import Inward
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
        headers = ((b"if-match", if_match.encode()),) if if_match else ()
        return await self._asked(key, "POST", path, json.dumps(body).encode(), headers)

    async def get(self, key: Key, path: str) -> Done:
        """Ask for something; a path may have a query."""
        return await self._asked(key, "GET", path, b"", ())

    async def _asked(
        self, key: Key, method: str, path: str, content: bytes,
        headers: tuple[tuple[bytes, bytes], ...],
    ) -> Done:  # fmt: skip
        marks = {VISITOR: key, REQUEST_ID: new_id()}
        path, _, query = path.partition("?")
        asked = Inward(method, path, content, self.address, marks, headers, query)
        status, told = await asked.through(self.app)
        if status >= 400:
            raise Refused(status, _message(told))
        return Done(status, told)


def _message(told: Any) -> str:
    error = told.get("error") if isinstance(told, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "The service could not do it; its log says why.")
