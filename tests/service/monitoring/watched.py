"""A log, minute windows and a watch over them, a minute at a time on a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from service.domain.alerts import Alert, Step
from service.domain.clock import new_id
from service.domain.minutes import MINUTE_US, Facts
from service.domain.records import Act, Attempt
from service.monitoring.alert_book import AlertBook
from service.monitoring.alerting import Alerting, Past
from service.monitoring.channels import Channels
from service.monitoring.notify import Notice
from service.monitoring.watch import AlertWatch, Shifted, WatchParts
from service.monitoring.windows import MinuteWindows
from service.plan.alerts import AlertsPlan
from service.storage.alerts import logged
from service.storage.cases import rows_of
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.minutes import counts_of, minutes_of, records_of
from tests.conftest import HandClock
from tests.service.monitoring.minutes import CALM, START, attempt

QUIET: dict[str, Any] = {
    name: {"enabled": False}
    for name in ("errors", "fallback_rate", "burn_fast", "burn_slow", "burn_long")
}


class Bounds:
    """Bounds of shares, kept by name; the routing's own are tried with the routing."""

    def __init__(self, share: float = 0.6, floor: float = 0.02) -> None:
        self.share, self.floor = share, floor
        self.laid: dict[str, tuple[str, float, float]] = {}
        self.lifted: list[str] = []

    async def lay(
        self, deployment: str, keep_share: float, lasts_s: float, alert: Alert
    ) -> Shifted | str:
        if not self.share:
            return f"{deployment} is sent nothing as it is"
        greatest = max(self.share * keep_share, self.floor)
        name = f"o-{alert.id}"
        self.laid[name] = deployment, greatest, lasts_s
        return Shifted(name, greatest, alert.fired_us + int(lasts_s * 1e6))

    def found(self, alert: Alert) -> Shifted | None:
        laid = self.laid.get(f"o-{alert.id}")
        return None if laid is None else Shifted(f"o-{alert.id}", laid[1], 0)

    async def lift(self, alert: Alert, why: str) -> str:
        self.lifted.append(f"o-{alert.id}")
        laid = self.laid.pop(f"o-{alert.id}", None)
        return "its bound had ended already" if laid is None else "its share is no longer bounded"


class Watched:
    """What runs from a start on; ``again`` is a restart after a kill, on the same log."""

    def __init__(self, clock: HandClock | None = None, **plan: Any) -> None:
        self.clock = clock or HandClock(START)
        self.plan = AlertsPlan.model_validate(QUIET | {"digest_at": None} | plan)
        self.database = Database(None)
        self.log = EventLog(self.database, flush_s=0.005)
        self.log.start()
        self.notices: list[Notice] = []
        self.bounds: Bounds | None = Bounds()
        self.reaches = True  # whether the channels reach anybody
        self.facts = CALM
        self.start()

    def start(self) -> None:
        self.log.flush().result(30)
        now_us, cursor = self.clock.wall_us(), self.database.cursor()
        windows, through = MinuteWindows(self.clock), self.log.last_seq
        book = AlertBook(self.clock, logged(cursor, now_us - 7 * 86_400_000_000, now_us))

        def past() -> Past:
            first = windows.first_us
            return Past(
                minutes_of(cursor, first - 120 * MINUTE_US, first, through),
                counts_of(cursor, first - 4_320 * MINUTE_US, first, through),
                records_of(cursor, first, first + MINUTE_US, through),
            )

        parts = WatchParts(
            self.log, self.clock, lambda: self.plan, lambda: 0.999, self._announce, self.bounds
        )
        self.watch = AlertWatch(parts, book)
        channels = Channels([], self.clock, lambda *_: None)
        self.alerting = Alerting(
            windows, self.watch, channels, self._facts, past, lambda *_: None
        )  # fmt: skip

    def _facts(self) -> Facts:
        return self.facts

    def _announce(self, notice: Notice) -> None:
        self.notices.append(notice)
        if self.reaches:
            self.watch.told(notice.id, "pager", "sent")

    def close(self) -> None:
        self.log.stop()
        self.database.close()

    def call(self, *records: Attempt) -> None:
        """Calls end: counted, and logged."""
        for each in records:
            self.alerting.windows.attempt(each)
            self.log.append(each)

    def calls(self, p95_s: float, n: int = 30, name: str = "river") -> None:
        """So many calls now, a tenth of which take as long."""
        now = self.clock.wall_us()
        slow = max(n // 10, 1)
        times = [p95_s] * slow + [1.0] * (n - slow)
        self.call(*(attempt(now, name, time_s) for time_s in times))

    async def minute(self, p95_s: float | None = None, n: int = 30, name: str = "river") -> None:
        """A minute with such calls passes, and closes."""
        await self.alerting.turn()
        if p95_s is not None:
            self.calls(p95_s, n, name)
        self.clock.advance(60.0)
        await self.alerting.turn()

    async def minutes(self, times: int, p95_s: float | None = None, n: int = 30) -> None:
        for _ in range(times):
            await self.minute(p95_s, n)

    @property
    def at(self) -> int:
        """Minutes since the start."""
        return (self.clock.wall_us() - START) // MINUTE_US

    @property
    def said(self) -> list[str]:
        """What people were told, in order."""
        return [each.event for each in self.notices]

    @property
    def alert(self) -> Alert:
        """The one alert that fires."""
        (alert,) = self.alerting.firing()
        return alert

    def steps(self) -> list[tuple[str, int]]:
        """Every logged event with the minute in which it was."""
        self.log.flush().result(30)
        rows = rows_of(self.database.cursor(), "SELECT step, epoch_us(ts) AS at FROM alert_events "
                       "ORDER BY log_seq")  # fmt: skip
        return [(row["step"], (row["at"] - START) // MINUTE_US) for row in rows]

    def without(self, *steps: Step) -> list[tuple[str, int]]:
        return [each for each in self.steps() if each[0] not in steps]

    def switch(self, **more: Any) -> None:
        """Another plan."""
        self.plan = replace_plan(self.plan, more)


def replace_plan(plan: AlertsPlan, more: dict[str, Any]) -> AlertsPlan:
    return AlertsPlan.model_validate(plan.model_dump(exclude_unset=True) | more)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


def act(reason: str) -> Act:
    """What an operator did."""
    return Act(new_id(), START, "ann", "alert.seen", "x", reason, "{}")
