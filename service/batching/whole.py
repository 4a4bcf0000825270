"""Batches as a whole: the parts that routes and jobs ask for, and their end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from service.batching.desk import Desk
from service.batching.parcels import Parcels
from service.batching.work import Workers
from service.domain.clock import Clock
from service.storage.batch_store import BatchStore
from service.storage.store_thread import StoreThread


@dataclass(frozen=True, slots=True)
class Batching:
    """``results``: requests that got their result since the start, by what it was; ``chance``: how
    long one that failed waits.
    """

    desk: Desk
    workers: Workers
    parcels: Parcels
    store: BatchStore
    thread: StoreThread
    clock: Clock
    results: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=random.Random)

    async def sweep(self) -> None:
        """Erase what was kept long enough."""
        await self.thread.do(self.store.sweep, self.clock.wall_us())

    async def stop(self) -> None:
        """Call off what is being tried, and close the file."""
        await self.workers.stop()
        await self.parcels.stop()
        await asyncio.to_thread(self.thread.close, self.store.close)
