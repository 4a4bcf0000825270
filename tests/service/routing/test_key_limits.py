"""No sixty seconds hold more than the limit; what waits is told for how long; idle keys go."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.routing.key_limits import KeyLimits, SlidingWindow

STEPS = st.lists(st.tuples(st.floats(0.0, 25.0), st.integers(1, 5)), min_size=1, max_size=120)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(steps=STEPS, limit=st.integers(1, 12), start=st.floats(0.0, 1e6))
def test_no_sixty_seconds_hold_more_than_the_limit(
    steps: list[tuple[float, int]], limit: int, start: float
) -> None:
    now, window = start, SlidingWindow(limit, start)
    taken: list[tuple[float, int]] = []
    for pause, amount in steps:
        now += pause
        if amount <= window.room(now):
            window.add(amount, now)
            taken.append((now, amount))
        elif amount <= limit:
            free = window.free_in_s(amount, now)
            assert window.room(now) < amount and 0.0 < free <= 61.0
        assert window.total == sum(a for at, a in taken if int(now) - int(at) <= 60)
    for at, _ in taken:
        assert sum(a for other, a in taken if at - 60.0 <= other <= at) <= limit


def test_who_waits_as_long_as_told_gets_in_and_not_before() -> None:
    chance = random.Random(3)
    window, now = SlidingWindow(10, 0.0), 0.0
    for _ in range(500):
        amount = chance.randint(1, 10)
        free = window.free_in_s(amount, now)
        assert (free == 0.0) == (window.room(now) >= amount)
        if free > 0.02:
            assert window.room(now + free - 0.01) < amount
        now += free
        assert window.room(now) >= amount
        window.add(amount, now)
        now += chance.random() * 3


def test_what_was_foreseen_is_corrected_while_it_counts() -> None:
    window = SlidingWindow(1_000, 5.0)
    second = window.add(600, 5.0)
    window.correct(second, -500, 7.0)
    assert window.room(7.0) == 900
    window.correct(second, 1_000, 8.0)
    assert window.room(8.0) == -100, "more was used than was foreseen"
    assert window.free_in_s(1, 8.0) == pytest.approx(58.0)
    assert window.room(66.0) == 1_000
    window.correct(second, -500, 66.5)
    assert window.room(66.5) == 1_000, "what has passed out is not corrected"


def test_reset_tells_when_nothing_is_booked() -> None:
    window = SlidingWindow(10, 0.0)
    assert window.reset_in_s(0.5) == 0.0
    window.add(1, 0.5)
    window.add(1, 20.25)
    reset = window.reset_in_s(20.25)
    assert window.room(20.25 + reset - 0.01) == 9
    assert window.room(20.25 + reset) == 10


def test_keys_are_apart_limits_may_change_and_idle_keys_are_let_go() -> None:
    limits = KeyLimits()
    one, other = (limits.of(name, (2, 0), 0.0).requests for name in ("one", "other"))
    assert one is not None and other is not None
    one.add(2, 0.0)
    assert (one.room(1.0), other.room(1.0)) == (0, 2)
    usage = limits.of("one", (5, 100), 1.0)
    assert usage.requests is one and one.room(1.0) == 3, "what was used stays booked"
    assert usage.tokens is not None and usage.tokens.limit == 100
    assert limits.of("one", (0, 100), 1.0).requests is None
    limits.of("late", (2, 0), 121.0)
    for number in range(1_000):
        limits.of(f"k{number}", (2, 0), 200.0)
    limits.of("last", (2, 0), 400.0)
    assert len(limits) == 1
