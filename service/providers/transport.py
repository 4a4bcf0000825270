"""The hot path's client: keep-alive, no redirects, no proxies, no inflating, bounded answers."""

from __future__ import annotations

import errno
import io
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp
import yarl
from multidict import CIMultiDict

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure, reached
from service.providers.resolver import Resolver

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
PART_BYTES = 64 * 1024  # of a stream, passed on at a time
MAX_LINE_BYTES = 8_190  # of an answer's head: its first line, and each header
MAX_HEADERS = 128
CONNECT_S = 5.0
LONG_BODY = 1_000_000
KEEP_ALIVE_S = 30.0
RACE_S = 0.5  # a kept connection that dies sooner than this after a send was dead before it
_reused: ContextVar[bool] = ContextVar("reused", default=False)


class Reply:
    """An answer whose head has come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def body(self, limit: int | None = None) -> bytes:
        """All of it, within the limit; raises ProviderFailure."""
        bound = MAX_ANSWER_BYTES if limit is None else limit
        if (self._response.content_length or 0) > bound:
            raise self._fault(ErrorKind.MALFORMED)  # that long by its own word: not even begun
        content = self._response.content
        parts: list[bytes] = []
        size = 0
        try:
            while not content.at_eof():
                part = await content.readany()
                size += len(part)
                if size > bound:
                    raise self._fault(ErrorKind.MALFORMED)
                parts.append(part)
        except (aiohttp.ClientError, OSError, ValueError):
            raise self._fault(ErrorKind.CUT, size) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def parts(self) -> AsyncIterator[bytes]:
        """Bytes as they come, within the bound of a whole answer, a bounded piece at a time: what
        is read here at once may have to wait for a caller who reads slowly.
        """
        size = 0
        try:
            while True:
                part = await self._response.content.read(PART_BYTES)
                if not part:
                    return
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise self._fault(ErrorKind.MALFORMED)
                yield part
        except (aiohttp.ClientError, OSError, ValueError):
            raise self._fault(ErrorKind.CUT) from None

    def _fault(self, kind: ErrorKind, size: int = 0) -> ProviderFailure:
        failure = ProviderFailure(kind, status=self.status)
        return failure.after(size) if self.status == 200 else failure

    def release(self) -> None:
        """Give the connection back to the pool (it must have been read to the end)."""
        self._response.release()

    def close(self) -> None:
        """Close the connection, whatever was still to come."""
        self._response.close()


class _Connector(aiohttp.TCPConnector):
    """Notes for the calling task that it has a connection, and whether that was a kept one."""

    async def connect(self, *args: Any, **named: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **named)
        protocol: Any = connection.protocol
        _reused.set(getattr(protocol, "headgate_used", False))
        protocol.headgate_used = True
        reached.set(True)
        return connection


class Transport:
    """A pool of connections; made in the running loop at the first call."""

    def __init__(self, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._resolver = resolver or Resolver()
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._urls: dict[str, yarl.URL] = {}

    def _open(self, keep: bool) -> aiohttp.ClientSession:
        connector = _Connector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE_S if keep else None,
            force_close=not keep,
            ttl_dns_cache=60,
            resolver=self._resolver,
            ssl=self._tls or True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )

    async def post(
        self,
        url: str,
        headers: CIMultiDict[str],
        body: bytes,
        again: Callable[[], None] | None = None,
    ) -> Reply:
        """Send and wait for the head; raises ProviderFailure. No total timeout: the caller's.

        A provider may close a kept connection just when a request is on its way into it. Such a
        request, when it dies at once and without a byte of an answer, is sent once more on a fresh
        connection, and ``again`` is told.
        """
        target = self._urls.get(url)
        if target is None:
            target = self._urls[url] = yarl.URL(url)
        if self._session is None:
            self._session = self._open(keep=True)
        reached.set(False)
        _reused.set(False)
        began_s = time.monotonic()
        try:
            return await _send(self._session, target, headers, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not _stale(error, began_s):
                raise _unsent(error) from None
        if again is not None:
            again()
        if self._fresh is None:
            self._fresh = self._open(keep=False)
        try:
            return await _send(self._fresh, target, headers, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unsent(error) from None

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._session, self._fresh = (self._session, self._fresh), None, None
        for session in sessions:
            if session is not None:
                await session.close()
        await self._resolver.close()


async def _send(
    session: aiohttp.ClientSession, target: yarl.URL, headers: CIMultiDict[str], body: bytes
) -> Reply:
    data = body if len(body) < LONG_BODY else io.BytesIO(body)  # written part by part
    response = await session.post(target, data=data, headers=headers, allow_redirects=False)
    coding = response.headers.get("Content-Encoding")
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        response.close()  # we asked for none; what it would inflate to nobody knows
        failure = ProviderFailure(ErrorKind.MALFORMED, status=response.status)
        raise failure.after() if response.status == 200 else failure
    return Reply(response)


def _stale(error: Exception, began_s: float) -> bool:
    """Whether a kept connection was found dead: at once, and before any of an answer came."""
    if not _reused.get() or time.monotonic() - began_s > RACE_S:
        return False
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # else it holds the head that had begun to come
    if not isinstance(error, OSError):
        return False
    reset = isinstance(error, ConnectionError) or isinstance(error.__cause__, ConnectionError)
    return reset or error.errno in (errno.ECONNRESET, errno.EPIPE)


def _unsent(error: Exception) -> ProviderFailure:
    """A call that ended before the head of its answer."""
    if isinstance(error, TimeoutError):
        return ProviderFailure(ErrorKind.TIMEOUT)
    if isinstance(error, aiohttp.ClientResponseError):  # a head, but none of HTTP's or too large
        return ProviderFailure(ErrorKind.MALFORMED).after()
    return ProviderFailure(ErrorKind.CONNECTION)
