"""The queue as a whole: its parts, what the clock makes it do, its end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from service.outbound import Outbound
from service.queueing.desk import Desk
from service.queueing.webhooks import Webhooks, signing_secret
from service.queueing.work import Workers
from service.storage.queue import QueueStore
from service.storage.store_thread import StoreThread


@dataclass(frozen=True, slots=True)
class Queue:
    """The parts that routes and jobs ask for."""

    desk: Desk
    workers: Workers
    webhooks: Webhooks
    store: QueueStore
    thread: StoreThread
    outbound: Outbound
    hash_key: bytes
    chance: random.Random = field(default_factory=random.Random)  # of what waits and tries again

    async def sweep(self) -> None:
        """What time does to the tickets."""
        await self.thread.do(self.store.sweep)

    def signing_secret(self, key_id: str) -> str:
        """The secret that signs the webhooks of an API key."""
        return signing_secret(self.hash_key, key_id)

    async def stop(self) -> None:
        """Call off what is being tried, and close the file."""
        await self.workers.stop()
        await self.outbound.close()
        self.thread.close(self.store.close)
