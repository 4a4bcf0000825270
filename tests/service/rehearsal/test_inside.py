"""Calls without sockets say what calls over sockets would: whole, in parts, and called off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure
from service.rehearsal.inside import Inside, ask

heard: list[str] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    if scope["path"] == "/broken":
        raise RuntimeError
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"b")]})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if scope["path"] == "/slow":
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            heard.append("called off")
            raise
    await send({"type": "http.response.body", "body": b"!" + scope["query_string"]})


def test_an_answer_is_read_whole_within_its_bound() -> None:
    async def main() -> None:
        reply = await Inside(app).post("http://here/v1?a=1", CIMultiDict(), b"hello")
        assert (reply.status, reply.headers["X-A"]) == (201, "b")
        assert await reply.body() == b"hello!a=1"
        reply.release()
        long = await Inside(app).post("http://here/v1", CIMultiDict(), b"x" * 100)
        with pytest.raises(ProviderFailure) as failed:
            await long.body(10)
        assert failed.value.kind is ErrorKind.MALFORMED
        assert await ask(app, ("GET", "/v1"), "key", b"q") == (
            201,
            CIMultiDict({"x-a": "b"}),
            b"q!",
        )

    asyncio.run(main())


def test_who_leaves_calls_the_app_off_and_a_fall_is_a_500() -> None:
    async def main() -> None:
        reply = await Inside(app).post("http://here/slow", CIMultiDict(), b"first")
        async for part in reply.parts():
            assert part == b"first"
            break
        reply.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard == ["called off"]
        assert (await ask(_falls, ("GET", "/"), "key"))[0] == 500

    asyncio.run(main())


async def _falls(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Ends without an answer."""
