"""Unsure requests by day: today beside the days before, over midnight and a restart."""

from __future__ import annotations

from service.people.unsure_days import DAY_US, DAYS, UnsureDays
from tests.conftest import HandClock


def test_today_and_the_days_before() -> None:
    clock = HandClock()
    days = UnsureDays(clock)
    for at in range(10):
        days.saw(at < 3)
    assert days.standing() == ((0, 0), (3, 10))
    clock.advance(86_400.0)
    assert days.standing() == ((3, 10), (0, 0))
    days.saw(True)
    assert days.standing() == ((3, 10), (1, 1))
    clock.advance(86_400.0 * DAYS)
    assert days.standing() == ((1, 1), (0, 0))
    days.forget()
    assert days.standing() == ((0, 0), (0, 0))


def test_a_start_goes_on_with_what_the_log_knows() -> None:
    clock = HandClock()
    today = clock.wall_us() // DAY_US
    days = UnsureDays(clock)
    days.saw(True)
    days.resume([(today - 9, 9, 9), (today - 2, 5, 50), (today - 1, 6, 60), (today, 7, 70)])
    assert days.standing() == ((11, 110), (8, 71))
