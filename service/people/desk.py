"""The desk of review: items put, claimed, released and decided, each once; late ones defaulted."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from service.domain.clock import Clock
from service.domain.errors import Conflict, HeadgateError, NotFound, StorageUnavailable
from service.domain.refusals import Review
from service.domain.reviews import HEADGATE, Holder, Kind, ReviewItem, ReviewTurn, Turn
from service.people.asked import Effect, Found, Ruled, found_refusal, turn_of
from service.people.lately import Lately
from service.people.leases import Lease, Leases
from service.storage.event_log import EventLog
from service.storage.review_items import ReviewItems
from service.storage.reviews import Reviewed, ReviewStore
from service.telemetry import Telemetry

log = logging.getLogger("headgate.review")

MOST_AT_ONCE = 500  # that are left to their default together
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk stands on. ``most_open``: of a kind, by the plan in force."""

    items: ReviewItems
    refusals: ReviewStore
    log: EventLog
    clock: Clock
    telemetry: Telemetry
    effects: Mapping[str, Effect]
    most_open: Callable[[str], int]
    lease_s: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Standing:
    """How many wait by kind, how many of these beyond their time, and how many are claimed."""

    waiting: Counter[str]
    late: Counter[str]
    claimed: int


@dataclass(frozen=True, slots=True)
class Sought:
    """Which of what waits; empty: all. ``claimed``: what somebody works on; ``holder``: who."""

    kind: str = ""
    tenant: str = ""
    claimed: bool = False
    holder: Holder | None = None


