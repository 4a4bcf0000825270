"""What freezes held back is learned when they are over: all of it, from the log, once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.domain.clock import Clock, new_id
from service.domain.records import Act, Override
from service.domain.will import Action, applies, frozen
from service.feedback.freezing import Freeze
from service.feedback.learner import Learner
from service.storage.cases import Case
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.held_back import HeldBack, first_row, held_back
from service.storage.overrides import OverrideStore

log = logging.getLogger("headgate.learning")

TURN_S = 0.5
PAGE = 1_000
MOST_WAITING = 5_000  # of the learner's queue, so that what comes in meanwhile finds room
MOST_LATE = 2_000  # that are handed over in one go
PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class ThawParts:
    """What it stands on. ``case``: of a decision's id, from memory or the log."""

    store: OverrideStore
    log: EventLog
    clock: Clock
    learner: Learner
    freeze: Freeze
    cursor: Callable[[], Cursor]
    case: Callable[[str], Awaitable[Case | None]]


class Thaw:
    """One freeze at a time. While it is made up for, its scope is held back still, and what comes
    in meanwhile is handed over at the end in one step: so nothing is learned twice or not at all.
    """

    def __init__(self, parts: ThawParts) -> None:
        self._parts = parts

    async def turn(self) -> None:
        """Make up for the freezes that have ended since the last turn."""
        for override in self._parts.store.thawing:
            if not self._parts.log.healthy:
                return  # what cannot be logged is not learned; the next turn tries again
            count, left_to = await self._make_up(override)
            log.info("what freeze %s held back is learned: %s rows", override.id, count)
            detail = json.dumps({"learned": count, "left_to": left_to})
            self._parts.log.append(
                Act(new_id(), self._parts.clock.wall_us(), "headgate", "override.thawed",
                    override.id, "its time is made up for", detail)
            )  # fmt: skip

    async def _make_up(self, override: Override) -> tuple[int, dict[str, int]]:
        parts, freeze = self._parts, self._parts.freeze
        first = parts.store.since.get(override.id)
        if first is None:
            first = await asyncio.to_thread(first_row, parts.cursor(), override)
        left_to = self._left_to(override, first)
        await asyncio.wrap_future(parts.learner.caught_up())
        after, count = first, 0
        try:
            while True:
                freeze.late, since = [], parts.log.last_seq
                await asyncio.wrap_future(parts.log.flush())
                through, fed = parts.log.last_seq, set()
                while rows := await self._page(override, first, (after, through)):
                    for row in rows:
                        count += await self._learn(row)
                        if row.log_seq > since:
                            fed.add(row.feedback_id or row.decision_id)
                    after = rows[-1].log_seq
                after = through
                late = [
                    (case, rating) for case, rating in freeze.late
                    if (rating.id if rating else case.decision.id) not in fed
                ]  # fmt: skip
                if len(late) <= MOST_LATE:
                    parts.store.thawed(override.id)
                    for case, rating in late:  # in this step of the loop: nothing comes between
                        if rating is not None:
                            parts.learner.rated(case, rating)
                        else:
                            parts.learner.ended(case)
                    return count + len(late), left_to
        finally:
            freeze.late = None

    async def _page(
        self, override: Override, first: int, between: tuple[int, int]
    ) -> list[HeldBack]:
        cursor = self._parts.cursor()
        return await asyncio.to_thread(held_back, cursor, override, first, between, PAGE)

    async def _learn(self, row: HeldBack) -> int:
        parts = self._parts
        while parts.learner.waiting > MOST_WAITING:
            await asyncio.sleep(PAUSE_S)
        case = await parts.case(row.decision_id)
        if case is None or frozen(case.decision, parts.store.holding(), case.answered_by):
            return 0  # left to the freeze that holds still
        if row.feedback_id is None:
            parts.learner.ended(case, late=True)
            for each in [each for each in case.attempts if each.role.beside]:
                parts.learner.ended(Case(case.decision, [each], case.outcome), late=True)
            return 1
        ratings = [each for each in case.feedback.values() if each.id == row.feedback_id]
        for rating in ratings:  # one that was revised meanwhile is in the later one
            parts.learner.rated(case, rating, late=True)
        return len(ratings)

    def _left_to(self, override: Override, first: int) -> dict[str, int]:
        """Freezes in force that hold some of it back still: it is left to them, from a row on."""
        others = {}
        for each in self._parts.store.holding():
            if each.action == Action.FREEZE and _meet(each, override):
                others[each.id] = min(first, self._parts.store.since.get(each.id, first))
        self._parts.store.since.update(others)
        return others


def _meet(one: Override, other: Override) -> bool:
    """Whether some request may lie in both scopes."""
    return applies(one, other.task or one.task, other.tenant or one.tenant, other.tier or one.tier)
