"""Single flight: of equal requests at one time one is sent, and the others wait for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """A call under way that others may wait for. It ends once: with an answer for all, alone (each
    goes its own way), or failed (one of those that wait leads).
    """

    __slots__ = ("_ended", "_landed", "deployment", "waiting")

    def __init__(self, landed: Callable[[], None]) -> None:
        self._ended: asyncio.Future[T | None] | None = None
        self._landed = landed
        self.deployment = ""  # who was asked
        self.waiting = 0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._landed is _nothing

    async def wait(self, left_s: float) -> T | None:
        """Its answer; None where there is none. Raises TimeoutError, and Alone."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        self.waiting += 1
        try:
            async with asyncio.timeout(left_s):
                return await asyncio.shield(self._ended)
        finally:
            self.waiting -= 1

    def give(self, answer: T) -> None:
        """An answer for all."""
        if not self._end() and self._ended is not None and not self._ended.done():
            self._ended.set_result(answer)

    def alone(self) -> None:
        """The answer is not for others: each goes its own way."""
        if not self._end() and self._ended is not None and not self._ended.done():
            self._ended.set_exception(Alone())
            self._ended.exception()  # whoever still waits gets it all the same

    def fail(self) -> None:
        """There is no answer; after its end this does nothing."""
        if not self._end() and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _end(self) -> bool:
        """Whether it had ended before."""
        if self.over:
            return True
        landed, self._landed = self._landed, _nothing
        landed()
        return False


class Alone(Exception):
    """What was waited for is not for others."""


def _nothing() -> None:
    return None


class Flights(Generic[T]):
    """The flights under way, by fingerprint. Lives on the event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def under_way(self) -> tuple[Flight[T], ...]:
        """All of them."""
        return tuple(self._under_way.values())

    def of(self, name: str) -> Flight[T] | None:
        """The one under way."""
        return self._under_way.get(name)

    def begin(self, name: str) -> Flight[T]:
        """Lead."""
        flight: Flight[T] = Flight(lambda: self._landed(name, flight))
        self._under_way[name] = flight
        return flight

    def _landed(self, name: str, flight: Flight[T]) -> None:
        if self._under_way.get(name) is flight:
            del self._under_way[name]
