"""Off-peak windows: hours of the day in a time zone, by what its clocks show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
STEP_US = 6 * 3_600 * SECOND_US  # no zone changes its clocks twice within it
AHEAD_US = 8 * DAY_US
_MICRO = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)(?: +(\S+))?$")

Span = tuple[int, int]  # from when until before when, microseconds since the epoch


@dataclass(frozen=True, slots=True)
class Window:
    """Open while the zone's clocks show at least ``begins_min`` and less than ``ends_min`` (minutes
    after midnight); over midnight where it ends before it begins. An hour that the clocks repeat is
    open twice, one that they leave out not at all.
    """

    begins_min: int
    ends_min: int
    zone: ZoneInfo

    def open_at(self, at_us: int) -> bool:
        """Whether it is open."""
        minute = (at_us + _offset_us(self.zone, at_us)) % DAY_US / (60 * SECOND_US)
        if self.begins_min < self.ends_min:
            return self.begins_min <= minute < self.ends_min
        return minute >= self.begins_min or minute < self.ends_min

    def spans(self, from_us: int, to_us: int) -> Iterator[Span]:
        """When it is open between two moments, in order; two may touch where clocks change."""
        for begins_us, ends_us, offset_us in _offsets(self.zone, from_us, to_us):
            begins, ends = self.begins_min * 60 * SECOND_US, self.ends_min * 60 * SECOND_US
            if ends <= begins:
                ends += DAY_US
            day = (begins_us + offset_us) // DAY_US * DAY_US - DAY_US
            while day + begins < ends_us + offset_us:
                first = max(day + begins - offset_us, begins_us)
                last = min(day + ends - offset_us, ends_us)
                if first < last:
                    yield first, last
                day += DAY_US


def parse_window(text: str) -> Window:
    """A window such as ``03:00-06:00 Europe/Berlin``, UTC where no zone is named; raises
    ValueError.
    """
    found = _TEXT.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no window: give it as 03:00-06:00 Europe/Berlin")
    hours = [int(part) for part in found.groups()[:4]]
    begins, ends = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if ends > 24 * 60:
        raise ValueError(f"{text!r} ends after 24:00")
    if begins == ends:
        raise ValueError(f"{text!r} begins when it ends; for the whole day leave windows out")
    name = found[5] or "UTC"
    try:
        return Window(begins, ends, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; give one as Europe/Berlin") from None


def open_at(windows: Sequence[Window], at_us: int) -> bool:
    """Whether any window is open; without windows it is always."""
    return not windows or any(each.open_at(at_us) for each in windows)


def next_open_us(windows: Sequence[Window], at_us: int) -> int | None:
    """When one is open next, ``at_us`` itself where one is; None where none is within days."""
    if open_at(windows, at_us):
        return at_us
    firsts = (next(each.spans(at_us, at_us + AHEAD_US), None) for each in windows)
    return min((span[0] for span in firsts if span is not None), default=None)


def _offset_us(zone: ZoneInfo, at_us: int) -> int:
    local = (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
    return (local.utcoffset() or timedelta()) // _MICRO


def _offsets(zone: ZoneInfo, from_us: int, to_us: int) -> Iterator[tuple[int, int, int]]:
    """The time between two moments, cut where the zone's clocks change: from, to, offset."""
    begins, offset, at = from_us, _offset_us(zone, from_us), from_us
    while at < to_us:
        ahead = min(at + STEP_US, to_us)
        if (then := _offset_us(zone, ahead)) != offset:
            low, high = at, ahead  # the change lies after the one and not after the other
            while high - low > 1:
                middle = (low + high) // 2
                if _offset_us(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            yield begins, high, offset
            begins, offset = high, then
        at = ahead
    if begins < to_us:
        yield begins, to_us, offset
