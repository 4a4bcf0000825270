"""A stream on its way to a caller that is listened to, so that the whole of it can be kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from service.caching.passage import Passage
from service.caching.worth import assembled
from service.domain.records import Decision
from service.orchestration.answering import Given
from service.providers.base import Answer
from service.routing.run import Served

MOST = 16_000_000  # bytes of events that are held; of a longer stream nothing is kept
LONG = 200_000  # from which they are put together beside the event loop


class Tapped:
    """The face of the stream itself. What broke off, and what its caller left, is never kept."""

    def __init__(self, stream: Given, passage: Passage, decision: Decision) -> None:
        self._stream, self._passage, self._decision = stream, passage, decision

    @property
    def served(self) -> Served:
        """How it is served."""
        return self._passage.marked(self._stream.served)

    @property
    def usage_event(self) -> bytes:
        """The provider's usage."""
        return self._stream.usage_event

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Its events."""
        pieces: list[bytes] = []
        held = 0
        listens = bool(self._passage.fingerprint)
        async for data in self._stream:
            if listens and held <= MOST:
                pieces.append(data)
                held += len(data)
            yield data
        if not listens:
            return
        if held > MOST:
            body = None
        elif held > LONG:
            body = await asyncio.to_thread(assembled, pieces, self.usage_event)
        else:
            body = assembled(pieces, self.usage_event)
        served = self._stream.served
        if body is None:
            self._passage.unkept("form", served)
        else:
            self._passage.answered(self._decision, Answer(body, None, 0), served)

    async def close(self) -> None:
        """Let it go."""
        await self._stream.close()
