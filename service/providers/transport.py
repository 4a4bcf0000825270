"""The hot path's client: keep-alive, no redirects, no proxies, bounded answers."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping

import aiohttp
import yarl
from multidict import CIMultiDict

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
CONNECT_S = 5.0
LONG_BODY = 1_000_000
KEEP_ALIVE_S = 30.0


class Reply:
    """An answer whose head has come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def body(self, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """All of it, within the limit."""
        content = self._response.content
        try:
            first = await content.readany()
            if content.at_eof():
                return first
            parts, size = [first], len(first)
            while not content.at_eof():
                part = await content.readany()
                size += len(part)
                if size > limit:
                    raise ProviderFailure(ErrorKind.MALFORMED, status=self.status)
                parts.append(part)
            return b"".join(parts)
        except aiohttp.ClientError:
            raise ProviderFailure(ErrorKind.CUT, status=self.status) from None

    async def parts(self) -> AsyncIterator[bytes]:
        """Bytes as they come."""
        try:
            while True:
                part = await self._response.content.readany()
                if not part:
                    return
                yield part
        except aiohttp.ClientError:
            raise ProviderFailure(ErrorKind.CUT, status=self.status) from None

    def release(self) -> None:
        """Give the connection back to the pool (it must have been read to the end)."""
        self._response.release()

    def close(self) -> None:
        """Close the connection, whatever was still to come."""
        self._response.close()


class Transport:
    """A pool of connections; made in the running loop at the first call."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, yarl.URL] = {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=60
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session

    async def post(self, url: str, headers: CIMultiDict[str], body: bytes) -> Reply:
        """Send and wait for the head; raises ProviderFailure. No total timeout: the caller's."""
        target = self._urls.get(url)
        if target is None:
            target = self._urls[url] = yarl.URL(url)
        session = self._session or self._open()
        try:
            data = body if len(body) < LONG_BODY else io.BytesIO(body)  # written part by part
            response = await session.post(target, data=data, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            timed_out = isinstance(error, TimeoutError)
            kind = ErrorKind.TIMEOUT if timed_out else ErrorKind.CONNECTION
            raise ProviderFailure(kind) from None
        return Reply(response)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
