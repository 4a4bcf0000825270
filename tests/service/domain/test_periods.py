"""Hours, days and months of a zone: 23 and 25 hours, month ends, midnights that are left out."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.periods import HOUR_US, Period, bounds_us, month_us

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")


def us(*moment: int, zone: ZoneInfo = UTC_ZONE) -> int:
    return int(datetime(*moment, tzinfo=zone).timestamp() * 1e6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29, 12), 23), ((2026, 10, 25, 12), 25), ((2026, 7, 1, 0), 24)]
)
def test_a_day_has_the_hours_that_the_clocks_give_it(day: tuple[int, ...], hours: int) -> None:
    begins, ends = bounds_us(Period.DAY, us(*day, zone=BERLIN), BERLIN)
    assert (ends - begins) / HOUR_US == hours
    assert datetime.fromtimestamp(begins / 1e6, BERLIN).hour == 0


def test_the_hour_that_the_clocks_repeat_is_two() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)
    one, two = (bounds_us(Period.HOUR, int(m.timestamp() * 1e6), BERLIN) for m in (first, second))
    assert one[1] == two[0] and two[1] - one[0] == 2 * HOUR_US


def test_months_end_where_the_calendar_says() -> None:
    for month, days in (("2028-02", 29), ("2026-02", 28), ("2026-12", 31)):
        begins, ends = month_us(month, UTC_ZONE)
        assert (ends - begins) / HOUR_US == 24 * days
    begins, ends = month_us("2026-03", BERLIN)
    assert (ends - begins) / HOUR_US == 31 * 24 - 1
    assert bounds_us(Period.MONTH, ends - 1, BERLIN) == (begins, ends)
    assert bounds_us(Period.MONTH, ends, BERLIN)[0] == ends
    with pytest.raises(ValueError, match="YYYY-MM"):
        month_us("2026-13", UTC_ZONE)


def test_a_midnight_that_is_left_out_is_the_moment_of_the_change() -> None:
    beirut = ZoneInfo("Asia/Beirut")  # 2026-03-29: from 0:00 to 1:00
    begins, ends = bounds_us(Period.DAY, us(2026, 3, 29, 12), beirut)
    assert (ends - begins) / HOUR_US == 23
    assert begins == us(2026, 3, 28, 22)


def test_half_hour_zones_have_their_own_full_hours() -> None:
    begins, _ = bounds_us(Period.HOUR, us(2026, 6, 1, 12, 10), ZoneInfo("Asia/Kolkata"))
    assert datetime.fromtimestamp(begins / 1e6, UTC).minute == 30


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.integers(us(2024, 1, 1), us(2030, 1, 1)),
    st.sampled_from([Period.HOUR, Period.DAY, Period.MONTH]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana",
                     "Pacific/Apia", "UTC"]),
)  # fmt: skip
def test_periods_follow_one_another_without_a_gap(at: int, period: Period, name: str) -> None:
    zone = ZoneInfo(name)
    begins, ends = bounds_us(period, at, zone)
    assert begins <= at < ends
    assert bounds_us(period, begins, zone) == (begins, ends)
    assert bounds_us(period, ends, zone)[0] == ends
    assert bounds_us(period, ends - 1, zone)[0] == begins
