"""Calls without sockets: an ASGI app of this process asked, as a provider or as a caller asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from multidict import CIMultiDict

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure, reached
from service.providers.transport import MAX_ANSWER_BYTES, Reply, Transport

Message = dict[str, Any]
App = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Any], Any]], Any]
_END = b""


class Exchange:
    """One request to the app and its answer as it comes; ``close`` is a caller who leaves."""

    def __init__(self, app: App, asked: tuple[str, str], headers: Mapping[str, str], body: bytes):
        method, url = asked
        path, self._body = urlsplit(url), body
        self._scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path.path, "raw_path": path.path.encode(),
            "query_string": path.query.encode(), "root_path": "", "server": ("inside", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        }  # fmt: skip
        self._gone, self._given = asyncio.Event(), False
        self._parts: asyncio.Queue[bytes] = asyncio.Queue()
        self._begun: asyncio.Future[tuple[int, CIMultiDict[str]]] = (
            asyncio.get_running_loop().create_future()
        )
        self._task = asyncio.create_task(self._run(app))

    async def head(self) -> tuple[int, CIMultiDict[str]]:
        """Status and headers."""
        return await asyncio.shield(self._begun)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while part := await self._parts.get():
            yield part

    async def body(self) -> bytes:
        """All of it."""
        return b"".join([part async for part in self.parts()])

    def close(self) -> None:
        """Leave: the app sees a caller who has gone, and is called off."""
        self._gone.set()
        self._task.cancel()

    async def _run(self, app: App) -> None:
        try:
            await app(self._scope, self._receive, self._send)
        finally:
            if not self._begun.done():
                self._begun.set_result((500, CIMultiDict()))
            self._parts.put_nowait(_END)

    async def _receive(self) -> Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            told = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in message["headers"]]
            self._begun.set_result((message["status"], CIMultiDict(told)))
        elif part := message.get("body", b""):
            self._parts.put_nowait(bytes(part))


class _Told(Reply):
    """An answer of the app, with the face of one that came over a connection."""

    def __init__(self, exchange: Exchange, status: int, headers: CIMultiDict[str]) -> None:
        self._exchange = exchange
        self.status, self.headers = status, headers

    async def body(self, limit: int | None = None) -> bytes:
        data = await self._exchange.body()
        if len(data) > (MAX_ANSWER_BYTES if limit is None else limit):
            raise ProviderFailure(ErrorKind.MALFORMED, status=self.status)
        return data

    async def parts(self) -> AsyncIterator[bytes]:
        async for part in self._exchange.parts():
            yield part

    def release(self) -> None:
        """There is no connection to give back."""

    def close(self) -> None:
        self._exchange.close()


class Inside(Transport):
    """The way to providers that are an app of this process."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app

    async def post(
        self,
        url: str,
        headers: CIMultiDict[str],
        body: bytes,
        again: Callable[[], None] | None = None,
    ) -> Reply:
        reached.set(True)
        exchange = Exchange(self._app, ("POST", url), headers, body)
        try:
            return _Told(exchange, *await exchange.head())
        except BaseException:
            exchange.close()
            raise


async def ask(
    app: App, asked: tuple[str, str], key: str, body: bytes = b"", kind: str = "application/json"
) -> tuple[int, CIMultiDict[str], bytes]:
    """A whole request of a caller: status, headers, body. ``kind``: what its own body is."""
    headers = {"authorization": f"Bearer {key}", "content-type": kind}
    exchange = Exchange(app, asked, headers, body)
    status, told = await exchange.head()
    return status, told, await exchange.body()
