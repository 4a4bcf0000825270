"""When a parcel is looked at, called off and left, so that its requests are never late."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from service.batching.work import Workers
from service.domain.batches import Batch, BatchState
from service.domain.catalog import BatchOffer
from service.domain.clock import Clock
from service.domain.parcels import Parcel, Posting
from service.storage.batch_store import BatchStore

AGAIN, MOST_TIMES = 1.5, 10.0  # how the time between two looks grows, and how far
CANCELLED, LATE, UNWILLED = "cancelled", "late", "not_allowed"


@dataclass(slots=True)
class Journey:
    """What this process knows of a parcel beside what is kept. ``fresh``: nothing was sent yet."""

    due_us: int = 0
    looks: int = 0
    fresh: bool = False
    misses: int = 0
    asked_us: int = 0  # when it was called off first
    whose: tuple[Posting, ...] = ()


class Times:
    """Of all parcels. ``allowed``: whether operators let a request go to a deployment now."""

    def __init__(
        self, batches: BatchStore, workers: Workers, allowed: Callable[[Posting, str], bool],
        by: tuple[Clock, random.Random],
    ) -> None:  # fmt: skip
        self._batches, self._workers, self._allowed = batches, workers, allowed
        self._clock, self._chance = by

    def batch(self, parcel: Parcel) -> Batch | None:
        standing = self._batches.standings.get(parcel.batch_id)
        return None if standing is None else standing.batch

    def live(self, parcel: Parcel) -> Batch | None:
        batch = self.batch(parcel)
        return batch if batch is not None and batch.state is BatchState.IN_PROGRESS else None

    def why(self, parcel: Parcel, offer: BatchOffer, way: Journey) -> str:
        """For what it is called off now; empty where it goes on."""
        now_us = self._clock.wall_us()
        if self.live(parcel) is None:
            return CANCELLED
        given_us = parcel.sent_us + offer.window_s * 1e6
        if (parcel.sent_us and now_us >= given_us) or not self.in_time(parcel, offer):
            return LATE
        if any(not self._allowed(each, parcel.deployment) for each in way.whose):
            return UNWILLED
        return ""

    def in_time(self, parcel: Parcel, offer: BatchOffer) -> bool:
        """Whether it may still end by itself, or be called off, before its requests are late."""
        latest_us = self._workers.latest_us(parcel.batch_id)
        return latest_us is not None and (self._clock.wall_us() < latest_us - offer.cancel_s * 1e6)

    def lost(self, parcel: Parcel, offer: BatchOffer, way: Journey) -> bool:
        """Of one that is called off: whether its end is waited for no longer."""
        now_us, latest_us = self._clock.wall_us(), self._workers.latest_us(parcel.batch_id)
        if latest_us is not None and now_us >= latest_us:
            return True
        way.asked_us = way.asked_us or now_us
        return now_us >= way.asked_us + offer.cancel_s * 1e6

    def rest(self, way: Journey, offer: BatchOffer, parcel: Parcel) -> None:
        """Look again after a while, longer each time; in time for what must not be late."""
        wait_s = offer.poll_s * min(AGAIN**way.looks, MOST_TIMES)
        wait_s *= self._chance.uniform(0.8, 1.0)
        way.looks += 1
        now_us = self._clock.wall_us()
        way.due_us = now_us + int(wait_s * 1e6)
        latest_us = self._workers.latest_us(parcel.batch_id)
        if latest_us is not None and (risk := latest_us - int(offer.cancel_s * 1e6)) > now_us:
            way.due_us = min(way.due_us, risk)
