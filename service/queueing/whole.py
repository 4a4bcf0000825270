"""The queue as a whole: its parts, what the clock makes it do, its end."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.tickets import Ended
from service.outbound import Outbound
from service.queueing.desk import Desk
from service.queueing.thread import StoreThread
from service.queueing.webhooks import Webhooks, signing_secret
from service.queueing.work import Workers
from service.storage.queue import QueueStore


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

    async def sweep(self) -> list[Ended]:
        """What time does to the tickets; those that came to nothing since the last time."""
        await self.thread.do(self.store.sweep)
        ended = []
        while self.store.ended:
            ended.append(self.store.ended.popleft())
        return ended

    def signing_secret(self, key_id: str) -> str:
        """The secret that signs the webhooks of an API key."""
        return signing_secret(self.hash_key, key_id)

    async def stop(self) -> None:
        """Call off what is being tried, and close the file."""
        await self.workers.stop()
        await self.outbound.close()
        self.thread.close(self.store.close)
