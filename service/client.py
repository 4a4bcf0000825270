"""The command line's way to a running service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

TIMEOUT_S = 30.0


class ServiceError(Exception):
    """The service answered with an error, or not at all; the message is for people."""

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Waits(Exception):
    """The service will do it when a second person has approved; ``content`` is what it said."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content["message"])
        self.content = content


class Client:
    """JSON calls with a key."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, **parameters: Any) -> Any:
        """GET, its JSON."""
        return self._call("GET", path, TIMEOUT_S, params=parameters)

    def delete(self, path: str) -> Any:
        """DELETE, its JSON."""
        return self._call("DELETE", path, TIMEOUT_S)

    def post(
        self,
        path: str,
        body: Any,
        timeout_s: float = TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """POST, its JSON."""
        return self._call("POST", path, timeout_s, json=body, headers=dict(headers or {}))

    def lines(self, path: str, **parameters: Any) -> Iterator[str]:
        """GET, the lines of its text as they come."""
        try:
            with (
                httpx.Client(base_url=self._url, headers=self._headers, timeout=TIMEOUT_S,
                             trust_env=False) as http,
                http.stream("GET", path, params=parameters) as response,
            ):  # fmt: skip
                if response.status_code >= 400:
                    response.read()
                    message = (response.json().get("error") or {}).get("message", "refused")
                    raise ServiceError(message, response.status_code)
                yield from response.iter_text()
        except httpx.HTTPError as error:
            raise ServiceError(f"no answer from {self._url} ({type(error).__name__})") from None

    def _call(self, method: str, path: str, timeout_s: float, **more: Any) -> Any:
        try:
            with httpx.Client(
                base_url=self._url, headers=self._headers, timeout=timeout_s, trust_env=False
            ) as http:
                response = http.request(method, path, **more)
                content = response.json()
        except httpx.HTTPError as error:
            raise ServiceError(
                f"no service answers at {self._url} ({type(error).__name__}); start one with "
                "headgate serve, or name another with --url"
            ) from None
        except ValueError:
            raise ServiceError(f"{self._url} answered with something that is not JSON") from None
        if response.status_code >= 400:
            told = content.get("error") or {}
            message = told.get("message", "refused")
            raise ServiceError(message, response.status_code, str(told.get("code") or ""))
        if response.status_code == 202 and "approval" in content:
            raise Waits(content)
        return content


class AsyncClient:
    """The same without waiting, for driving traffic."""

    def __init__(self, url: str, key: str, connections: int = 64) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,
        )

    async def post(self, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers; status 0 when nobody answered."""
        try:
            response = await self._http.post(path, json=body)
            return response.status_code, response.json(), dict(response.headers)
        except (httpx.HTTPError, ValueError):
            return 0, {}, {}

    async def get(self, path: str) -> Any:
        """The JSON of a GET; raises ServiceError."""
        try:
            response = await self._http.get(path)
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceError(f"no answer ({type(error).__name__})") from None

    @asynccontextmanager
    async def streamed(
        self, path: str, body: Any, timeout_s: float
    ) -> AsyncIterator[tuple[int, Mapping[str, str], AsyncIterator[str]]]:
        """POST: status, headers, and the lines of the answer as they come; raises ServiceError
        where nobody answers, or the connection breaks.
        """
        try:
            async with self._http.stream("POST", path, json=body, timeout=timeout_s) as response:
                yield response.status_code, response.headers, response.aiter_lines()
        except httpx.HTTPError as error:
            raise ServiceError(f"no answer ({type(error).__name__})") from None

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()
