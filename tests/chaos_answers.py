"""What a healthy upstream says, piece by piece, and the exchange in which it says it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

HANG_S = 10.0
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Exchange:
    """One request under way. ``number`` counts within the step."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stream: bool
    number: int
    text: str
    given: dict[str, Any]

    def get(self, name: str, default: Any) -> Any:
        """A parameter of the step."""
        return self.given.get(name, default)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> bool:
        """Say nothing more until the peer leaves."""
        async with asyncio.timeout(HANG_S):
            await self.reader.read()
        return False

    def reset(self) -> bool:
        """Close so that the peer sees a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return False


Fault = Callable[[Exchange], Awaitable[bool]]
FAULTS: dict[str, Fault] = {}


def register(act: Fault) -> Fault:
    FAULTS[act.__name__.strip("_")] = act
    return act


# what a healthy upstream says ------------------------------------------------------------------


def whole(text: str, **more: Any) -> dict[str, Any]:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    content = {"id": "up-1", "object": "chat.completion", "created": 1, "model": "m",
               "choices": [choice], "usage": USAGE}  # fmt: skip
    return content | more


def event(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """A chunk of a stream; without a delta it has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    content = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
               "choices": choices}  # fmt: skip
    return b"data: " + json.dumps(content | more).encode() + b"\n\n"


def events(text: str, usage: dict[str, Any] | None = USAGE) -> list[bytes]:
    """A whole stream, a word an event."""
    made = [event({"role": "assistant", "content": ""})]
    made += [event({"content": word + " "}) for word in text.split()]
    made.append(event({}, "stop"))
    if usage is not None:
        made.append(event(None, usage=usage))
    return [*made, DONE]


def http(
    status: int, body: bytes, headers: Sequence[str] = (), kind: str = "application/json"
) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode() + body


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = chunk(b"")


async def send_stream(x: Exchange, made: Sequence[bytes], end: bool = True) -> bool:
    await x.write(SSE + b"".join(chunk(each) for each in made) + (END if end else b""))
    return end


async def send_answer(x: Exchange, content: dict[str, Any]) -> bool:
    await x.write(http(200, json.dumps(content).encode()))
    return True
