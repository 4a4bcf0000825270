"""The day's cap: reserved, settled, overshot by at most one call, begun anew at midnight UTC."""

from __future__ import annotations

import random

from service.orchestration.spend import DAY_US, DaySpend, day_of
from tests.conftest import HandClock


def test_a_day_begins_at_midnight_utc() -> None:
    assert day_of(0) == 0 and day_of(DAY_US - 1) == 0 and day_of(DAY_US) == DAY_US


def test_one_call_at_a_time_and_only_where_there_is_room() -> None:
    spend = DaySpend(100, HandClock(), spent_micro_usd=30)
    assert not spend.reserve(71) and spend.reserve(70)
    assert not spend.reserve(0), "one is under way"
    assert not spend.affords(1)
    spend.settle(40)
    assert spend.spent_micro_usd == 70 and spend.affords(30) and not spend.affords(31)


def test_whatever_calls_cost_the_cap_is_overshot_by_less_than_one() -> None:
    chance = random.Random(3)
    for _ in range(50):
        cap = chance.randrange(1, 2_000)
        spend, dearest = DaySpend(cap, HandClock()), 0
        for _ in range(200):
            if spend.reserve(chance.randrange(0, 50)):
                cost = chance.randrange(0, 400)
                dearest = max(dearest, cost)
                spend.settle(cost)
        assert spend.spent_micro_usd <= cap + dearest


def test_a_new_day_and_a_clock_that_is_set_back() -> None:
    clock = HandClock(wall_us=DAY_US * 20_000 + 5)
    spend = DaySpend(100, clock)
    assert spend.reserve(100)
    spend.settle(100)
    clock.wall -= 10  # into the day before
    assert not spend.affords(1)
    clock.wall += DAY_US + 10
    assert spend.spent_micro_usd == 0 and spend.reserve(100)
    clock.wall += DAY_US
    spend.settle(60)  # counted on the day on which it ended, as the log does
    assert spend.spent_micro_usd == 60
