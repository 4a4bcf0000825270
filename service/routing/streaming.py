"""A stream on its way to the caller: held back until its first content, honest after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Protocol

from service.domain.clock import Clock
from service.domain.records import ErrorKind
from service.providers.base import AnswerStream, Chunk, ProviderFailure, Tokens
from service.routing.billing import Seen, seen_in_time
from service.routing.run import Call, Run, Served

log = logging.getLogger("headgate.routing")


class Head:
    """The chunks up to the first content; nothing of them has been sent yet."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.iterator: AsyncIterator[Chunk] | None = None
        self.ready = False
        self.seen = Seen()

    async def read(self, stream: AnswerStream) -> None:
        """Up to the first content; raises ProviderFailure where the stream ends before it."""
        self.seen = Seen(sent=True)
        self.iterator = aiter(stream)
        async for chunk in self.iterator:
            self.chunks.append(chunk)
            if chunk.has_content:
                self.ready = True
                return
            if chunk.done:
                raise ProviderFailure(ErrorKind.MALFORMED, status=200)
        raise ProviderFailure(ErrorKind.CUT, status=200)

    def sent(self) -> Seen:
        """Once the prompt was on its way it will be billed."""
        return self.seen if self.seen.sent else seen_in_time()


class Owner(Protocol):
    """Who records what a stream showed."""

    clock: Clock
    idle_s: float
    stream_s: float

    def served(self, run: Run, call: Call, seen: Seen, kind: ErrorKind | None) -> Served:
        """The stream has ended, whole or not."""

    def told(self, run: Run, call: Call, overhead_s: float) -> Served:
        """What to tell the caller."""

    def heard(self, call: Call, now_s: float) -> None:
        """The stream goes on."""


class ServedStream:
    """A stream that has begun to answer; iterate it to the end, or close it."""

    def __init__(
        self, owner: Owner, run: Run, call: Call, stream: AnswerStream, head: Head
    ) -> None:
        self._owner = owner
        self._run = run
        self._call = call
        self._stream = stream
        self._head = head
        self._ttft_s = owner.clock.monotonic_s() - call.started_s
        self._ends_s = call.started_s + owner.stream_s
        self._told_s = call.started_s + self._ttft_s
        self._characters = self._images = 0
        self._tokens: Tokens | None = None
        self.usage_event = b""
        self.served = owner.told(run, call, call.started_s - run.started_s - run.upstream_s)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The events to forward, up to but without the last one; raises ProviderFailure."""
        for chunk in self._head.chunks:
            if data := self._take(chunk):
                yield data
            if chunk.done:
                self._end(None)
                return
        iterator = self._head.iterator
        assert iterator is not None
        while True:
            left_s = self._ends_s - self._owner.clock.monotonic_s()
            try:
                if left_s <= 0.0:
                    raise TimeoutError
                async with asyncio.timeout(min(self._owner.idle_s, left_s)):
                    chunk = await anext(iterator)
            except TimeoutError:
                kind = ErrorKind.STALLED if left_s > self._owner.idle_s else ErrorKind.TIMEOUT
                raise self._broken(kind) from None
            except StopAsyncIteration:
                raise self._broken(ErrorKind.CUT) from None
            except ProviderFailure as failure:
                self._end(failure.kind)
                raise
            except Exception:
                log.exception("a stream of %s failed in an unknown way", self._call.deployment.name)
                raise self._broken(ErrorKind.MALFORMED) from None
            self._alive()
            if data := self._take(chunk):
                yield data
            if chunk.done:
                self._end(None)
                return

    def _alive(self) -> None:
        """What flows is a sign of life; telling so once a second is enough."""
        now_s = self._owner.clock.monotonic_s()
        if now_s >= self._told_s + 1.0:
            self._told_s = now_s
            self._owner.heard(self._call, now_s)

    def _broken(self, kind: ErrorKind) -> ProviderFailure:
        self._end(kind)
        return ProviderFailure(kind, status=200)

    async def close(self) -> None:
        """Let the upstream go; an unfinished stream is one that the caller left."""
        self._end(ErrorKind.CANCELLED)
        await self._stream.close()

    def _take(self, chunk: Chunk) -> bytes:
        self._characters += chunk.content_chars
        self._images += chunk.images
        self._tokens = chunk.tokens or self._tokens
        self.usage_event = chunk.usage_event or self.usage_event
        return chunk.data

    def _end(self, kind: ErrorKind | None) -> None:
        if self._run.closed:
            return
        self._run.closed = True
        seen = Seen(True, self._characters, self._tokens, self._ttft_s, self._images)
        self.served = self._owner.served(self._run, self._call, seen, kind)
