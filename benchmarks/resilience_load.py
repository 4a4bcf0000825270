"""A closed loop of callers on raw sockets: whole answers and streams, each checked and timed."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, field

STREAMS = 0.2
HEAD_BYTES = 64 * 1024


@dataclass
class Load:
    """What is sent: how many, by how many callers, each within a deadline."""

    port: int
    key: str
    requests: int
    callers: int = 16
    deadline_s: float = 2.0
    expect: bytes = b"breathing."
    seed: int = 1


@dataclass
class Tally:
    """What came back. ``seconds`` of the valid answers."""

    valid: int = 0
    seconds: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.valid + sum(self.faults.values())

    def quantile_ms(self, share: float) -> float:
        """Of the valid answers' times."""
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1e3 if ordered else 0.0


def wilson(good: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson interval of a share."""
    if total == 0:
        return 0.0, 1.0
    share, scale = good / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / scale
    return max(middle - half, 0.0), min(middle + half, 1.0)


def request(load: Load, stream: bool) -> bytes:
    """A whole HTTP request."""
    text = "Describe the tide to a child, in one sentence, without the word moon."
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    if stream:
        body["stream"] = True
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {load.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class _Caller:
    """A keep-alive connection that asks one thing at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        """Status and whole body."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._load.port, limit=HEAD_BYTES
            )
        assert self._writer is not None
        self._writer.write(data)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" in head:
            return status, await self._chunks(self._reader)
        size = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        return status, await self._reader.readexactly(size)

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        """Drop the connection; the next question opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def verdict(status: int, body: bytes, stream: bool, expect: bytes) -> str:
    """Empty for a valid answer, else what is wrong with it."""
    if status != 200:
        return f"status {status}"
    if stream and b"event: error" in body:
        return "broken off"
    if stream and not body.endswith(b"data: [DONE]\n\n"):
        return "no end"
    return "" if expect in body else "another answer"


async def run(load: Load) -> Tally:
    """Send it all."""
    tally, left, chance = Tally(), load.requests, random.Random(load.seed)
    whole, streamed = request(load, False), request(load, True)

    async def work() -> None:
        nonlocal left
        caller = _Caller(load)
        while left > 0:
            left -= 1
            stream = chance.random() < STREAMS
            began = time.perf_counter()
            try:
                async with asyncio.timeout(load.deadline_s):
                    status, body = await caller.ask(streamed if stream else whole)
                wrong = verdict(status, body, stream, load.expect)
            except TimeoutError:
                wrong = "late"
                caller.close()
            except (OSError, asyncio.IncompleteReadError, ValueError):
                wrong = "connection"
                caller.close()
            if wrong:
                tally.faults[wrong] += 1
            else:
                tally.valid += 1
                tally.seconds.append(time.perf_counter() - began)
        caller.close()

    await asyncio.gather(*(work() for _ in range(load.callers)))
    return tally
