"""The OpenAI dialect: OpenAI itself, and all that offer it (Gemini, Ollama, vLLM, ...)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from multidict import CIMultiDict

from service.domain.catalog import Deployment
from service.providers.answers import other_model, read_answer, unreadable
from service.providers.base import Answer, AnswerStream, Names, Provider, ProviderFailure
from service.providers.failures import failure
from service.providers.incidents import OTHER_MODEL, RECONNECTS
from service.providers.refusals import Unrefused
from service.providers.streams import ChunkStream
from service.providers.transport import MAX_ERROR_BYTES, Reply, Transport

ERROR_BODY_S = 1.0
_NO_STREAM = ("application/json", "text/html")


class _Way:
    """How one deployment is reached; made anew when the plan changes it."""

    def __init__(self, deployment: Deployment, count: Callable[[str, str], None]) -> None:
        self.deployment = deployment
        self.url = deployment.base_url + "/chat/completions"
        self.headers: CIMultiDict[str] = CIMultiDict(
            {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        )
        if deployment.api_key:
            self.headers["Authorization"] = f"Bearer {deployment.api_key}"
        self.again = partial(count, deployment.name, RECONNECTS)


class OpenAI(Provider):
    """Chat completions over HTTP. ``wall_s`` tells the time, in seconds since the epoch."""

    dialect = "openai"

    def __init__(
        self, transport: Transport | None = None, wall_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._transport = transport or Transport()
        self._wall_s = wall_s
        self._ways: dict[tuple[str, int], _Way] = {}

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        reply = await self._post(deployment, body, names.traceparent)
        try:
            data = await reply.body()
            reply.release()
        except BaseException:
            reply.close()
            raise
        answer, model = read_answer(data, names)
        if other_model(deployment.model, model):
            self.incidents.count(deployment.name, OTHER_MODEL)
        return answer

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        reply = await self._post(deployment, body, names.traceparent)
        if reply.headers.get("Content-Type", "").startswith(_NO_STREAM):
            raise await self._no_stream(reply)
        count = partial(self.incidents.count, deployment.name)
        return Unrefused(ChunkStream(reply, names, deployment.model, count))

    async def close(self) -> None:
        await self._transport.close()

    async def _post(self, deployment: Deployment, body: bytes, traceparent: str) -> Reply:
        key = deployment.name, deployment.endpoint
        way = self._ways.get(key)
        if way is None or way.deployment is not deployment:
            way = self._ways[key] = _Way(deployment, self.incidents.count)
        headers = way.headers
        if traceparent:
            headers = headers.copy()
            headers["traceparent"] = traceparent
        reply = await self._transport.post(way.url, headers, body, way.again)
        if reply.status == 200:
            return reply
        raise failure(reply.status, reply.headers, await _error_body(reply), self._wall_s())

    async def _no_stream(self, reply: Reply) -> ProviderFailure:
        """A page or an object where a stream was asked for: an error in a 200, or nonsense."""
        data = await _error_body(reply)
        said = failure(200, {}, data)
        if b'"error"' in data:
            return said
        return unreadable(data)


async def _error_body(reply: Reply) -> bytes:
    """What explains a failure, if it comes soon: the status is worth more than its words."""
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            data = await reply.body(MAX_ERROR_BYTES)
        reply.release()
        return data
    except (ProviderFailure, TimeoutError):
        return b""
    finally:
        reply.close()
