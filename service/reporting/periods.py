"""Weeks, months and quarters by name, and the days in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from service.domain.errors import Unprocessable

DAY_US = 86_400_000_000
MONDAY = date(1970, 1, 5)  # days are counted from it, so that a weekday is a remainder
_WEEK, _MONTH = re.compile(r"(\d{4})-W(\d{2})"), re.compile(r"(\d{4})-(\d{2})")
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")


@dataclass(frozen=True, slots=True)
class Period:
    """From the first day to the last, both in it."""

    name: str
    first: date
    last: date

    @property
    def since(self) -> str:
        """The first moment, as SQL and people write it."""
        return self.first.isoformat()

    @property
    def until(self) -> str:
        """The first moment after it."""
        return (self.last + timedelta(days=1)).isoformat()

    @property
    def until_us(self) -> int:
        """The same in microseconds since the epoch, UTC."""
        return (self.last - date(1970, 1, 1)).days * DAY_US + DAY_US

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1

    @property
    def last_number(self) -> int:
        """The last day, counted from a Monday."""
        return (self.last - MONDAY).days

    def before(self, days: int) -> Period:
        """The days before it."""
        return Period("", self.first - timedelta(days=days), self.first - timedelta(days=1))


def week(name: str) -> Period:
    """An ISO week such as 2026-W47."""
    found = _WEEK.fullmatch(name.strip())
    try:
        first = date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        first = None
    if first is None:
        raise Unprocessable(
            f"week: {name!r} is no ISO week; give one such as 2026-W47", param="week"
        )
    return Period(name.strip(), first, first + timedelta(days=6))


def week_of(day: date) -> Period:
    """The ISO week that a day is in."""
    year, number, _ = day.isocalendar()
    return week(f"{year}-W{number:02d}")


def month(name: str) -> Period:
    """A month such as 2026-11."""
    found = _MONTH.fullmatch(name.strip())
    if found is None or not 1 <= int(found[2]) <= 12:
        raise Unprocessable(f"month: {name!r} is no month; give one such as 2026-11", param="month")
    first = date(int(found[1]), int(found[2]), 1)
    return Period(name.strip(), first, _month_end(first))


def month_of(day: date) -> Period:
    """The month that a day is in."""
    return month(f"{day.year}-{day.month:02d}")


def quarter(name: str) -> Period:
    """A quarter such as 2026-Q4."""
    found = _QUARTER.fullmatch(name.strip())
    if found is None:
        raise Unprocessable(
            f"quarter: {name!r} is no quarter; give one such as 2026-Q4", param="quarter"
        )
    first = date(int(found[1]), 3 * int(found[2]) - 2, 1)
    return Period(name.strip(), first, _month_end(date(first.year, first.month + 2, 1)))


def quarter_of(day: date) -> Period:
    """The quarter that a day is in."""
    return quarter(f"{day.year}-Q{(day.month - 1) // 3 + 1}")


def _month_end(first: date) -> date:
    over = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return over - timedelta(days=1)
