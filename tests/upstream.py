"""A provider on a raw socket that does what a test says: cut, reset, stall, lie, drip."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from typing import Any

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

USAGE = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}


def answer_json(text: str = "hello", **more: Any) -> bytes:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    content = {"id": "up-1", "object": "chat.completion", "model": "up-model",
               "choices": [choice], "usage": USAGE}  # fmt: skip
    return json.dumps(content | more).encode()


def event(text: str | None, **more: Any) -> bytes:
    """A chunk of a stream."""
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    content = {"id": "up-1", "object": "chat.completion.chunk", "model": "up-model",
               "choices": choices}  # fmt: skip
    return b"data: " + json.dumps(content | more).encode() + b"\n\n"


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP answer; ``length`` may lie."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {size}"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode() + body


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def say(*parts: bytes, then: Act | None = None, pause_s: float = 0.0) -> Act:
    """Write the parts, with a pause after each, then go on or close."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if then is not None:
            await then(reader, writer)

    return act


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close so that the peer sees a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing more until the peer leaves, at most ten seconds."""
    async with asyncio.timeout(10):
        await reader.read()


class Upstream:
    """The provider; ``act`` is what it does with every request, to be changed between them."""

    def __init__(self) -> None:
        self.act: Act = say(http(200, answer_json()))
        self.requests: list[bytes] = []
        self.left = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Upstream:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(5)
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(size))
            await self.act(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            self.left.set()
            writer.close()
