"""Which versions learn beside the live one, and for whom: experiments, watches, shadows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

Ask = Callable[[str], Future[None]]


class Followers:
    """A version is followed from the first who wants it until the last has released it."""

    def __init__(self, follow: Ask, leave: Ask) -> None:
        self._follow, self._leave = follow, leave
        self._wanted: dict[str, set[str]] = {}

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """For whom each version is followed."""
        return {version: tuple(sorted(who)) for version, who in self._wanted.items()}

    async def want(self, version_id: str, who: str) -> None:
        """Have a version followed; raises HeadgateError where it cannot be."""
        await asyncio.wrap_future(self.asked(version_id, who))

    def asked(self, version_id: str, who: str) -> Future[None]:
        """The same for those who cannot wait yet; a failure takes the wish back."""
        wishes = self._wanted.setdefault(version_id, set())
        wishes.add(who)
        future = self._follow(version_id)

        def ended(done: Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                wishes.discard(who)
                if not wishes and self._wanted.get(version_id) is wishes:
                    del self._wanted[version_id]

        future.add_done_callback(ended)
        return future

    async def release(self, version_id: str, who: str) -> None:
        """Somebody needs it no more."""
        wishes = self._wanted.get(version_id, set())
        wishes.discard(who)
        if not wishes:
            self._wanted.pop(version_id, None)
            await asyncio.wrap_future(self._leave(version_id))
