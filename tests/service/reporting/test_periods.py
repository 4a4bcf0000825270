"""Weeks, months and quarters: their days, and names that are none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from service.domain.errors import Unprocessable
from service.reporting import periods


def test_days_of_each_kind() -> None:
    week = periods.week("2026-W47")
    assert (week.since, week.until, week.days) == ("2026-11-16", "2026-11-23", 7)
    assert week.last_number % 7 == 6  # a Sunday, counted from a Monday
    assert (periods.month("2026-02").days, periods.month("2024-02").days) == (28, 29)
    assert periods.month("2026-12").until == "2027-01-01"
    quarter = periods.quarter("2026-Q4")
    assert (quarter.since, quarter.until, quarter.days) == ("2026-10-01", "2027-01-01", 92)
    assert week.before(28).days == 28 and week.before(28).until == week.since


def test_every_day_is_in_the_period_of_its_name() -> None:
    for kind in (periods.week_of, periods.month_of, periods.quarter_of):
        day = date(2024, 12, 20)
        for _ in range(400):
            found = kind(day)
            assert found.first <= day <= found.last
            day += timedelta(days=1)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(periods.week, "2026-47"), (periods.week, "2026-W54"), (periods.month, "2026-13"),
     (periods.month, "November"), (periods.quarter, "2026-Q5"), (periods.week, "0000-W01")],
)  # fmt: skip
def test_what_is_no_period_is_refused(kind: Callable[[str], object], name: str) -> None:
    with pytest.raises(Unprocessable, match="give one such as"):
        kind(name)