class ReviewDesk:
    """Lives on the event loop. A claim is in effect before it is durable, so that there are never
    two; a ruling after it.
    """

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self.leases = Leases(parts.clock)
        self.leases.load(parts.items.claims())
        self.leases.keep([each.id for each in self._waiting()])
        self.passed_over, self.defaulted = Lately(parts.clock), Lately(parts.clock)
        self._busy: set[str] = set()  # whose end is being made durable
        self._tasks: set[asyncio.Task[Any]] = set()

    # put --------------------------------------------------------------------------------------

    def put(self, item: ReviewItem) -> bool:
        """Open an item; it waits for no disk. False where the queue of its kind is full: then it is
        passed over and counted.
        """
        parts = self._parts
        if not self.room(item.kind):
            return False
        parts.items.put(item)
        parts.log.append(item)
        parts.telemetry.review(item.kind, "opened")
        return True

    def keep(self, record: object) -> None:
        """Log what belongs to an item; it waits for no disk."""
        self._parts.log.append(record)

    def room(self, kind: str) -> bool:
        """Whether one more of a kind may wait; where not, one is passed over, and counted."""
        parts = self._parts
        if parts.items.count(kind) < parts.most_open(kind):
            return True
        self.passed_over.add(kind)
        parts.telemetry.review(kind, "passed_over")
        return False

    # seen -------------------------------------------------------------------------------------

    def open(
        self, start: int = 0, stop: int | None = None, sought: Sought | None = None
    ) -> list[Found]:
        """What waits, oldest first, from ``start`` to ``stop``; only these are made up, since
        thousands may wait and pages ask for some of them, and often.
        """
        waiting: Iterable[ReviewItem | Review] = self._waiting()
        if sought is not None:
            waiting = (each for each in waiting if self._is_sought(each, sought))
        return [self._found(each) for each in islice(waiting, start, stop)]

    def count(self) -> int:
        """How many wait, of all kinds."""
        return len(self._parts.items) + len(self._parts.refusals)

    def get(self, item_id: str) -> Found | None:
        """One that waits; reads no log."""
        found = self._parts.items.get(item_id) or self._parts.refusals.get(item_id)
        return None if found is None else self._found(found)

    def _waiting(self) -> list[ReviewItem | Review]:
        """As they are kept, oldest first. Both lists come in order but for a clock that was set, so
        that sorting them is one pass.
        """
        waiting: list[ReviewItem | Review] = [
            *self._parts.items.open(),
            *self._parts.refusals.open(),
        ]
        return sorted(waiting, key=attrgetter("at_us"))

    def _is_sought(self, each: ReviewItem | Review, sought: Sought) -> bool:
        kind = each.kind if isinstance(each, ReviewItem) else Kind.REFUSAL
        if sought.kind not in ("", kind) or sought.tenant not in ("", each.tenant):
            return False
        if not sought.claimed and sought.holder is None:
            return True
        lease = self.leases.running(each.id)
        return lease is not None and sought.holder in (None, lease.holder)

    def _found(self, each: ReviewItem | Review) -> Found:
        if isinstance(each, Review):
            return self._refusal(Reviewed(each, None))
        left_s = self._parts.items.left_s(each.id)
        return Found(each, None, self.leases.running(each.id), None, left_s)

    def counts(self) -> Standing:
        """What waits, in a few figures."""
        items, (refusals, late) = self._parts.items, self._parts.refusals.counts()
        waiting: Counter[str] = Counter({kind.value: items.count(kind) for kind in Kind})
        waiting[Kind.REFUSAL.value] = refusals
        beyond = Counter(item.kind for item in items.due())
        beyond[Kind.REFUSAL] += late
        return Standing(+waiting, +beyond, self.leases.count())

    def find(self, item_id: str) -> Found | None:
        """One, open or ended; may read the log, so call it off the loop."""
        items = self._parts.items
        found = items.find(item_id)
        if found is None:
            reviewed = self._parts.refusals.find(item_id)
            return None if reviewed is None else self._refusal(reviewed)
        if found.end is not None:
            return Found(found.item, found.end)
        try:
            left_s = items.left_s(item_id)
        except KeyError:  # it has ended meanwhile
            return self.find(item_id)
        return Found(found.item, None, self.leases.running(item_id), None, left_s)

    def ended(self, kind: str, turn: Turn, tenant: str, most: int) -> list[Found]:
        """The last ``most`` that ended so, newest first; reads the log."""
        ended = self._parts.items.ended(kind, turn, tenant, most)
        found = [Found(each.item, each.end) for each in ended]
        if turn is Turn.DECIDED and kind in ("", Kind.REFUSAL):
            decided = [self._refusal(each) for each in self._parts.refusals.decided(most)]
            found += [each for each in decided if tenant in ("", each.item.tenant)]
        return sorted(found, key=lambda each: -_ended_us(each))[:most]

    def _refusal(self, reviewed: Reviewed) -> Found:
        review = reviewed.review
        left_s = (review.due_us - self._parts.clock.wall_us()) / 1e6
        return found_refusal(reviewed, self.leases.running(review.id), left_s)

    # done -------------------------------------------------------------------------------------

    async def claim(self, item_id: str, holder: Holder, tenant: str) -> Found:
        """Work on an item, or renew; durable when this returns. Raises Conflict while another's
        lease holds, and where the item has ended or its time is over.
        """
        found = await self._seen(item_id, tenant)
        self._check_open(found)
        self._check_time(found.item)
        before = self.leases.get(item_id)
        lease = self.leases.take(item_id, holder, self._parts.lease_s())
        turn = ReviewTurn(
            item_id, self._parts.clock.wall_us(), Turn.CLAIMED, holder.key_id, holder.reviewer,
            lease.until_us,
        )  # fmt: skip
        await self._whole(self._claimed(turn, lease, before))
        return Found(found.item, None, lease, found.review, found.left_s)

    async def _claimed(self, turn: ReviewTurn, lease: Lease, before: Lease | None) -> None:
        try:
            await self._durable(turn)
        except StorageUnavailable:
            self.leases.put_back(turn.item_id, lease, before)
            raise

    async def release(self, item_id: str, holder: Holder, tenant: str) -> Found:
        """Let go of an item, durably; one that is not held is let go of already."""
        found = await self._seen(item_id, tenant)
        self._check_open(found)
        self.leases.free_for(item_id, holder)
        if self.leases.running(item_id) is not None:
            now_us = self._parts.clock.wall_us()
            await self._durable(
                ReviewTurn(item_id, now_us, Turn.RELEASED, holder.key_id, holder.reviewer)
            )
            lease = self.leases.running(item_id)
            if lease is not None and lease.holder == holder:
                self.leases.drop(item_id)
        return Found(found.item, None, self.leases.running(item_id), found.review, found.left_s)

    async def decide(self, item_id: str, ruled: Ruled, tenant: str) -> Found:
        """End an item; durable, with what follows from it, when this returns. What nobody holds is
        claimed and decided in one. The same ruling with the same idempotency key is taken once.
        """
        found = await self._seen(item_id, tenant)
        if found.end is not None and await self._again(item_id, ruled):
            return found
        self._parts.effects[found.item.kind].check(found.item, ruled.verdict)
        self._check_open(found)
        self.leases.may_end(item_id, ruled.holder)
        self._busy.add(item_id)
        return await self._whole(self._decided(found, ruled))

    async def _decided(self, found: Found, ruled: Ruled) -> Found:
        item, effect = found.item, self._parts.effects[found.item.kind]
        turn = turn_of(item, ruled, self._parts.clock.wall_us())
        try:
            await effect.rule(item, ruled, turn)
            self._ended(turn)
            effect.took(item, turn)
        finally:
            self._busy.discard(item.id)
        self._parts.telemetry.review(item.kind, Turn.DECIDED)
        return Found(item, turn, None, found.review)

    async def _again(self, item_id: str, ruled: Ruled) -> bool:
        if ruled.idempotency_key is None:
            return False
        end = await asyncio.to_thread(self._parts.items.end_of, item_id)
        return end is not None and (end.key_id, end.idempotency_key, end.verdict) == (
            ruled.key.id, ruled.idempotency_key, ruled.verdict,
        )  # fmt: skip

    # by itself --------------------------------------------------------------------------------

    async def default_late(self) -> int:
        """Leave to their default those whose time is over and on which nobody works; how many."""
        late = self._late()
        if not late:
            return 0
        now_us, effects = self._parts.clock.wall_us(), self._parts.effects
        turns = [
            ReviewTurn(item.id, now_us, Turn.DEFAULTED, "", HEADGATE, None, verdict)
            for item, verdict in late
        ]
        more = [each for item, verdict in late for each in effects[item.kind].left(item, verdict)]
        self._busy.update(turn.item_id for turn in turns)
        try:
            await self._durable(*more, *turns)
            for (item, _), turn in zip(late, turns, strict=True):
                self._ended(turn)
                effects[item.kind].took(item, turn)
                self.defaulted.add(item.kind)
                self._parts.telemetry.review(item.kind, Turn.DEFAULTED)
        finally:
            self._busy.difference_update(turn.item_id for turn in turns)
        return len(turns)

    def _late(self) -> list[tuple[ReviewItem, str]]:
        found: list[tuple[ReviewItem, str]] = []
        items = self._parts.items
        for item in items.due():
            effect = self._parts.effects.get(item.kind)
            if effect is None or item.id in self._busy:
                continue
            verdict = effect.default(item)
            if verdict is not None and self.leases.running(item.id) is None:
                found.append((item, verdict))
            if len(found) >= MOST_AT_ONCE:
                break
        return found

    def _ended(self, turn: ReviewTurn) -> None:
        self._parts.items.take_out(turn.item_id)
        self.leases.drop(turn.item_id)

    # parts ------------------------------------------------------------------------------------

    async def _seen(self, item_id: str, tenant: str) -> Found:
        found = await asyncio.to_thread(self.find, item_id)
        if found is None or (tenant and found.item.tenant != tenant):
            raise NotFound("no review of that id")
        return found

    def _check_open(self, found: Found) -> None:
        """Nothing is awaited between this and what rests on it."""
        item, end = found.item, found.end
        if end is not None and end.turn == Turn.DEFAULTED:
            raise Conflict(
                "nobody decided this review in time; it was left to its default",
                code="review_defaulted",
            )
        gone = item.kind != Kind.REFUSAL and self._parts.items.get(item.id) is None
        if end is not None or item.id in self._busy or gone:
            raise Conflict("this review is decided already, or is being decided")

    def _check_time(self, item: ReviewItem) -> None:
        effect = self._parts.effects[item.kind]
        if self._parts.items.get(item.id) is None or effect.default(item) is None:
            return
        if self._parts.items.left_s(item.id) <= 0.0:
            raise Conflict("the time of this review is over; its default holds", code="review_late")

    async def _durable(self, *records: object) -> None:
        ack: Any = self._parts.log.append_durable(*records)
        await asyncio.shield(asyncio.wrap_future(ack))

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end, though the caller leaves: what is durable is also in effect."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_heard)
        return await asyncio.shield(task)


def _ended_us(found: Found) -> int:
    return found.end.at_us if found.end is not None else 0


def _heard(task: asyncio.Task[Any]) -> None:
    """A failure that nobody waits for any more is told here."""
    if not task.cancelled() and isinstance(error := task.exception(), HeadgateError):
        log.info("a turn of a review was not taken: %s", error)


def late(found: Sequence[Found]) -> list[Found]:
    """Those of the open that are beyond their time."""
    return [each for each in found if each.left_s < 0.0]
