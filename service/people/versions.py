"""Versions that the service rolled back: each waits for a person, who releases or retires it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict
from service.domain.reviews import HEADGATE, LEAVE, Kind, ReviewItem, ReviewTurn
from service.experimentation.desk import QUARANTINE, ExperimentDesk, versions_in
from service.experimentation.standing import RELEASE, RETIRE
from service.people.asked import Ruled, act_ending
from service.people.rulings import refuse
from service.storage.event_log import EventLog
from service.storage.review_items import ReviewItems

VERDICTS = (RELEASE, RETIRE, LEAVE)
MOST_KNOWN = 10_000


class RolledBack:
    """Sees rollbacks, and carries out what people rule. Left alone, a version in quarantine is
    retired, which is what quarantine meant, and another stays as it is.
    """

    def __init__(
        self, desk: ExperimentDesk, live: Callable[[], str], items: ReviewItems, log: EventLog,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._desk, self._live, self._items = desk, live, items
        self._log, self._clock = log, clock
        self._handled: dict[str, int] = {}  # how many of its rollbacks were put to a person
        ended = []
        for each in items.of_kind(Kind.POLICY, MOST_KNOWN):
            until_us = each.end.at_us if each.end else each.item.at_us
            times = desk.rolled_back_us(each.item.subject)
            self._handled[each.item.subject] = sum(at_us <= until_us for at_us in times)
            if each.end is not None:
                ended.append((each.item, each.end))
        desk.standing.load(sorted(ended, key=lambda pair: pair[1].at_us))

    # seen -------------------------------------------------------------------------------------

    def new(self, due_s: float) -> list[ReviewItem]:
        """An item for each version that was rolled back and of which nobody was asked yet; those
        of long ago are left alone, but for a version in quarantine.
        """
        now_us = self._clock.wall_us()
        waiting = {each.subject for each in self._items.open() if each.kind == Kind.POLICY}
        found = []
        for version in self._versions() - waiting - self._desk.standing.retired:
            ever_us = self._desk.rolled_back_us(version)
            if len(ever_us) <= self._handled.get(version, 0):
                continue
            times, last_us = self._desk.rollbacks(version), max(ever_us)
            if times < QUARANTINE and now_us - last_us > due_s * 1e6:
                self._handled[version] = len(ever_us)
                continue
            why = "quarantined" if times >= QUARANTINE else "rolled back"
            detail = json.dumps({"rollbacks": times, "last_us": last_us})
            found.append(
                ReviewItem(
                    new_id(), now_us, Kind.POLICY, version, why, None, "", "", "", "", "", None,
                    1.0, now_us + int(due_s * 1e6), detail,
                )
            )  # fmt: skip
        return found

    def put(self, item: ReviewItem) -> None:
        """It is in the queue, with all rollbacks so far."""
        self._handled[item.subject] = len(self._desk.rolled_back_us(item.subject))

    def _versions(self) -> set[str]:
        """Those that were rolled back at all."""
        promotions = self._desk.promotions
        found = {p.from_version_id for p in promotions if p.author == HEADGATE and p.restored_id}
        for each in self._desk.store.known.values():
            if not each.design.reverse and any(s.author == HEADGATE for s in each.steps):
                found.update(versions_in(each.design))
        return {each for each in found if each}

    # ruled ------------------------------------------------------------------------------------

    def check(self, item: ReviewItem, verdict: str) -> None:
        """One of three words; what serves now is not retired."""
        if verdict not in VERDICTS:
            raise refuse(f"must be one of {', '.join(VERDICTS)}")
        if verdict == RETIRE and (where := self._in_use(item.subject)):
            raise Conflict(
                f"version {item.subject} is {where}; end that first", code="version_in_use"
            )

    def _in_use(self, version: str) -> str:
        if version == self._live():
            return "the live one"
        running = (each for each in self._desk.running() if not each.design.reverse)
        return next((f"in {e.id}" for e in running if version in versions_in(e.design)), "")

    def default(self, item: ReviewItem) -> str | None:
        """Quarantine is for good where nobody ends it."""
        held = self._desk.rollbacks(item.subject) >= QUARANTINE
        return RETIRE if held and not self._in_use(item.subject) else LEAVE

    async def rule(self, item: ReviewItem, ruled: Ruled, turn: ReviewTurn) -> None:
        """Durable, then in force."""
        ack = self._log.append_durable(turn, act_ending(item, turn, ruled.who))
        await asyncio.shield(asyncio.wrap_future(ack))

    def left(self, item: ReviewItem, verdict: str) -> tuple[object, ...]:
        """The operators' history tells of it."""
        turn = ReviewTurn(
            item.id, self._clock.wall_us(), "", "", HEADGATE, None, verdict
        )  # for the words of the act alone
        return (act_ending(item, turn),)

    def took(self, item: ReviewItem, turn: ReviewTurn) -> None:
        """Let the desk know."""
        self.put(item)
        self._desk.standing.took(item.subject, turn.verdict or "", turn.at_us)
