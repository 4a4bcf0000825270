"""A desk of review over a log that can be crashed, with a clock to turn by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from service.domain.clock import new_id
from service.domain.records import Key
from service.domain.reviews import Holder, Kind, ReviewItem
from service.people.asked import Found, Ruled
from service.people.desk import DeskParts, ReviewDesk
from service.people.rulings import Labelling, Refused
from service.routing.offenders import Offenders
from service.routing.refusals import RefusalParts, RefusalRules, Refusals
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.refusals import RefusalMemory
from service.storage.review_items import ReviewItems
from service.storage.reviews import ReviewStore
from service.telemetry import Telemetry
from tests.conftest import HandClock

T = TypeVar("T")
KEY = Key("k1", 0, "desk", "operator", "", "", "")
TASKS = ("code", "maths", "other")
LEASE_S, DUE_S = 900.0, 86_400.0
ANN, BEN = Holder(KEY.id, "ann"), Holder(KEY.id, "ben")


def item(clock: HandClock, name: str = "", **more: Any) -> ReviewItem:
    """A request whose task was not sure."""
    now_us, decision = clock.wall_us(), new_id()
    made = ReviewItem(
        name or new_id(), now_us, Kind.CLASSIFICATION, decision, "unsure", decision, "key",
        "acme", "basic", "code", "a", 0.4, 1.0, now_us + int(DUE_S * 1e6), json.dumps({}),
    )  # fmt: skip
    return replace(made, **more)


def ruled(who: Holder = ANN, verdict: str = "maths", once: str | None = None) -> Ruled:
    """A ruling."""
    return Ruled(verdict, who.reviewer, "looked at it for long", KEY, once)


class Table:
    """The desk, and what it stands on."""

    def __init__(self, most_open: int = 100, flush_s: float = 0.005) -> None:
        self.clock, self.database = HandClock(), Database(None)
        self.most_open, self._flush_s = most_open, flush_s
        self.loop = asyncio.new_event_loop()
        self._begin()

    def _begin(self) -> None:
        self.log = EventLog(self.database, self._flush_s)
        self.log.start()
        reviews = ReviewStore(self.database, self.clock, 3_600.0)
        self.refusals = Refusals(
            RefusalRules(),
            RefusalParts(
                RefusalMemory(self.clock, 3_600.0), reviews, Offenders(20), self.log, Telemetry(),
                self.clock, b"secret", lambda _: None,
            ),
        )  # fmt: skip
        self.items = ReviewItems(self.database, self.clock)
        self.telemetry = Telemetry()
        effects = {
            Kind.CLASSIFICATION: Labelling(self.log, lambda: TASKS),
            Kind.REFUSAL: Refused(self.refusals),
        }
        self.desk = ReviewDesk(
            DeskParts(
                self.items, reviews, self.log, self.clock, self.telemetry, effects,
                lambda _: self.most_open, lambda: LEASE_S,
            )
        )  # fmt: skip

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end."""
        return self.loop.run_until_complete(work)

    def restart(self, crash: bool = False) -> None:
        """Stop and start again; ``crash``: what nobody waited for is lost."""
        if crash:
            self.log._queue.clear()
        self.log.stop()
        self._begin()

    def end(self) -> None:
        """Let everything go."""
        self.log.stop()
        self.database.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    # the turns, without a tenant --------------------------------------------------------------

    def claim(self, item_id: str, who: Holder = ANN) -> Found:
        return self.run(self.desk.claim(item_id, who, ""))

    def release(self, item_id: str, who: Holder = ANN) -> Found:
        return self.run(self.desk.release(item_id, who, ""))

    def decide(self, item_id: str, ruling: Ruled | None = None) -> Found:
        return self.run(self.desk.decide(item_id, ruling or ruled(), ""))

    def default_late(self) -> int:
        return self.run(self.desk.default_late())

    def state(self, item_id: str) -> str:
        found = self.desk.find(item_id)
        return found.state if found else "unknown"
