"""The dialect of Gemini's generateContent."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping

import msgspec

from service.domain.catalog import Deployment
from service.domain.records import ErrorKind
from service.providers.base import Answer, Names, ProviderFailure
from service.providers.calling import OverHTTP, Way, retold
from service.providers.gemini_asking import content
from service.providers.gemini_telling import Stream, answer
from service.providers.portable import read
from service.providers.transport import Reply
from service.providers.waits import reset_s

_encode = msgspec.json.Encoder().encode
_DELAY = re.compile(rb'"retryDelay"\s*:\s*"([0-9.]{1,12}s)"')


class Gemini(OverHTTP):
    """generateContent over HTTP."""

    dialect = "gemini"
    translates = True

    def way(self, deployment: Deployment) -> Way:
        model = urllib.parse.quote(deployment.model.removeprefix("models/"), safe="")
        url = f"{deployment.base_url}/models/{model}"
        urls = url + ":generateContent", url + ":streamGenerateContent?alt=sse"
        key = ("x-goog-api-key", deployment.api_key) if deployment.api_key else None
        return Way(deployment, urls, key)

    def said(self, deployment: Deployment, body: bytes) -> bytes:
        return _encode(content(read(body, self.dialect), deployment.model))

    def read(self, data: bytes, names: Names) -> tuple[Answer, str | None]:
        return retold(answer, data, names)

    def turned(self, reply: Reply) -> Reply:
        return Stream(reply)

    def fault(self, status: int, headers: Mapping[str, str], data: bytes) -> ProviderFailure:
        found = super().fault(status, headers, data)
        if found.kind is ErrorKind.INVALID and b"API_KEY_INVALID" in data:
            found.kind = ErrorKind.AUTH  # told as a bad request here
        if found.retry_after_s is None and found.kind is ErrorKind.RATE_LIMIT:
            delay = _DELAY.search(data)
            found.retry_after_s = reset_s(delay[1].decode(), self._wall_s()) if delay else None
        return found
