"""Who works on which item, and until when: one at a time, and nobody for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.clock import Clock
from service.domain.errors import Conflict
from service.domain.reviews import Holder, ReviewTurn


@dataclass(frozen=True, slots=True)
class Lease:
    """Holds until ``until_s`` on the monotonic clock; ``until_us`` tells people when that is."""

    holder: Holder
    until_s: float
    until_us: int


class Leases:
    """A lease that has lapsed is remembered until the item is claimed again or ends: whoever had
    it may not decide by it any more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, Lease] = {}

    def load(self, claims: Iterable[ReviewTurn]) -> None:
        """After a restart: each holds for what is left by the wall clock, and never for longer
        than it was given.
        """
        now_s, now_us = self._clock.monotonic_s(), self._clock.wall_us()
        for claim in claims:
            until_us = claim.until_us or claim.at_us
            left_us = max(min(until_us - now_us, until_us - claim.at_us), 0)
            holder = Holder(claim.key_id, claim.reviewer)
            self._leases[claim.item_id] = Lease(holder, now_s + left_us / 1e6, until_us)

    def get(self, item_id: str) -> Lease | None:
        """The lease of an item, lapsed or not."""
        return self._leases.get(item_id)

    def running(self, item_id: str) -> Lease | None:
        """The lease of an item that still holds."""
        lease = self._leases.get(item_id)
        return lease if lease is not None and self._clock.monotonic_s() < lease.until_s else None

    def count(self) -> int:
        """How many hold."""
        now_s = self._clock.monotonic_s()
        return sum(now_s < lease.until_s for lease in self._leases.values())

    def take(self, item_id: str, holder: Holder, lasts_s: float) -> Lease:
        """Claim an item, or renew one's own lease; raises Conflict while somebody else's holds."""
        self.free_for(item_id, holder)
        until_us = self._clock.wall_us() + int(lasts_s * 1e6)
        lease = Lease(holder, self._clock.monotonic_s() + lasts_s, until_us)
        self._leases[item_id] = lease
        return lease

    def free_for(self, item_id: str, holder: Holder) -> None:
        """Raises Conflict where somebody else's lease holds."""
        running = self.running(item_id)
        if running is not None and running.holder != holder:
            left_s = running.until_s - self._clock.monotonic_s()
            raise Conflict(
                f"{running.holder.reviewer} works on this review for {left_s / 60.0:.0f} minutes "
                "yet; another may claim it after that, or once it is released",
                code="review_claimed",
                retry_after_s=left_s,
            )

    def may_end(self, item_id: str, holder: Holder) -> None:
        """Raises Conflict where the item is not this holder's to end: another works on it, or the
        holder's own lease has lapsed.
        """
        self.free_for(item_id, holder)
        lease = self._leases.get(item_id)
        if lease is not None and lease.holder == holder and self.running(item_id) is None:
            raise Conflict(
                "your claim has lapsed; claim the review again before you decide it",
                code="claim_lapsed",
            )

    def put_back(self, item_id: str, taken: Lease, before: Lease | None) -> None:
        """Undo a claim that could not be made durable."""
        if self._leases.get(item_id) is taken:
            self.drop(item_id)
            if before is not None:
                self._leases[item_id] = before

    def drop(self, item_id: str) -> None:
        """Nobody works on it."""
        self._leases.pop(item_id, None)

    def keep(self, items: Iterable[str]) -> None:
        """Forget the leases of all items but these."""
        known = set(items)
        self._leases = {each: lease for each, lease in self._leases.items() if each in known}
