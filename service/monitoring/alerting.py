"""Alerts as a whole: the minute windows, the watch over them, and the channels that tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.domain.alerts import Alert
from service.domain.clock import new_id
from service.domain.minutes import Facts, Minute
from service.domain.records import Attempt, Outcome
from service.monitoring.channels import Channels
from service.monitoring.notify import Notice
from service.monitoring.rules import ALERT_RULES, Seen
from service.monitoring.watch import AlertWatch
from service.monitoring.windows import MinuteWindows
from service.storage.errors import StorageError

log = logging.getLogger("headgate.alerts")

LOOKED_AT = 60  # minutes that a rule may look back


@dataclass(frozen=True, slots=True)
class Past:
    """What the log knows of the time before the start; see ``MinuteWindows.rebuild``."""

    minutes: Sequence[Minute] = ()
    counts: Sequence[tuple[int, int, int, int]] = ()
    records: Sequence[Attempt | Outcome] = ()


@dataclass(slots=True)
class Alerting:
    """What routes and the clock ask for. ``facts``: what stands now, beside the traffic; ``past``
    blocks; ``shown``: puts the number of a rule's alerts among the metrics.
    """

    windows: MinuteWindows
    watch: AlertWatch
    channels: Channels
    facts: Callable[[], Facts]
    past: Callable[[], Past]
    shown: Callable[[str, int], None]
    notices: list[str] = field(default_factory=list)

    async def turn(self) -> None:
        """Close what is over and judge it; to be called some times a minute."""
        if not self.windows.rebuilt:
            await self._rebuild()
        closed = self.windows.close(self.facts)
        known = self.windows.minutes(LOOKED_AT + len(closed))
        availability = self.watch.parts.availability()
        for minute in closed:
            until = [each for each in known if each.start_us <= minute.start_us]
            seen = Seen(tuple(until[-LOOKED_AT:]), self.windows.series(), availability)
            await self.watch.minute(seen)
        firing = [each.rule for each in self.watch.book.firing()]
        for rule in ALERT_RULES:
            self.shown(rule, firing.count(rule))

    async def _rebuild(self) -> None:
        """The minutes before the start, from the log; without them where it cannot be read."""
        past = Past()
        try:
            past = await asyncio.to_thread(self.past)
        except StorageError as error:
            log.error("the minutes before the start cannot be read: %s", error)
            self.notices.append(
                "the minutes before the start could not be read from the log, so alerts judge what "
                "came after it alone"
            )
        self.windows.rebuild(past.minutes, past.counts, past.records)
        minutes, series = self.windows.minutes(LOOKED_AT), self.windows.series()
        await asyncio.to_thread(self.watch.replay, minutes, series)
        await self.watch.resume()

    def minutes(self, last: int = 60) -> tuple[Minute, ...]:
        """The last closed minutes, oldest first, in total and by deployment."""
        return self.windows.minutes(last)

    def firing(self) -> list[Alert]:
        """The alerts that last, the oldest first."""
        return self.watch.book.firing()

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        lost = [
            f"the channel {name} could not be told: {why}"
            for name, why in self.channels.failures.items()
        ]
        return [*self.watch.warnings(), *lost]

    async def test(self, author: str) -> dict[str, str]:
        """A notice through every channel, and what each answered."""
        identity, now_us = f"test-{new_id()}", self.watch.parts.clock.wall_us()
        text = f"a test of the channels by {author}; nothing is wrong"
        notice = Notice("alerts.test", identity, now_us, text, severities=("info",))
        return await self.channels.try_all(notice)
