"""The dialect of Anthropic's Messages."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from service.domain.catalog import Deployment
from service.domain.records import ErrorKind
from service.providers.anthropic_asking import messages
from service.providers.anthropic_telling import Stream, answer
from service.providers.base import Answer, Names, ProviderFailure
from service.providers.calling import OverHTTP, Way, retold
from service.providers.portable import read
from service.providers.transport import Reply

VERSION = "2023-06-01"
_encode = msgspec.json.Encoder().encode


class Anthropic(OverHTTP):
    """Messages over HTTP."""

    dialect = "anthropic"
    translates = True

    def way(self, deployment: Deployment) -> Way:
        url = deployment.base_url + "/messages"
        key = ("x-api-key", deployment.api_key) if deployment.api_key else None
        way = Way(deployment, (url, url), key)
        way.headers["anthropic-version"] = VERSION
        return way

    def said(self, deployment: Deployment, body: bytes) -> bytes:
        asked = read(body, self.dialect)
        return _encode(messages(asked, deployment.model, deployment.max_output_tokens))

    def read(self, data: bytes, names: Names) -> tuple[Answer, str | None]:
        return retold(answer, data, names)

    def turned(self, reply: Reply) -> Reply:
        return Stream(reply)

    def fault(self, status: int, headers: Mapping[str, str], data: bytes) -> ProviderFailure:
        found = super().fault(status, headers, data)
        if found.kind is ErrorKind.INVALID and b"credit balance is too low" in data:
            found.kind = ErrorKind.AUTH  # only the account's owner can mend it
        return found
