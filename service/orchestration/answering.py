"""How a decision comes to its answer: by one call that may fall back, or by a way of several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from service.domain.chat import ChatRequest
from service.domain.records import Decision, Mode
from service.orchestration.retold import Retold
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.run import Served

FREE = (Mode.RANDOMISED, Mode.STICKY)  # where nobody has named who is to answer


class Given(Protocol):
    """A stream on its way to a caller."""

    served: Served
    usage_event: bytes

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The events to forward, up to but without the last one; raises ProviderFailure."""

    async def close(self) -> None:
        """Let it go."""


class Way(Protocol):
    """A way of answering that takes several calls."""

    name: str

    def wants(self, decision: Decision, request: ChatRequest) -> bool:
        """Whether this request is answered so; free of I/O."""

    async def complete(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        """A whole answer, recorded with its outcome; raises HeadgateError."""


class Answering:
    """Stands before the dispatcher. The first way that wants a request has it; a request whose
    deployment was named, by its caller or an operator, goes to that alone.
    """

    def __init__(self, dispatcher: Callable[[], Dispatcher]) -> None:
        self._dispatcher = dispatcher
        self.ways: list[Way] = []

    def way(self, decision: Decision, request: ChatRequest) -> Way | None:
        """The way that a request goes, if it is one of several calls."""
        if not self.ways or decision.mode not in FREE:
            return None
        return next((each for each in self.ways if each.wants(decision, request)), None)

    async def complete(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        """A whole answer; raises HeadgateError."""
        way = self.way(decision, request)
        if way is None:
            return await self._dispatcher().complete(decision, request)
        return await way.complete(decision, request)

    async def open(self, decision: Decision, request: ChatRequest) -> Given:
        """A stream. A way of several calls has its answer whole before it tells it."""
        way = self.way(decision, request)
        if way is None:
            return await self._dispatcher().open(decision, request)
        return Retold(*await way.complete(decision, request.whole()))
