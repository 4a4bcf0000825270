"""Changes over days and weeks, judged once a day is over, and told once where they are severe."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from experiments.series import SETTLED_DAYS, Cell
from experiments.trends import Trend, Trends, find, window
from service.domain.clock import Clock, new_id
from service.domain.records import Act
from service.monitoring.notify import Notice
from service.storage.event_log import EventLog

DAY_US = 86_400_000_000
DURABLE_S = 30.0
ACT = "trend.severe"
NEAR_DAYS = 7  # by so much the likeliest first day of one change may move from look to look

Read = Callable[[int, str], list[Cell]]  # of a day, by the rating that is quality; it blocks


@dataclass(frozen=True, slots=True)
class Told:
    """A change that was announced: which series went which way, since when."""

    key: tuple[str, str, str, bool]
    since: int

    def covers(self, trend: Trend) -> bool:
        """Whether it is that change."""
        return self.key == trend.key and abs(self.since - trend.since) <= NEAR_DAYS


class TrendBoard:
    """Days are read once they are over, and once more when their ratings have come; what was read
    is kept, so a look costs a day.
    """

    def __init__(
        self, read: Read, metric: Callable[[], str], log: EventLog, clock: Clock,
        told: Iterable[Told] = (),
    ) -> None:  # fmt: skip
        self._read, self._metric, self._log, self._clock = read, metric, log, clock
        self._told = list(told)
        self._lock = threading.Lock()
        self._days: dict[int, tuple[bool, list[Cell]]] = {}  # whether it is settled
        self._asked = metric()
        self._judged: int | None = None
        self.current: Trends | None = None

    @property
    def last_day(self) -> int:
        """The last whole day (UTC), since 1970."""
        return self._clock.wall_us() // DAY_US - 1

    def due(self) -> list[int]:
        """The days that are to be read, the newest first."""
        if self._asked != self._metric():  # another plan: quality is another rating's
            self._asked, self._judged = self._metric(), None
            self._days.clear()
        last = self.last_day
        for day in [day for day in self._days if day < window(last)]:
            del self._days[day]
        return [
            day for day in range(last, window(last) - 1, -1)
            if day not in self._days
            or (not self._days[day][0] and day <= last - SETTLED_DAYS)
        ]  # fmt: skip

    def take(self, day: int) -> None:
        """Read a day; blocks, so call it off the loop."""
        settled = day <= self.last_day - SETTLED_DAYS
        self._days[day] = settled, self._read(day, self._asked)
        self._judged = None

    def judge(self) -> list[Trend]:
        """Judge what was read; the severe changes that nobody was told of. These are durable in
        the log when this returns; blocks.
        """
        with self._lock:
            last = self.last_day
            if self._judged == last:
                return []
            cells = [cell for _, of_day in self._days.values() for cell in of_day]
            self.current = find(cells, last)
            fresh = [
                each for each in self.current.findings
                if each.severe and not any(told.covers(each) for told in self._told)
            ]  # fmt: skip
            if fresh:
                acts = [self._act(each) for each in fresh]
                self._log.append_durable(*acts).result(timeout=DURABLE_S)
                self._told += [Told(each.key, each.since) for each in fresh]
            self._judged = last
            return fresh

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        current = self.current
        return [each.words for each in current.findings if each.severe] if current else []

    def _act(self, trend: Trend) -> Act:
        subject = " ".join(part for part in trend.key[:3] if part)
        detail = trend.to_dict() | {"key": list(trend.key), "since_day": trend.since}
        now_us = self._clock.wall_us()
        return Act(new_id(), now_us, "headgate", ACT, subject, trend.words, json.dumps(detail))


def notice(trend: Trend) -> Notice:
    """What operators are told of a severe change."""
    identity = f"trend-{'-'.join(str(part) for part in trend.key)}-{trend.since}"
    at_us = trend.since * DAY_US
    return Notice(ACT, identity, at_us, trend.words, severities=("ticket",))
