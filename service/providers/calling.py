"""A dialect over HTTP: one POST a call, its answer read, its failures put in our words."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import msgspec
from multidict import CIMultiDict

from service.domain.catalog import Deployment
from service.domain.records import ErrorKind
from service.providers.answers import other_model, read_answer, unreadable
from service.providers.base import (
    Answer,
    AnswerStream,
    Names,
    Provider,
    ProviderFailure,
    reached,
)
from service.providers.failures import UNREADABLE, failure
from service.providers.incidents import OTHER_MODEL, RECONNECTS
from service.providers.refusals import Unrefused
from service.providers.streams import ChunkStream
from service.providers.transport import MAX_ERROR_BYTES, Reply, Transport

ERROR_BODY_S = 1.0
LONG_BODY = 100_000  # bytes from which a request is put into a dialect beside the event loop
_ODD = (
    AttributeError, KeyError, TypeError, ValueError, RecursionError, msgspec.MsgspecError,
)  # fmt: skip
_NO_STREAM = ("application/json", "text/html")


class Way:
    """How one deployment is reached; made anew when the plan changes it."""

    def __init__(
        self, deployment: Deployment, urls: tuple[str, str], key: tuple[str, str] | None
    ) -> None:
        self.deployment = deployment
        self.urls = urls  # for a whole answer, and for a stream
        self.headers: CIMultiDict[str] = CIMultiDict(
            {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        )
        if key is not None:
            self.headers[key[0]] = key[1]
        self.again: Callable[[], None] | None = None


def retold(
    answer: Callable[[bytes], tuple[bytes, str | None] | None], data: bytes, names: Names
) -> tuple[Answer, str | None]:
    """An answer put into OpenAI's form by ``answer``, and who gave it; raises ProviderFailure."""
    try:
        found = answer(data)
    except UNREADABLE:
        raise unreadable(data) from None
    if found is None:  # an error under a 200, or nothing that is known
        said = failure(200, {}, data)
        raise said if b'"error"' in data else unreadable(data)
    told, model = found
    return read_answer(told, names)[0], model


class OverHTTP(Provider):
    """What the dialects share. ``wall_s`` tells the time, in seconds since the epoch."""

    translates: ClassVar[bool] = False

    def __init__(
        self, transport: Transport | None = None, wall_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._transport = transport or Transport()
        self._wall_s = wall_s
        self._ways: dict[tuple[str, int], Way] = {}

    @abstractmethod
    def way(self, deployment: Deployment) -> Way:
        """The addresses and the headers of a deployment."""

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        reply = await self._post(deployment, body, names.traceparent, 0)
        try:
            data = await reply.body()
            reply.release()
        except BaseException:
            reply.close()
            raise
        answer, model = self.read(data, names)
        if other_model(deployment.model, model):
            self.incidents.count(deployment.name, OTHER_MODEL)
        return answer

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        reply = await self._post(deployment, body, names.traceparent, 1)
        if reply.headers.get("Content-Type", "").startswith(_NO_STREAM):
            raise await self._no_stream(reply)
        count = partial(self.incidents.count, deployment.name)
        return Unrefused(ChunkStream(self.turned(reply), names, deployment.model, count))

    async def close(self) -> None:
        await self._transport.close()

    def through(self, transport: Transport) -> None:
        """Go this way from the next call on."""
        self._transport = transport

    # what a dialect that is not OpenAI's does otherwise ------------------------------------------

    def said(self, deployment: Deployment, body: bytes) -> bytes:
        """The request in the dialect; raises ProviderFailure for what it cannot say."""
        return body

    def read(self, data: bytes, names: Names) -> tuple[Answer, str | None]:
        """A whole answer, and the model that it names; raises ProviderFailure."""
        return read_answer(data, names)

    def turned(self, reply: Reply) -> Reply:
        """A reply whose parts are chunks in OpenAI's form."""
        return reply

    def fault(self, status: int, headers: Mapping[str, str], data: bytes) -> ProviderFailure:
        """A failed answer in our words."""
        return failure(status, headers, data, self._wall_s())

    # --------------------------------------------------------------------------------------------

    async def _post(
        self, deployment: Deployment, body: bytes, traceparent: str, stream: int
    ) -> Reply:
        key = deployment.name, deployment.endpoint
        way = self._ways.get(key)
        if way is None or way.deployment is not deployment:
            way = self._ways[key] = self.way(deployment)
            way.again = partial(self.incidents.count, deployment.name, RECONNECTS)
        if self.translates:
            body = await self._translated(deployment, body)
        headers = way.headers
        if traceparent:
            headers = headers.copy()
            headers["traceparent"] = traceparent
        reply = await self._transport.post(way.urls[stream], headers, body, way.again)
        if reply.status == 200:
            return reply
        raise self.fault(reply.status, reply.headers, await _error_body(reply))

    async def _translated(self, deployment: Deployment, body: bytes) -> bytes:
        reached.set(False)
        try:
            if len(body) > LONG_BODY:
                return await asyncio.to_thread(self.said, deployment, body)
            return self.said(deployment, body)
        except _ODD:  # a field that is not of OpenAI's form, where nobody has looked before
            raise ProviderFailure(ErrorKind.INVALID, code="invalid_request_error") from None

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
