"""What happens in a made-up past, and when: outage, slow week, regression, price, overrides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.offline.past_cast import Cast
from experiments.offline.past_columns import Reals, Whole

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
OUTAGE_FAILS = 0.97  # of the calls during the outage
SLOWEST = 2.6  # times the usual latency, at the end of the slow week
WORSE = 0.20  # quality that the silent regression takes
BEFORE_PRICE = 1.4  # times today's price, before the change
EJECTED_S = (30, 60, 90, 120, 150, 180, 210, 240, 270, 300)
PROBE_US = 3_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was put in. ``deployment``, ``task``: places, -1 for all; times in
    microseconds since the epoch; ``size`` in the event's own unit.
    """

    kind: str
    begins_us: int
    ends_us: int
    deployment: int
    task: int
    size: float


@dataclass(frozen=True, slots=True)
class Will:
    """An operator's override, as it was set and as it ended."""

    action: str
    deployment: int
    task: int  # -1: all
    starts_us: int
    expires_us: int
    ended_us: int
    how: str
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Happenings:
    """The time line. ``start_us`` and ``end_us`` are midnights."""

    start_us: int
    end_us: int
    outage: Event
    slow: Event
    worse: Event
    price: Event
    wills: tuple[Will, ...]
    ejections: tuple[tuple[int, int], ...]  # of the outage's deployment: left alone from, to

    @property
    def hours(self) -> int:
        """How many hours there are."""
        return (self.end_us - self.start_us) // HOUR_US

    def at(self, share: float, hour: int | None = None) -> int:
        """The time at a share of the span, at a full hour (of that day where it is named)."""
        return _at(self.start_us, self.end_us, share, hour)

    def hour_of(self, at_us: Whole) -> Whole:
        """The number of the hour."""
        found: Whole = (at_us - self.start_us) // HOUR_US
        return found

    def slowness(self, at_us: Whole) -> Reals:
        """Times the usual latency of the slow deployment: it creeps up, then is mended."""
        event = self.slow
        part = (at_us - event.begins_us) / max(event.ends_us - event.begins_us, 1)
        inside = (part >= 0.0) & (part < 1.0)
        found: Reals = np.where(inside, 1.0 + (event.size - 1.0) * np.clip(part, 0.0, 1.0), 1.0)
        return found


def _at(start_us: int, end_us: int, share: float, hour: int | None) -> int:
    at = start_us + int((end_us - start_us) * share)
    if hour is None or end_us - start_us < 10 * DAY_US:
        return start_us + (at - start_us) // HOUR_US * HOUR_US
    return at // DAY_US * DAY_US + hour * HOUR_US


def happenings(cast: Cast, start_us: int, end_us: int, popular: int, leader: int) -> Happenings:
    """What happens between two midnights. ``popular``: the task with the most traffic;
    ``leader``: who gets most of it.
    """

    def at(share: float, hour: int | None = None) -> int:
        return _at(start_us, end_us, share, hour)

    by_price = np.argsort(cast.ranks)
    strongest, second = int(by_price[-1]), int(by_price[max(len(by_price) - 2, 0)])
    slowed = int(by_price[min(1, len(by_price) - 1)])
    span_us = end_us - start_us
    outage_us = at(0.36, 13)
    lasts_us = min(3 * HOUR_US, span_us // 12)
    outage = Event("outage", outage_us, outage_us + lasts_us, second, -1, OUTAGE_FAILS)
    slow = Event("slow week", at(0.42, 6), at(0.53, 15), slowed, -1, SLOWEST)
    worse = Event("silent regression", at(0.62, 9), at(0.74, 17), leader, popular, WORSE)
    price = Event("price change", at(0.56, 0), end_us, strongest, -1, 1.0 / BEFORE_PRICE)
    minute = HOUR_US // 60
    forced_us = at(0.18, 8)
    planned = (
        Will("force", strongest, popular, forced_us, forced_us + 4 * HOUR_US,
             forced_us + 4 * HOUR_US, "expired", "ida", "a launch event: the best answers only"),
        Will("exclude", second, -1, outage_us + 25 * minute, outage_us + 6 * HOUR_US,
             outage.ends_us + 20 * minute, "lifted", "noor", "its provider is down"),
        Will("exclude", slowed, popular, at(0.51, 10), at(0.51, 10) + 36 * HOUR_US,
             at(0.51, 10) + 30 * HOUR_US, "lifted", "noor", "answers take far too long"),
    )  # fmt: skip
    # One that would outlive the history has not ended in it.
    wills = tuple(each for each in planned if each.starts_us < end_us and each.ended_us < end_us)
    return Happenings(start_us, end_us, outage, slow, worse, price, wills, _ejections(outage))


def _ejections(outage: Event) -> tuple[tuple[int, int], ...]:
    """The breaker opens soon after the outage begins, and again after each probe that fails."""
    found = []
    at_us, number = outage.begins_us + 12_000_000, 0
    while at_us < outage.ends_us:
        until_us = at_us + EJECTED_S[min(number, len(EJECTED_S) - 1)] * MICRO_S
        found.append((at_us, until_us))
        at_us, number = until_us + PROBE_US, number + 1
    return tuple(found)


MICRO_S = 1_000_000
