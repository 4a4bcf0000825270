"""A provider's batches in OpenAI's form: files up and down, batches made, looked at, called off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from service.domain.catalog import Deployment
from service.domain.parcels import Remote, RemoteLine
from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure
from service.providers.failures import UNREADABLE, failure

T = TypeVar("T")
DIALECTS = ("openai",)  # whose providers may offer batches
CALL_S, FILE_S = 30.0, 600.0  # for a whole call, and for one that carries a file
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_FILE_BYTES = 512 * 1024 * 1024
PAGE, MOST_PAGES = 100, 50
MARK = "headgate"  # under which name in a batch's metadata our mark stands
WINDOW = "24h"  # the only one of OpenAI's


class _Batch(msgspec.Struct):
    id: str
    status: str
    metadata: dict[str, Any] | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


class _Page(msgspec.Struct):
    data: list[_Batch]
    has_more: bool = False


class _File(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Why(msgspec.Struct):
    code: Any = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Answer | None = None
    error: _Why | None = None


_batch = msgspec.json.Decoder(_Batch).decode
_page = msgspec.json.Decoder(_Page).decode
_file = msgspec.json.Decoder(_File).decode
_line = msgspec.json.Decoder(_Line).decode


class BatchAPI:
    """One object for all deployments; raises ProviderFailure. Its client is made at the first
    call. ``wall_s`` tells the time, in seconds since the epoch.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self._http: httpx.AsyncClient | None = None

    async def upload(self, target: Deployment, content: bytes, name: str) -> str:
        """Give the provider a file; its name of it."""
        data = await self._call(
            target, "POST", "/files", FILE_S, data={"purpose": "batch"},
            files={"file": (name, content, "application/jsonl")},
        )  # fmt: skip
        return _read(_file, data).id

    async def create(self, target: Deployment, file: str, path: str, mark: str) -> Remote:
        """Make a batch of a file, with our mark in it."""
        body = {"input_file_id": file, "endpoint": path, "completion_window": WINDOW,
                "metadata": {MARK: mark}}  # fmt: skip
        return _remote(_read(_batch, await self._call(target, "POST", "/batches", json=body)))

    async def find(self, target: Deployment, mark: str) -> Remote | None:
        """The batch that has our mark, where there is one among the provider's newest."""
        after = ""
        for _ in range(MOST_PAGES):
            given = {"limit": str(PAGE)} | ({"after": after} if after else {})
            page = _read(_page, await self._call(target, "GET", "/batches", params=given))
            for each in page.data:
                if (found := _remote(each)).mark == mark:
                    return found
            if not page.has_more or not page.data:
                return None
            after = page.data[-1].id
        return None

    async def look(self, target: Deployment, remote: str) -> Remote:
        """How a batch stands."""
        data = await self._call(target, "GET", f"/batches/{_safe(remote)}")
        return _remote(_read(_batch, data))

    async def cancel(self, target: Deployment, remote: str) -> Remote:
        """Call a batch off; what it has begun may still be answered."""
        data = await self._call(target, "POST", f"/batches/{_safe(remote)}/cancel", json={})
        return _remote(_read(_batch, data))

    async def content(self, target: Deployment, file: str) -> bytes:
        """What a file of the provider's holds."""
        return await self._call(
            target, "GET", f"/files/{_safe(file)}/content", FILE_S, bound=MAX_FILE_BYTES
        )

    async def remove(self, target: Deployment, file: str) -> None:
        """Erase a file there."""
        await self._call(target, "DELETE", f"/files/{_safe(file)}")

    async def close(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _call(
        self, target: Deployment, method: str, path: str, within_s: float = CALL_S,
        bound: int = MAX_ANSWER_BYTES, **more: Any,
    ) -> bytes:  # fmt: skip
        if self._http is None:
            self._http = httpx.AsyncClient(
                trust_env=False, follow_redirects=False, timeout=FILE_S,
                limits=httpx.Limits(max_connections=8, max_keepalive_connections=0),
            )  # fmt: skip
        headers = {"User-Agent": "headgate", "Accept-Encoding": "identity"}
        if target.api_key:
            headers["Authorization"] = f"Bearer {target.api_key}"
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.stream(
                    method, target.base_url + path, headers=headers, **more
                ) as response,
            ):
                data = await _bounded(response, bound)
        except TimeoutError:
            raise ProviderFailure(ErrorKind.TIMEOUT) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            raise ProviderFailure(ErrorKind.CONNECTION) from None
        if response.status_code == 200:
            return data
        raise failure(response.status_code, response.headers, data, self._wall_s())


async def _bounded(response: httpx.Response, bound: int) -> bytes:
    """All of an answer within the bound; nothing is inflated, since nothing of it was asked for."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise ProviderFailure(ErrorKind.MALFORMED, status=response.status_code)
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > bound:
            raise ProviderFailure(ErrorKind.MALFORMED, status=response.status_code)
        parts.append(part)
    return b"".join(parts)


def _read(decode: Callable[[bytes], T], data: bytes) -> T:
    try:
        return decode(data)
    except UNREADABLE:
        raise ProviderFailure(ErrorKind.MALFORMED, status=200) from None


def _remote(batch: _Batch) -> Remote:
    mark = (batch.metadata or {}).get(MARK)
    return Remote(
        batch.id, batch.status, mark if isinstance(mark, str) else "", batch.input_file_id or "",
        batch.output_file_id or "", batch.error_file_id or "",
    )  # fmt: skip


def _safe(name: str) -> str:
    """A provider's name for something, as a part of a path."""
    if not name or not name.replace("-", "").replace("_", "").isalnum() or len(name) > 200:
        raise ProviderFailure(ErrorKind.MALFORMED, status=200)
    return name


def input_line(number: int, path: str, body: bytes) -> bytes:
    """A request as a line of the input."""
    line: Mapping[str, object] = {
        "custom_id": str(number), "method": "POST", "url": path, "body": msgspec.Raw(body),
    }  # fmt: skip
    return msgspec.json.encode(line) + b"\n"


def lines_of(content: bytes) -> Iterator[RemoteLine]:
    """The lines of an output or error file that can be read and are of a request of ours."""
    for text in content.split(b"\n"):
        if not text.strip():
            continue
        try:
            line = _line(text)
        except UNREADABLE:
            continue  # its request counts as one that is missing
        if not (line.custom_id.isascii() and line.custom_id.isdigit() and len(line.custom_id) < 10):
            continue
        code = line.error.code if line.error is not None else ""
        answer = line.response or _Answer()
        yield RemoteLine(
            int(line.custom_id), answer.status_code, bytes(answer.body),
            code if isinstance(code, str) else "",
        )  # fmt: skip
