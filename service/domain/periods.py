"""Periods of a calendar: the hour, the day and the month of a time zone that a moment lies in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Period(StrEnum):
    """How long a budget lasts. ``REQUEST``: all calls of one request."""

    REQUEST = "request"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def bounds_us(period: Period, at_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """When the period around a moment begins and ends, microseconds since the epoch.

    A day runs from midnight to midnight of the zone: 23 or 25 hours where the clocks change. An
    hour is an hour of time, from a full hour of the zone: the one that the clocks repeat is two.
    A midnight that the clocks leave out is the moment at which they do.
    """
    local = (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
    if period is Period.HOUR:
        offset_us = (local.utcoffset() or timedelta()) // timedelta(microseconds=1)
        begins = (at_us + offset_us) // HOUR_US * HOUR_US - offset_us
        return begins, begins + HOUR_US
    if period is Period.DAY:
        following = local.date() + timedelta(days=1)
        return (
            _midnight_us((local.year, local.month, local.day), zone),
            _midnight_us((following.year, following.month, following.day), zone),
        )
    if period is Period.MONTH:
        year, month = local.year, local.month
        later = (year + 1, 1, 1) if month == 12 else (year, month + 1, 1)
        return _midnight_us((year, month, 1), zone), _midnight_us(later, zone)
    raise ValueError("a request has no bounds in the calendar")


@lru_cache(maxsize=512)
def _midnight_us(day: tuple[int, int, int], zone: ZoneInfo) -> int:
    return (datetime(*day, tzinfo=zone) - _EPOCH) // timedelta(microseconds=1)


def month_us(text: str, zone: ZoneInfo) -> tuple[int, int]:
    """The bounds of a month given as YYYY-MM; raises ValueError."""
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=zone)
    except ValueError:
        raise ValueError(f"a month is given as YYYY-MM, not {text!r}") from None
    return bounds_us(Period.MONTH, (first - _EPOCH) // timedelta(microseconds=1), zone)
